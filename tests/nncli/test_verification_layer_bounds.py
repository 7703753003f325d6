"""Bounds of layers and outputs hold every sampled value, and are exact where they can be."""

import pytest
import torch

from nncli.verification.layer_bounds import layer_bounds, reached_outputs
from nncli.verification.maps import Dense
from nncli.verification.neighbourhoods import robustness
from nncli.verification.network import Activation, Network, Sum
from nncli.verification.tightening import Effort

EFFORTS = [Effort(backward=False), Effort(), Effort(steps=5)]


def network(seed, functions=("relu", "tanh")):
    generator = torch.Generator().manual_seed(seed)

    def dense(into, out, parent, label):
        weight = torch.randn(out, into, generator=generator, dtype=torch.float64)
        bias = torch.randn(out, generator=generator, dtype=torch.float64)
        return Sum((parent,), (Dense(weight),), bias, label)

    return Network(
        5,
        (
            dense(5, 9, 0, "block.0"),
            Activation(1, functions[0], 9),
            dense(9, 7, 2, "block.1"),
            Activation(3, functions[1], 7),
            dense(7, 4, 4, "head"),
        ),
        (5,),
    )


def region(norm="linf", epsilon="0.3"):
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)
    (first, *_) = robustness("x", x, 0, epsilon, outputs=4, norm=norm).violations
    return first.region


def samples(box, norm, count=4000):
    generator = torch.Generator().manual_seed(1)
    share = torch.rand(count, len(box.low), generator=generator, dtype=torch.float64)
    x = box.low + share * (box.high - box.low)
    if box.ball is not None:
        away = x - box.ball.centre
        length = away.norm(dim=1, p=box.ball.norm, keepdim=True)
        x = box.ball.centre + away * (box.ball.radius * 0.999 / length).clamp_max(1)
    return x


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("functions", [("relu", "relu"), ("relu", "tanh"), ("sigmoid", "relu")])
def test_every_sampled_value_lies_inside(effort, norm, functions):
    net, box = network(0, functions), region(norm)
    values = net.values(samples(box, norm))
    first, second, last = layer_bounds(net, box, effort)
    assert [one.name for one in (first, second, last)] == ["block.0", "block.1", "output"]
    for layer, place in ((first, 1), (second, 3), (last, 5)):
        assert (values[place] >= layer.low).all()
        assert (values[place] <= layer.high).all()


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_what_attacks_reach_lies_inside_and_is_more_extreme_than_samples(norm):
    net, box = network(2), region(norm)
    last = layer_bounds(net, box, Effort())[-1]
    least, most = reached_outputs(net, box, seed=0)
    seen = net(samples(box, norm, 500))
    assert (last.low <= least).all()
    assert (most <= last.high).all()
    assert (least <= seen.amin(dim=0) + 1e-3).all()
    assert (most >= seen.amax(dim=0) - 1e-3).all()


def test_of_a_linear_network_the_range_is_reached():
    weight = torch.tensor([[1.0, -2.0, 0.5, 0.0, 3.0]] * 4, dtype=torch.float64)
    net = Network(5, (Sum((0,), (Dense(weight),), torch.zeros(4, dtype=torch.float64)),), (5,))
    box = region()
    (last,) = layer_bounds(net, box, Effort())
    middle = net((box.low + box.high) / 2)
    assert torch.allclose(last.high, middle + 0.3 * 6.5, rtol=1e-9)
    least, most = reached_outputs(net, box, seed=0)
    assert torch.allclose(least, last.low, rtol=1e-6)
    assert torch.allclose(most, last.high, rtol=1e-6)


def test_layers_of_one_label_have_names_of_their_own():
    net = network(0)
    same = [
        Sum(one.parents, one.maps, one.bias, "block") if isinstance(one, Sum) else one
        for one in net.nodes
    ]
    found = layer_bounds(Network(5, tuple(same), (5,)), region(), Effort())
    assert [one.name for one in found] == ["block", "block.2", "output"]
