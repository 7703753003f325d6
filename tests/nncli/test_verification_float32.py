"""No network in float32 is farther from its real numbers than is said, whatever it adds up when."""

import copy
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nncli.errors import ArtifactError
from nncli.verification.asking import property_of
from nncli.verification.exact import ExactCase, Limits, Linear
from nncli.verification.float32.errors import traced
from nncli.verification.float32.original import original
from nncli.verification.float_margin import demand_single, strengthened
from nncli.verification.properties import Region
from nncli.verification.tightening import Effort


def box(low, high):
    """A region whose limits are float32 numbers."""
    low, high = (torch.as_tensor(one).float().double() for one in (low, high))
    return Region(low, high, low, high)


def errors(net, shape, region):
    """What is said of the outputs."""
    run = original(net.eval(), shape, source="net")
    found = traced(run, region, Effort())
    places = run.lowered.traced
    return found.of_sums(places, torch.eye(len(places), dtype=torch.float64))


def layered(seed):
    """A small network whose layers may be scaled as badly as can be."""
    draw = np.random.default_rng(seed)
    sizes = [int(one) for one in draw.integers(1, 7, size=draw.integers(2, 5))]
    spread = 8.0 if seed % 2 else 0.5
    layers = []
    for into, out in pairwise(sizes):
        layer = nn.Linear(into, out)
        scale = 10 ** draw.uniform(-spread, spread, size=(out, into))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(draw.standard_normal((out, into)) * scale))
            layer.bias.copy_(
                torch.from_numpy(draw.standard_normal(out) * 10 ** draw.uniform(-3, 3))
            )
        layers += [layer, nn.ReLU() if draw.random() < 0.7 else nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers[:-1]), sizes


def exactly(net, x):
    """The real outputs of a layered network, as fractions."""
    values = [Fraction(one) for one in x]
    for layer in net:
        if isinstance(layer, nn.Linear):
            rows, biases = layer.weight.tolist(), layer.bias.tolist()
            values = [
                Fraction(bias)
                + sum(Fraction(weight) * value for weight, value in zip(row, values, strict=True))
                for row, bias in zip(rows, biases, strict=True)
            ]
        else:
            slope = Fraction(layer.negative_slope) if isinstance(layer, nn.LeakyReLU) else 0
            values = [max(one, slope * one) for one in values]
    return values


def shuffled(net, x, draw, *, fused):
    """The outputs in float32, every sum in an order of its own."""
    values = np.asarray(x, dtype=np.float32)
    for layer in net:
        if isinstance(layer, nn.Linear):
            made = []
            for row, bias in zip(layer.weight.detach().numpy(), layer.bias.tolist(), strict=True):
                terms = [(np.float32(bias), np.float32(1)), *zip(row, values, strict=True)]
                total = np.float32(0)
                for place in draw.permutation(len(terms)):
                    one, other = terms[place]
                    if fused:  # float64 holds the product of two float32 numbers
                        total = np.float32(np.float64(total) + np.float64(one) * np.float64(other))
                    else:
                        total = np.float32(total + np.float32(one * other))
                made.append(total)
            values = np.array(made, dtype=np.float32)
        elif isinstance(layer, nn.LeakyReLU):
            scaled = np.float32(layer.negative_slope) * values
            values = np.where(values > 0, values, scaled).astype(np.float32)
        else:
            values = np.maximum(values, np.float32(0))
    return values.tolist()


def test_three_hundred_networks_are_no_farther_from_exact_fractions_in_any_order_of_sums():
    wide = 0
    for seed in range(300):
        net, sizes = layered(seed)
        draw = np.random.default_rng(10_000 + seed)
        centre = draw.uniform(-2, 2, size=sizes[0])
        radius = float(draw.choice([0.0, 0.01, 1.0]))
        region = box(centre - radius, centre + radius)
        room = [Fraction(one) for one in errors(net, (sizes[0],), region).tolist()]
        for share in (0.0, 1.0, draw.random()):
            x = (region.low + share * (region.high - region.low)).float()
            real = exactly(net, x.tolist())
            with torch.no_grad():
                given = [net(x[None])[0].tolist()]
            given += [shuffled(net, x.tolist(), draw, fused=fused) for fused in (False, True)]
            for y in given:
                assert all(
                    abs(Fraction(one) - other) <= most
                    for one, other, most in zip(y, real, room, strict=True)
                ), seed
                wide += any(one != other for one, other in zip(y, real, strict=True))
    assert wide > 1000  # rounding there was


