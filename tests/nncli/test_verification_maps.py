"""Linear maps are their matrices: forwards, backwards, in absolute values, and in gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nncli.verification.maps import (
    Convolution,
    Dense,
    Map,
    Positions,
    Scale,
    Select,
    TransposedConvolution,
    sparse,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


MAPS: dict[str, Map] = {
    "dense": Dense(normal(3, 5)),
    "scale": Scale(normal(4)),
    "identity": Select(torch.arange(4), 4),
    "permutation": Select(torch.tensor([2, 0, 3, 1]), 4),
    "part": Select(torch.tensor([2, -1, 0]), 5),
    "repeated": Select(torch.tensor([1, 1, -1, 0, 1]), 3),
    "nothing": Select(torch.tensor([-1, -1]), 3),
    "positions": Positions(normal(2, 3), 4),
    "convolution 1d": Convolution(normal(4, 1, 3), (2, 8), (2,), (1,), (2,), 2),
    "convolution 2d": Convolution(normal(2, 3, 3, 2), (3, 6, 5), (2, 1), (1, 0), (1, 2)),
    "convolution that leaves an edge": Convolution(
        normal(1, 1, 2, 2), (1, 5, 5), (2, 2), (0, 0), (1, 1)
    ),
    "convolution 3d": Convolution(
        normal(2, 1, 2, 2, 2), (1, 3, 4, 3), (1, 2, 1), (0, 1, 0), (1, 1, 1)
    ),
    "transposed convolution": TransposedConvolution(
        normal(4, 1, 3, 3), (2, 8, 7), (2, 2), (1, 1), (1, 1), 2
    ),
    "sparse": sparse(
        torch.tensor([0, 2, 2, 0, 2]), torch.tensor([1, 0, 3, 1, 0]), normal(5), (3, 4)
    ),
    "empty sparse": sparse(
        torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), normal(0), (2, 3)
    ),
}
named = pytest.mark.parametrize("one", MAPS.values(), ids=MAPS.keys())


def matrix(one: Map) -> Tensor:
    """Its columns, one after the other."""
    return torch.stack([one.apply(unit) for unit in torch.eye(one.inputs).double()], dim=1)


@named
def test_a_map_is_linear_in_batches_of_any_shape(one: Map) -> None:
    x = normal(2, 3, one.inputs, seed=1)
    assert matrix(one).shape == (one.outputs, one.inputs)
    torch.testing.assert_close(one.apply(x), x @ matrix(one).T)


@named
def test_the_adjoint_is_the_transpose(one: Map) -> None:
    y = normal(2, 3, one.outputs, seed=2)
    torch.testing.assert_close(one.adjoint(y), y @ matrix(one))


@named
def test_the_magnitude_holds_the_absolute_values(one: Map) -> None:
    torch.testing.assert_close(matrix(one.magnitude()), matrix(one).abs())
    y = normal(one.outputs, seed=3)
    torch.testing.assert_close(one.magnitude().adjoint(y), y @ matrix(one).abs())


@named
def test_no_sum_is_longer_than_is_said(one: Map) -> None:
    there = matrix(one) != 0
    assert one.terms >= max(1, int(there.sum(0).max()), int(there.sum(1).max()))


@named
def test_gradients_pass_in_both_directions(one: Map) -> None:
    x, y = normal(3, one.inputs).requires_grad_(), normal(3, one.outputs).requires_grad_()
    (one.apply(x) * y.detach()).sum().backward()
    (one.adjoint(y) * x.detach()).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    torch.testing.assert_close(x.grad, y.detach() @ matrix(one))
    torch.testing.assert_close(y.grad, x.detach() @ matrix(one).T)


def test_a_convolution_is_that_of_torch() -> None:
    weight, x = normal(4, 1, 3, 2), normal(5, 2, 7, 6)
    one = Convolution(weight, (2, 7, 6), (2, 1), (1, 0), (1, 2), 2)
    wanted = F.conv2d(x, weight, None, (2, 1), (1, 0), (1, 2), 2)
    assert one.out_shape == tuple(wanted.shape[1:])
    torch.testing.assert_close(one.apply(x.flatten(1)), wanted.flatten(1))


def test_a_transposed_convolution_is_that_of_torch() -> None:
    weight, x = normal(4, 3, 3, 3), normal(5, 4, 5, 4)
    wanted = F.conv_transpose2d(x, weight, None, 2, 1, (1, 0), 2)
    one = TransposedConvolution(weight, tuple(wanted.shape[1:]), (2, 2), (1, 1), (1, 1), 2)
    torch.testing.assert_close(one.apply(x.flatten(1)), wanted.flatten(1))


def test_numbers_at_one_place_are_added_up_and_zeros_left_out() -> None:
    rows, columns = torch.tensor([0, 0, 1, 1]), torch.tensor([2, 2, 0, 0])
    one = sparse(rows, columns, torch.tensor([1.0, 2.0, 1.0, -1.0]).double(), (2, 3))
    assert matrix(one).tolist() == [[0, 0, 3], [0, 0, 0]]
    assert one.terms == 1
