"""What a network cannot do: bounds on its outputs, counterexamples, and proofs of both."""
