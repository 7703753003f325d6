"""From a checkpoint to what is verified: every operator as linear maps and activations."""
