"""From a checkpoint to what is verified: every operator as linear maps and activations."""

from nncli.verification.lowering.lower import lower

__all__ = ["lower"]
