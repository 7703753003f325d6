"""Convolution as a linear map between flat vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod

from torch import Tensor
from torch.nn import functional as F

CONVOLUTIONS: tuple[Callable[..., Tensor], ...] = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED: tuple[Callable[..., Tensor], ...] = (
    F.conv_transpose1d,
    F.conv_transpose2d,
    F.conv_transpose3d,
)


@dataclass(frozen=True)
class Convolution:
    """A convolution over one, two or three dimensions.

    Attributes:
        weight: (out channels, in channels / groups, ...).
        shape: What goes in: (in channels, ...).
        stride: Steps along each dimension.
        padding: Zeros on both sides of each dimension.
        dilation: Gaps along each dimension.
        groups: Groups of channels.
    """

    weight: Tensor
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @cached_property
    def out_shape(self) -> tuple[int, ...]:
        """What comes out: (out channels, ...)."""
        places = (
            (size + 2 * pad - gap * (width - 1) - 1) // by + 1
            for size, width, by, pad, gap in zip(
                self.shape[1:],
                self.weight.shape[2:],
                self.stride,
                self.padding,
                self.dilation,
                strict=True,
            )
        )
        return (self.weight.shape[0], *places)

    @property
    def inputs(self) -> int:
        """Numbers that go in."""
        return prod(self.shape)

    @property
    def outputs(self) -> int:
        """Numbers that come out."""
        return prod(self.out_shape)

    @property
    def terms(self) -> int:
        """The kernel over the channels that meet in a sum, in either direction."""
        out, into, *kernel = self.weight.shape
        return max(into, out // self.groups) * prod(kernel)

    def apply(self, x: Tensor) -> Tensor:
        """The convolution."""
        flat = x.reshape(-1, *self.shape)
        found = CONVOLUTIONS[len(self.stride) - 1](
            flat, self.weight, None, self.stride, self.padding, self.dilation, self.groups
        )
        return found.reshape(*x.shape[:-1], self.outputs)

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed convolution, to the size that went in."""
        flat = y.reshape(-1, *self.out_shape)
        found = TRANSPOSED[len(self.stride) - 1](
            flat,
            self.weight,
            None,
            self.stride,
            self.padding,
            self._left_over,
            self.groups,
            self.dilation,
        )
        return found.reshape(*y.shape[:-1], self.inputs)

    @cached_property
    def _left_over(self) -> tuple[int, ...]:
        """What no window reached at the far ends."""
        return tuple(
            size - ((out - 1) * by - 2 * pad + gap * (width - 1) + 1)
            for size, out, width, by, pad, gap in zip(
                self.shape[1:],
                self.out_shape[1:],
                self.weight.shape[2:],
                self.stride,
                self.padding,
                self.dilation,
                strict=True,
            )
        )

    def magnitude(self) -> "Convolution":
        """With the absolute weights."""
        return Convolution(
            self.weight.abs(), self.shape, self.stride, self.padding, self.dilation, self.groups
        )


@dataclass(frozen=True)
class TransposedConvolution:
    """The adjoint of a convolution; the fields are those of the convolution.

    Attributes:
        weight: (in channels, out channels / groups, ...).
        shape: What comes out: (out channels, ...).
        stride: Steps along each dimension.
        padding: Zeros that are cut off at both ends of each dimension.
        dilation: Gaps along each dimension.
        groups: Groups of channels.
    """

    weight: Tensor
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @cached_property
    def _of(self) -> Convolution:
        return Convolution(
            self.weight, self.shape, self.stride, self.padding, self.dilation, self.groups
        )

    @property
    def inputs(self) -> int:
        """Numbers that go in."""
        return self._of.outputs

    @property
    def outputs(self) -> int:
        """Numbers that come out."""
        return self._of.inputs

    @property
    def terms(self) -> int:
        """Those of the convolution."""
        return self._of.terms

    def apply(self, x: Tensor) -> Tensor:
        """The transposed convolution."""
        return self._of.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The convolution."""
        return self._of.apply(y)

    def magnitude(self) -> "TransposedConvolution":
        """With the absolute weights."""
        return TransposedConvolution(
            self.weight.abs(), self.shape, self.stride, self.padding, self.dilation, self.groups
        )
