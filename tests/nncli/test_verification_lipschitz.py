"""Lipschitz bounds: exact where a closed form exists, never below what gradients show."""

import numpy as np
import pytest
import torch
from torch import nn

from nncli.verification.domains import domain_of
from nncli.verification.lipschitz import (
    certified_radius,
    jacobian,
    margin_rows,
    product_bound,
    sampled_bound,
)
from nncli.verification.maps import Convolution, Dense, Positions, Scale, Select, sparse
from nncli.verification.maps import TransposedConvolution as Transposed
from nncli.verification.neighbourhoods import robustness
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.operator_norms import operator_norm, spectral_norm
from nncli.verification.tightening import tightened

NORMS = {"l2": 2, "linf": np.inf, "l1": 1}


def matrix_of(one):
    return one.apply(torch.eye(one.inputs, dtype=torch.float64)).T.numpy()


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convolutions():
    for stride, padding, dilation, groups, kernel in [
        ((1, 1), (1, 1), (1, 1), 1, (3, 3)),
        ((2, 2), (1, 1), (1, 1), 1, (4, 4)),
        ((2, 1), (0, 1), (1, 1), 1, (3, 2)),
        ((1, 1), (2, 2), (2, 2), 1, (3, 3)),
        ((2, 2), (0, 0), (2, 1), 1, (2, 2)),
        ((3, 3), (0, 0), (1, 1), 2, (3, 3)),
    ]:
        yield Convolution(
            draw(4, 4 // groups, *kernel), (4, 9, 8), stride, padding, dilation, groups
        )


MAPS = [
    Dense(draw(5, 7)),
    Dense(draw(7, 5)),
    Scale(draw(6)),
    Select(torch.tensor([0, 2, 2, -1, 1, 2]), 3),
    Positions(draw(3, 4), 5),
    sparse(torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1]), draw(3), (2, 3)),
    *convolutions(),
    Transposed(draw(4, 3, 3, 3), (3, 7, 7), (2, 2), (1, 1), (1, 1)),
    Convolution(draw(2, 3, 3), (3, 10), (2,), (1,), (1,)),
]


@pytest.mark.parametrize("one", MAPS)
@pytest.mark.parametrize("norm", NORMS)
def test_the_bound_of_a_map_is_no_less_than_its_operator_norm(one, norm):
    true = np.linalg.norm(matrix_of(one), NORMS[norm])
    assert operator_norm(one, norm) >= true * (1 - 1e-15)


@pytest.mark.parametrize("one", MAPS[:5])
@pytest.mark.parametrize("norm", NORMS)
def test_the_bound_of_a_matrix_is_its_norm_to_twelve_digits(one, norm):
    true = np.linalg.norm(matrix_of(one), NORMS[norm])
    assert operator_norm(one, norm) == pytest.approx(true, rel=1e-12)


@pytest.mark.parametrize("one", list(convolutions()))
def test_the_bound_of_a_small_convolution_is_within_a_factor_of_its_norm(one):
    true = np.linalg.norm(matrix_of(one), 2)
    factor = 1.5 if 1 in one.stride or one.groups > 1 or one.dilation == (1, 1) else 3.0
    assert operator_norm(one, "l2") <= factor * true


def test_the_bound_of_a_convolution_nears_its_norm_as_images_grow():
    weight = draw(2, 2, 3, 3)
    gaps = []
    for size in (4, 8, 16):
        one = Convolution(weight, (2, size, size), (1, 1), (1, 1), (1, 1))
        gaps.append(operator_norm(one, "l2") / np.linalg.norm(matrix_of(one), 2) - 1)
    assert gaps[0] > gaps[1] > gaps[2] >= 0
    assert gaps[2] < 0.03


@pytest.mark.parametrize("scale", [1e-120, 1.0, 1e120])
def test_spectral_norms_of_nearly_singular_and_of_badly_scaled_matrices_hold(scale):
    hilbert = 1.0 / (torch.arange(8)[:, None] + torch.arange(8)[None] + 1.0).double() * scale
    true = np.linalg.norm(hilbert.numpy(), 2)
    assert true * (1 - 1e-14) <= spectral_norm(hilbert) <= true * (1 + 1e-11)


def network(functions=("relu", "relu"), seed=0):
    one, two, three = draw(9, 6, seed=seed), draw(8, 9, seed=seed + 1), draw(4, 8, seed=seed + 2)
    return Network(
        6,
        (
            Sum((0,), (Dense(one),), draw(9, seed=seed + 3)),
            Activation(1, functions[0], 9),
            Sum((2,), (Dense(two),), draw(8, seed=seed + 4)),
            Activation(3, functions[1], 8),
            Sum((4,), (Dense(three),), draw(4, seed=seed + 5)),
        ),
        (6,),
    )