class Residual(nn.Module):
    """Additions, differences, constants and several uses of one number."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1)
        self.register_buffer("mean", torch.tensor([3.3, -7.7]).reshape(1, 2, 1, 1))
        self.register_buffer("std", torch.tensor([0.3, 11.0]).reshape(1, 2, 1, 1))

    def forward(self, x):
        x = (x / 255 - self.mean) / self.std
        y = F.relu(self.one(x), inplace=True)
        y = torch.add(y, self.two(y), alpha=0.3) + x * 0.1
        y = 1.7 - y
        return torch.cat([y.mean((2, 3)), (y - 100 * x).flatten(1)[:, ::3], y.sum((2, 3))], 1)


class InPlace(nn.Module):
    """Numbers that are written over."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        y = self.layer(x).clone()
        y[:, 1:] += 0.1
        y.view(-1, 2, 2)[:, 0].relu_()
        made = torch.zeros_like(y)
        made[:, ::2] = y[:, 2:]
        return y.mul_(0.7) + made


def badly_scaled(module, seed=0):
    """Weights and statistics of very different sizes."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, one in (*module.named_parameters(), *module.named_buffers()):
            if not one.is_floating_point() or name in ("mean", "std"):
                continue
            one.copy_(torch.randn(one.shape, generator=draw))
            one.mul_(10 ** (4 * torch.rand(one.shape, generator=draw) - 2))
            if "var" in name:
                one.abs_()
    return module.eval()


OPERATORS = [
    (nn.Conv1d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2), (2, 9)),
    (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 5, 6)),
    (nn.ConvTranspose2d(4, 6, 3, 2, 1, (1, 0), groups=2, dilation=(1, 2)), (4, 4, 3)),
    (nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True)), (1, 5, 5)),
    (nn.BatchNorm1d(3, eps=1e-3), (3, 5)),
    (nn.BatchNorm1d(3, affine=False), (3,)),
    (nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(1.5)), (3,)),
    (nn.Sequential(nn.Linear(3, 4), nn.PReLU(4)), (3,)),
    (nn.Hardtanh(-0.3, 0.7), (5,)),
    (nn.Sequential(nn.Linear(3, 4), nn.Hardsigmoid()), (3,)),
    (nn.Softshrink(0.3), (5,)),
    (nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 3)), (3,)),
    (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)), (3,)),
    (nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2)), (1, 8, 8)),
    (nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d((2, 3))), (2, 9, 7)),
    (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (1, 6, 5)),
    (nn.Sequential(nn.Linear(4, 4), nn.ZeroPad1d(2), nn.Linear(8, 2)), (4,)),
    (Residual(), (2, 4, 4)),
    (InPlace(), (4,)),
]


@pytest.mark.parametrize("place", range(len(OPERATORS)))
def test_operators_are_no_farther_from_float64_than_is_said(place):
    net, shape = OPERATORS[place]
    count = torch.Size(shape).numel()
    draw = torch.Generator().manual_seed(place)
    rounded = False
    for seed in range(4):
        net = badly_scaled(copy.deepcopy(net), seed)
        centre = 3 * torch.randn(count, generator=draw)
        region = box(centre - 0.1 * seed, centre + 0.1 * seed)
        room = errors(net, shape, region)
        double = copy.deepcopy(net).double()
        share = torch.rand(50, count, generator=draw).double()
        x = (region.low + share * (region.high - region.low)).float()
        x = x.clamp(region.low.float(), region.high.float()).reshape(-1, *shape)
        with torch.no_grad():
            real = double(x.double()).flatten(1)
            off = (net(x).double().flatten(1) - real).abs()
        # float64 is off itself, by far less than float32 by the same sums
        assert bool((off <= room).all()), seed
        rounded = rounded or bool((off > 0).any())
        assert bool((room < 1e6 * (real.abs().amax(0) + 1e3)).all())  # it says something
    assert rounded or isinstance(net, nn.Hardtanh)


def test_deep_wide_networks_get_errors_of_use():
    torch.manual_seed(0)
    layers = [layer for _ in range(6) for layer in (nn.Linear(128, 128), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(128, 10))
    centre = torch.rand(128)
    region = box(centre - 0.01, centre + 0.01)
    assert 1e-7 < float(errors(net, (128,), region).max()) < 5e-3


def test_numbers_that_may_overflow_have_infinite_errors():
    net = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1))
    with torch.no_grad():
        for layer in (net[0], net[1]):
            layer.weight.fill_(1e20)
            layer.bias.zero_()
        net[1].weight[0, 1] = -1e20  # the real function is 0 everywhere
    assert float(errors(net, (1,), box([1.0], [2.0]))[0]) == float("inf")


def test_numbers_below_the_least_may_be_flushed_to_zero():
    net = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(2.0**-130)
    (room,) = errors(net, (1,), box([1.0], [1.0])).tolist()
    assert 2.0**-130 <= room < 2.0**-115


class Computing(nn.Module):
    """A layer whose weights are computed each time."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3))

    def forward(self, x):
        return F.linear(x, self.weight / 3)


