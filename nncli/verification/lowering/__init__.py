"""From a checkpoint to what is verified: every operator as linear maps and activations."""

from nncli.verification.lowering.agreement import demand_same
from nncli.verification.lowering.lower import lower

__all__ = ["demand_same", "lower"]