def region(norm="linf", epsilon="0.2"):
    x = torch.linspace(-1, 1, 6, dtype=torch.float64)
    (first, *_) = robustness("x", x, 0, epsilon, outputs=4, norm=norm).violations
    return first.region


@pytest.mark.parametrize("norm", NORMS)
def test_of_a_linear_network_the_constant_is_the_operator_norm_of_its_matrix(norm):
    first, second = draw(5, 6), draw(4, 5, seed=1)
    net = Network(
        6,
        (
            Sum((0,), (Dense(first),), draw(5)),
            Sum((1,), (Dense(second),), draw(4)),
        ),
        (6,),
    )
    true = np.linalg.norm((second @ first).numpy(), NORMS[norm])
    found = jacobian(net, torch.eye(4, dtype=torch.float64))
    assert found.norm(norm) == pytest.approx(true, rel=1e-12)
    assert found.norm(norm) >= true * (1 - 1e-15)
    assert product_bound(net, norm) >= true
    assert sampled_bound(net, torch.zeros(1, 6), norm) == pytest.approx(true, rel=1e-12)


@pytest.mark.parametrize("functions", [("relu", "relu"), ("tanh", "sigmoid"), ("relu", "tanh")])
@pytest.mark.parametrize("norm", NORMS)
def test_sampled_gradients_never_exceed_the_bounds(functions, norm):
    net, box = network(functions), region()
    share = torch.rand(60, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inside = box.low + share * (box.high - box.low)
    eye = torch.eye(4, dtype=torch.float64)
    everywhere = min(product_bound(net, norm), jacobian(net, eye).norm(norm))
    local = jacobian(net, eye, tightened(net, domain_of([box]))).norm(norm)
    assert sampled_bound(net, 20 * (share - 0.5), norm) <= everywhere
    assert sampled_bound(net, inside, norm) <= local
    assert local <= jacobian(net, eye).norm(norm) * (1 + 1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_a_residual_connection_adds_its_branches(norm):
    weight = draw(6, 6)
    net = Network(
        6,
        (
            Sum((0,), (Dense(weight),), draw(6)),
            Activation(1, "relu", 6),
            Sum(
                (0, 2),
                (Select(torch.arange(6), 6), Select(torch.arange(6), 6)),
                torch.zeros(6, dtype=torch.float64),
            ),
        ),
        (6,),
    )
    true = 1 + np.linalg.norm(weight.numpy(), NORMS[norm])
    assert product_bound(net, norm) == pytest.approx(true, rel=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_no_point_within_the_certified_radius_changes_the_answer(norm):
    changed = 0
    for seed in range(6):
        net = network(seed=10 * seed)
        x = draw(6, seed=seed)
        y = net(x)
        label = int(y.argmax())
        rows = margin_rows(4, label)
        margins = rows @ y
        everywhere = jacobian(net, rows)
        radius = certified_radius(margins, everywhere.rates(norm), product_bound(net, norm), norm)
        assert radius > 0
        steps = draw(4000, 6, seed=seed + 1)
        steps = steps / torch.linalg.vector_norm(steps, NORMS[norm], dim=1, keepdim=True)
        assert (net(x + radius * steps).argmax(dim=1) == label).all()
        changed += int((net(x + 300 * radius * steps).argmax(dim=1) != label).any())
    assert changed  # so that the test could have failed


def test_the_radius_of_a_linear_classifier_is_its_distance_to_the_border():
    weight = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    net = Network(2, (Sum((0,), (Dense(weight),), torch.zeros(2, dtype=torch.float64)),), (2,))
    x = torch.tensor([3.0, 4.0], dtype=torch.float64)
    rows = margin_rows(2, 0)
    for norm, distance in (("l2", 5.0), ("linf", 25 / 7), ("l1", 25 / 4)):
        rates = jacobian(net, rows).rates(norm)
        found = certified_radius(rows @ net(x), rates, product_bound(net, norm), norm)
        assert found == pytest.approx(distance, rel=1e-12)
        assert found <= distance


def test_a_convolution_of_torch_has_the_norm_of_its_matrix():
    layer = nn.Conv2d(2, 3, 3, stride=2, padding=1).double()
    one = Convolution(layer.weight.detach(), (2, 12, 12), (2, 2), (1, 1), (1, 1))
    x = torch.eye(288, dtype=torch.float64).reshape(288, 2, 12, 12)
    with torch.no_grad():
        matrix = (layer(x) - layer.bias[:, None, None]).flatten(1).T
    true = float(torch.linalg.matrix_norm(matrix, 2))
    assert true <= operator_norm(one, "l2") <= 1.15 * true
