"""The networks that specs describe: plain chains (mlp, cnn), a transformer and a recurrent network.

Every network has `block.0`, `block.1`, ... and `head`, so that layer names read alike everywhere.
`block.i` is the i-th layer of the spec with its normalisation and activation; its own parts are
called `linear`, `conv`, `norm`, `act`. The modules hold no state but parameters (and the running
statistics of batch norm) and write nothing in place, so `torch.func` works on them; batch norm in
training mode is the exception.
"""

from torch import nn

from nncli.architectures.chains import Chain
from nncli.architectures.recurrent import RecurrentNetwork
from nncli.architectures.spec import Spec
from nncli.architectures.transformer import Transformer


def network(spec: Spec) -> nn.Module:
    """The module of a spec, its parameters as PyTorch happens to initialise them."""
    if spec.family == "transformer":
        return Transformer(spec)
    if spec.family == "rnn":
        return RecurrentNetwork(spec)
    return Chain(spec)
