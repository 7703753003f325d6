"""The transformer."""

import torch
from torch import Tensor, nn

from nncli.architectures.chains import ACTIVATION_MODULES
from nncli.architectures.inputs import fitted
from nncli.architectures.sequences import embedding, pooled
from nncli.architectures.spec import Spec


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017), every step written out.

    So `torch.func` and hooks see all of it; what `weights` puts out is the attention map
    (n, heads, length, length).

    Args:
        width: Features of a position.
        heads: Number of heads; divides `width`.
        causal: Whether a position attends only to itself and those before it.
    """

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.weights = nn.Softmax(dim=-1)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Mix positions: x (n, length, width), mask (n, length) True at real positions."""
        n, length, width = x.shape
        split = (n, length, self.heads, width // self.heads)
        query, key, value = (
            part(x).reshape(split).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) / (width // self.heads) ** 0.5
        # the lowest number instead of -inf: a row without any real position stays finite
        lowest = torch.finfo(scores.dtype).min
        if self.causal:
            later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(later, lowest)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], lowest)
        mixed = self.weights(scores) @ value
        joined: Tensor = self.output(mixed.transpose(1, 2).reshape(n, length, width))
        return joined


class TransformerBlock(nn.Module):
    """A pre-norm transformer block: x + attention(norm(x)), then x + mlp(norm(x)).

    Args:
        spec: A spec of family `transformer`.
        width: Features of a position; the mlp has four times as many hidden units.
        heads: Number of heads.
    """

    def __init__(self, spec: Spec, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width) if spec.norm == "layer" else nn.Identity()
        self.attention = Attention(width, heads, causal=spec.causal)
        self.norm2 = nn.LayerNorm(width) if spec.norm == "layer" else nn.Identity()
        self.up = nn.Linear(width, 4 * width)
        self.act = ACTIVATION_MODULES[spec.act]()
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Map (n, length, width) to the same shape."""
        x = x + self.attention(self.norm1(x), mask)
        added: Tensor = self.down(self.act(self.up(self.norm2(x))))
        return x + added


class Transformer(nn.Module):
    """A transformer encoder (or, with `causal`, a decoder) with one linear head.

    Args:
        spec: A spec of family `transformer`.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec
        sizes = dict(spec.layers)
        width = sizes["width"]
        self.embed = embedding(spec, width)
        self.position = nn.Parameter(torch.empty(spec.input_shape[0], width))
        self.block = nn.ModuleList(
            TransformerBlock(spec, width, sizes["heads"]) for _ in range(sizes["blocks"])
        )
        self.norm = nn.LayerNorm(width) if spec.norm == "layer" else nn.Identity()
        self.head = nn.Linear(width, spec.outputs)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map a batch to outputs.

        Args:
            x: (n, length, features) or token ids (n, length).
            mask: (n, length), True at real positions.

        Returns:
            (n, outputs); with `pool=none` (n, length, outputs).
        """
        x = fitted(x, self.spec, self.head.weight.dtype)
        mask = None if mask is None else mask.bool()
        x = self.embed(x) + self.position[: x.shape[1]]
        for block in self.block:
            x = block(x, mask)
        outputs: Tensor = self.head(pooled(self.norm(x), mask, self.spec.pool))
        return outputs