class General(nn.Module):
    """A product and a sum with factors, as graphs write them."""

    def __init__(self, factor):
        super().__init__()
        self.layer, self.factor = nn.Linear(3, 2), factor

    def forward(self, x):
        return 1.0 * (x @ self.layer.weight.T) + self.factor * self.layer.bias


def test_factors_of_weights_that_round_nothing_are_taken():
    for factor in (1.0, 0.5, -1.0):
        assert float(errors(General(factor), (3,), box([0.0] * 3, [1.0] * 3)).max()) < 1e-5
    with pytest.raises(ArtifactError, match=r"from weights each time .*`mul`"):
        errors(General(0.3), (3,), box([0.0] * 3, [1.0] * 3))


class Edged(nn.Module):
    """Uneven padding of a max pool, as graphs have it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        x = F.pad(self.layer(x), (0, 1, 0, 1), value=float("-inf"))
        return F.max_pool2d(x, 2).flatten(1)


def test_edges_of_minus_infinity_are_no_great_numbers():
    room = errors(badly_scaled(Edged()), (1, 5, 5), box([0.0] * 25, [1.0] * 25))
    assert float(room.max()) < 1e-2


class Constant(nn.Module):
    """A function with a number that float32 does not hold."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "x", "real"),
    [
        (lambda x: x + 0.1, 0.0, Fraction(0.1)),
        (lambda x: 0.1 - x, 0.0, Fraction(0.1)),
        (lambda x: x.clamp(max=0.1), 1.0, Fraction(0.1)),
        (lambda x: x * 0.1, 1.0, Fraction(0.1)),
        (lambda x: x / 0.1, 1.0, 1 / Fraction(0.1)),
        (lambda x: F.leaky_relu(x, 0.1), -1.0, -Fraction(0.1)),
        (lambda x: F.softshrink(x, 0.1), 1.0, 1 - Fraction(0.1)),
        (lambda x: F.hardtanh(x, -0.1, 2.0), -1.0, -Fraction(0.1)),
        (F.hardsigmoid, 1.0, Fraction(2, 3)),
    ],
)
def test_numbers_that_float32_does_not_hold_are_rounded_first(function, x, real):
    net = Constant(function)
    (room,) = errors(net, (1,), box([x], [x])).tolist()
    off = abs(Fraction(float(net(torch.tensor([[x]])))) - real)
    assert 0 < off <= Fraction(room)


class Choosing(nn.Module):
    """A leaky ReLU by its definition."""

    def forward(self, x):
        return torch.where(x > 0, x, 0.1 * x)


class Halving(nn.Module):
    """Half precision within."""

    def forward(self, x):
        return (x * 2).half().float()


