"""How far a network in float32 may be from the real numbers that proofs are about."""
