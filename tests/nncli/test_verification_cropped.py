"""Parts of convolutions are those rows and columns of their matrices."""

import pytest
import torch

from nncli.verification.convolution_map import Convolution
from nncli.verification.cropped_map import cropped, inner_box, window
from nncli.verification.network import Network, Sum

# channels out and in a group, kernel; shape in; stride, padding, dilation; groups
CASES = {
    "plain": ((3, 2, 3, 3), (2, 6, 7), (1, 1), (0, 0), (1, 1), 1),
    "padded": ((3, 2, 3, 3), (2, 6, 7), (1, 1), (1, 1), (1, 1), 1),
    "steps": ((3, 2, 4, 3), (2, 9, 7), (2, 3), (1, 2), (1, 1), 1),
    "gaps": ((2, 2, 3, 2), (2, 8, 8), (1, 2), (2, 1), (2, 3), 1),
    "groups": ((4, 1, 3, 3), (2, 5, 5), (2, 1), (1, 1), (1, 1), 2),
    "one dimension": ((3, 2, 3), (2, 11), (2,), (1,), (1,), 1),
    "three dimensions": ((2, 1, 2, 2, 2), (1, 3, 4, 3), (1, 1, 1), (1, 0, 1), (1, 1, 1), 1),
    "mostly padding": ((2, 1, 1, 1), (1, 3, 3), (1, 1), (2, 2), (1, 1), 1),
}


def convolution(name: str) -> Convolution:
    weight, *rest = CASES[name]
    generator = torch.Generator().manual_seed(5)
    return Convolution(torch.randn(weight, generator=generator).double(), *rest)


@pytest.mark.parametrize("name", CASES)
def test_a_part_of_a_convolution_is_a_part_of_its_matrix(name: str) -> None:
    one = convolution(name)
    matrix = one.apply(torch.eye(one.inputs, dtype=torch.float64)).T
    generator = torch.Generator().manual_seed(1)
    for count in (1, 2, 5, one.outputs):
        rows = torch.randperm(one.outputs, generator=generator)[:count].sort().values
        more = torch.randperm(one.inputs, generator=generator)[:3]
        columns = torch.unique(torch.cat([inner_box(one, window(one, rows)), more]))
        part = cropped(one, rows, columns)
        exact = matrix[rows][:, columns]
        assert (part.inputs, part.outputs) == (len(columns), count)
        there = torch.eye(part.inputs, dtype=torch.float64)
        back = torch.eye(part.outputs, dtype=torch.float64)
        assert torch.allclose(part.apply(there).T, exact, atol=1e-12)
        assert torch.allclose(part.adjoint(back), exact, atol=1e-12)
        assert torch.allclose(part.magnitude().adjoint(back), exact.abs(), atol=1e-12)
        # what is left out is zero
        assert torch.allclose(matrix[rows].abs().sum(), exact.abs().sum(), atol=1e-12)


def test_a_part_of_a_convolution_has_a_form_in_float32() -> None:
    one = convolution("padded")
    part = cropped(one, torch.arange(4), torch.arange(one.inputs))
    node = Sum((0,), (part,), torch.zeros(4, dtype=torch.float64))
    single = Network(one.inputs, (node,), (one.inputs,)).single
    assert single(torch.ones(one.inputs)).dtype == torch.float32