class Casting(nn.Module):
    """Half precision that torch chooses."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.layer(x).relu().float()


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Sequential(nn.Linear(3, 2), nn.Softmax(-1)), "ends in a softmax"),
        (nn.Sequential(Computing()), r"`0` computes numbers from weights each time .*`div`"),
        (Choosing(), "how float32 rounds there is not known"),
        (Halving(), "half precision"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), "upsample_bilinear2d"),
    ],
)
def test_what_rounds_nobody_knows_how_is_refused_by_name(net, words):
    shape = (1, 2, 2) if isinstance(net, nn.Upsample) else (3,)
    with pytest.raises(ArtifactError, match=words):
        original(net.eval(), shape, source="net")


def test_weights_that_are_not_float32_are_refused():
    with pytest.raises(ArtifactError, match="float64"):
        demand_single(nn.Linear(1, 1).double(), (1,), "net")
    with pytest.raises(ArtifactError, match="bfloat16"):
        demand_single(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1).bfloat16()), (1,), "net")
    with pytest.raises(ArtifactError, match="takes numbers to bfloat16"):
        demand_single(Casting(), (3,), "net")
    demand_single(nn.Linear(3, 1), (3,), "net")


def asked(low, high, constant=Fraction(0)):
    """`Y_1 + constant >= Y_0` must not happen."""
    limits = Limits((Fraction(low),), (Fraction(high),))
    worse = Linear((), ((0, Fraction(-1)), (1, Fraction(1))), constant)
    return property_of("p", [ExactCase(limits, (worse,))], inputs=1, outputs=2)


def test_a_point_that_float32_does_not_have_stands_for_the_nearest_one():
    net = nn.Linear(1, 2)
    found = strengthened(
        asked(Fraction(1, 10), Fraction(1, 10)), original(net, (1,), source="net"), Effort()
    )
    region = found.question.violations[0].region
    nearest = float(np.float32(0.1))
    assert float(region.low) <= 0.1 < nearest <= float(region.high)


def test_constants_are_raised_by_what_outputs_may_be_off_and_cases_stay_exact():
    net = nn.Linear(1, 2)
    question = asked(0, 1)
    run = original(net, (1,), source="net")
    found = strengthened(question, run, Effort())
    room = errors(net, (1,), question.violations[0].region)
    raised = float(found.question.violations[0].constants)
    assert raised == pytest.approx(float(room.sum()), rel=1e-4)
    assert found.margin == pytest.approx(raised)
    assert found.question.cases is question.cases


def test_whatever_holds_with_room_holds_of_every_float32_number():
    """Lines that nearly meet, over few enough numbers to try them all."""
    draw = np.random.default_rng(0)
    first = np.float32(1.0)
    grid = [first]
    for _ in range(16):
        grid.append(np.nextafter(grid[-1], np.float32(2)))
    x = torch.tensor(np.array(grid))[:, None]
    held = broken = 0
    for _ in range(200):
        net = nn.Linear(1, 2)
        slope = draw.standard_normal()
        with torch.no_grad():
            net.weight.copy_(torch.tensor([[slope + 1e-7 * draw.standard_normal()], [slope]]))
            net.bias.copy_(torch.tensor([10 ** draw.uniform(-8, -5.5), 0.0]))
            y = net(x).double()
        fails = bool((y[:, 1] >= y[:, 0]).any())
        question = asked(float(grid[0]), float(grid[-1]))
        found = strengthened(question, original(net, (1,), source="net"), Effort())
        (weight_0, weight_1), (bias_0, bias_1) = net.weight.flatten().tolist(), net.bias.tolist()
        ends = [
            Fraction(float(one)) * (Fraction(weight_0) - Fraction(weight_1))
            + Fraction(bias_0)
            - Fraction(bias_1)
            for one in (grid[0], grid[-1])
        ]
        real = min(ends)
        room = Fraction(float(found.question.violations[0].constants))
        if real > room:
            held += 1
            assert not fails
        broken += fails and real > 0
    assert held > 20  # it can be shown
    assert broken > 5  # and there is something to be shown
