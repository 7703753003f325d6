"""Lowered networks compute what the originals compute, operator by operator, or are refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nncli.architectures import build
from nncli.errors import ArtifactError, MismatchError
from nncli.verification.lowering import demand_same, lower
from nncli.verification.maps import Dense
from nncli.verification.network import Activation, Network, Sum

ALTERNATE = torch.tensor([True, False, True, False])
NUMBERS = torch.linspace(-2, 3, 20)


class Function(nn.Module):
    """A network that is one function, with layers of its own if it needs them."""

    def __init__(self, function: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.function(x, **dict(self.named_children()))


def changed_in_place(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, 1:] += 1
    x.view(-1).relu_()
    return x.mul_(2)


def written_into_zeros(x: Tensor) -> Tensor:
    made = torch.zeros(1, 4, dtype=x.dtype)
    part = made[:, 1]
    made[:, ::2] = x[:, :2]
    part.copy_(x[:, 2] * 3)
    return torch.relu(made)


def changed_after_use(x: Tensor) -> Tensor:
    x = x * 1
    before = x + 1
    x.zero_()
    return before + x


LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Identity(), (3,)),
    (nn.Linear(3, 2), (3,)),
    (nn.Linear(3, 2), (4, 3)),
    (nn.Linear(3, 2, bias=False), (2, 4, 3)),
    (nn.Conv1d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2), (2, 9)),
    (nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 7, 6)),
    (nn.Conv2d(2, 3, 3, padding="same", dilation=2), (2, 5, 6)),
    (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 5, 6)),
    (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 5, 6)),
    (nn.Conv3d(1, 2, 2, stride=2), (1, 4, 4, 5)),
    (nn.ConvTranspose1d(2, 3, 3, stride=2, padding=1, output_padding=1), (2, 5)),
    (nn.ConvTranspose2d(4, 6, 3, 2, 1, (1, 0), groups=2, dilation=(1, 2)), (4, 4, 3)),
    (nn.ConvTranspose3d(1, 2, 2, stride=2), (1, 2, 3, 2)),
    (nn.BatchNorm1d(3), (3,)),
    (nn.BatchNorm1d(3), (3, 5)),
    (nn.BatchNorm2d(3, affine=False), (3, 2, 2)),
    (nn.ReLU(inplace=True), (3,)),
    (nn.LeakyReLU(0.3, inplace=True), (3,)),
    (nn.LeakyReLU(1.5), (3,)),
    (nn.PReLU(3), (3, 4)),
    (nn.Hardtanh(-0.5, 0.7), (5,)),
    (nn.ReLU6(), (3,)),
    (nn.Hardsigmoid(), (5,)),
    (nn.Sigmoid(), (3,)),
    (nn.Tanh(), (3,)),
    (nn.Softshrink(), (5,)),
    (nn.Threshold(0.2, 0.2), (5,)),
    (nn.MaxPool1d(3, 2), (2, 8)),
    (nn.MaxPool2d(2), (2, 6, 5)),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 6, 7)),
    (nn.MaxPool2d((2, 3), (1, 2), (1, 1), dilation=(2, 1)), (1, 6, 7)),
    (nn.MaxPool3d(2), (1, 4, 4, 4)),
    (nn.AdaptiveMaxPool1d(3), (2, 7)),
    (nn.AdaptiveMaxPool2d((2, 3)), (2, 5, 7)),
    (nn.AvgPool1d(3, 2, 1), (2, 8)),
    (nn.AvgPool2d(3, 2, 1, ceil_mode=True), (2, 6, 7)),
    (nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 6, 7)),
    (nn.AvgPool2d(2, divisor_override=3), (2, 4, 4)),
    (nn.AvgPool3d(2), (1, 4, 4, 4)),
    (nn.AdaptiveAvgPool1d(3), (2, 7)),
    (nn.AdaptiveAvgPool2d((2, 3)), (2, 5, 7)),
    (nn.AdaptiveAvgPool3d(2), (1, 3, 4, 5)),
    (nn.Upsample(scale_factor=2, mode="nearest"), (2, 3, 3)),
    (nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 2)),
    (nn.PixelShuffle(2), (4, 2, 2)),
    (nn.Unfold(2, padding=1), (2, 3, 3)),
    (nn.Fold((4, 3), 2), (8, 6)),
    (nn.RNN(3, 4, batch_first=True), (5, 3)),
]
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "abs": (lambda x: x.abs(), (4,)),
    "clamp from below": (lambda x: x.clamp(min=-0.3), (4,)),
    "clamp from above": (lambda x: x.clamp(max=0.3), (4,)),
    "clamp by tensors": (lambda x: x.clamp(NUMBERS[:4], NUMBERS[4:8]), (4,)),
    "maximum": (lambda x: torch.maximum(x, x.flip(1)), (4,)),
    "minimum": (lambda x: torch.minimum(2 * x, x + 1), (4,)),
    "maximum with constants": (lambda x: torch.maximum(NUMBERS[:4], x), (4,)),
    "minimum with a constant": (lambda x: torch.minimum(x, torch.tensor(0.1)), (4,)),
    "leaky where": (lambda x: torch.where(x < 0, 0.2 * x, x), (4,)),
    "rectifying where": (lambda x: torch.where(x > 0, x, torch.zeros(())), (4,)),
    "masking where": (lambda x: torch.where(ALTERNATE, x, -x), (4,)),
    "masked fill": (lambda x: x.masked_fill(ALTERNATE, 2.0), (4,)),
    "amax": (lambda x: x.amax((1, 2)), (3, 4)),
    "amin": (lambda x: x.amin(1, keepdim=True), (3, 4)),
    "max over a dimension": (lambda x: x.max(1).values, (3, 4)),
    "min over a dimension": (lambda x: x.min(2, keepdim=True)[0], (3, 4)),
    "max of all": (lambda x: x.max(), (3, 4)),
    "mean": (lambda x: x.mean(), (3, 4)),
    "mean over a dimension": (lambda x: x.mean(-1, keepdim=True), (3, 4)),
    "sum": (lambda x: x.sum((1,)), (3, 4)),
    "cumsum": (lambda x: x.cumsum(1), (3, 4)),
    "cat with constants": (lambda x: torch.cat([x, 2 * x, torch.ones(1, 3)], 1)[:, 1:-1], (3,)),
    "stack": (lambda x: torch.stack(x.unbind(1)[::-1], 1), (3, 4)),
    "constant pads": (lambda x: F.pad(x, (1, 2, 0, 1), value=3.0), (3, 4)),
    "negative pads": (lambda x: F.pad(x, (-1, 2)), (3, 4)),
    "reflected pads": (lambda x: F.pad(x, (1, 2), mode="reflect"), (3, 4)),
    "replicated pads": (lambda x: F.pad(x, (1, 2), mode="replicate"), (3, 4)),
    "index": (lambda x: x[:, [2, 0, 0]], (3, 4)),
    "mask": (lambda x: x[:, ALTERNATE], (4,)),
    "gather": (lambda x: x.gather(1, torch.tensor([[3, 1, 1]])), (4,)),
    "split": (lambda x: torch.cat(x.split([1, 3], 1)[::-1], 1), (4,)),
    "roll": (lambda x: x.roll(1, 1) + x, (4,)),
    "twice the same": (lambda x: x + x, (4,)),
    "nothing but zeros": (lambda x: x - x, (4,)),
    "arithmetic": (lambda x: (x - 1) / 3 - x * 2 + 4, (4,)),
    "from a constant": (lambda x: 1 - x, (4,)),
    "broadcasting": (lambda x: x[:, :, None] + x[:, None, :] * NUMBERS[:4], (4,)),
    "repeat and expand": (lambda x: x.repeat(1, 2).expand(2, -1).reshape(1, -1), (4,)),
    "tril": (lambda x: x.tril(), (3, 3)),
    "transposes": (lambda x: torch.relu(torch.relu(x.permute(0, 2, 3, 1)).mT), (2, 3, 3)),
    "matrix from the left": (lambda x: NUMBERS[:6].reshape(2, 3) @ x, (3, 4)),
    "matrix from the right": (lambda x: torch.bmm(x, NUMBERS.reshape(1, 4, 5)), (3, 4)),
    "matrix a batch": (lambda x: NUMBERS[:18].reshape(3, 2, 3) @ x[0], (3, 3, 5)),
    "matrix times vector": (lambda x: x[0] @ NUMBERS[:4], (3, 4)),
    "inner product": (lambda x: torch.dot(x[0], NUMBERS[:4]), (4,)),
    "einsum": (lambda x: torch.einsum("bij,jk->bki", x, NUMBERS[:8].reshape(4, 2)), (3, 4)),
    "addmm with factors": (
        lambda x: torch.addmm(NUMBERS[:2], x, NUMBERS[:8].reshape(4, 2), beta=2, alpha=3),
        (4,),
    ),
    "in place": (changed_in_place, (3,)),
    "written into zeros": (written_into_zeros, (3,)),
    "changed after use": (changed_after_use, (3,)),
    "double casts": (lambda x: x.to(torch.float32) + 1, (3,)),
}
CASES = [(str(one).replace("\n", ""), one, shape) for one, shape in LAYERS]
CASES += [(name, Function(one), shape) for name, (one, shape) in FUNCTIONS.items()]


def prepared(network: nn.Module, seed: int = 0) -> nn.Module:
    """A network in evaluation mode with statistics as after a training."""
    torch.manual_seed(seed)
    for one in network.modules():
        if isinstance(one, nn.modules.batchnorm._BatchNorm):
            assert isinstance(one.running_mean, Tensor)
            assert isinstance(one.running_var, Tensor)
            one.running_mean.normal_()
            one.running_var.uniform_(0.5, 2)
            for weight in one.parameters():
                nn.init.normal_(weight)
    return network.eval()


def examples(shape: tuple[int, ...], count: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.randn(count, *shape, generator=generator)


def outputs(network: nn.Module, x: Tensor) -> Tensor:
    """One example after the other, in float32."""
    found = []
    with torch.no_grad():
        for one in x:
            made = network(one[None].clone())
            found.append((made[0] if isinstance(made, tuple) else made).flatten())
    return torch.stack(found).double()


def assert_same(network: nn.Module, shape: tuple[int, ...]) -> Network:
    network = prepared(network)
    x = examples(shape)
    wanted = outputs(network, x)
    found = lower(network, shape, source="net.pt")
    torch.testing.assert_close(found(x.flatten(1).double()), wanted, rtol=1e-5, atol=1e-5)
    assert_well_formed(found)
    limit = torch.full((found.inputs,), 2.0).double()
    demand_same(found, network, -limit, limit, source="net.pt")
    return found


def assert_well_formed(network: Network) -> None:
    """Nodes are of earlier ones that fit, activations of sums or the input; the output is a sum."""
    for place, node in enumerate(network.nodes, 1):
        if isinstance(node, Activation):
            assert node.parent < place
            assert node.parent == 0 or isinstance(network.nodes[node.parent - 1], Sum)
            continue
        assert node.bias.dtype == torch.float64
        for parent, one in zip(node.parents, node.maps, strict=True):
            assert parent < place
            assert (one.inputs, one.outputs) == (network.size(parent), node.size)
    assert not network.nodes or isinstance(network.nodes[-1], Sum)


def kinds(network: Network) -> list[str]:
    """What each node is: a function, or its maps."""
    return [
        node.function
        if isinstance(node, Activation)
        else "+".join(type(one).__name__ for one in node.maps)
        for node in network.nodes
    ]


@pytest.mark.parametrize(
    ("network", "shape"), [one[1:] for one in CASES], ids=[n for n, *_ in CASES]
)
def test_an_operator_computes_what_it_does_in_torch(
    network: nn.Module, shape: tuple[int, ...]
) -> None:
    assert_same(network, shape)


@pytest.mark.parametrize("seed", range(12))
def test_random_pools_are_those_of_torch(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    kernel = (draw(1, 4), draw(1, 4))
    padding = tuple(draw(0, one // 2 + 1) for one in kernel)
    stride, ceil = (draw(1, 4), draw(1, 4)), bool(draw(0, 2))
    shape = (2, draw(5, 9), draw(5, 9))
    assert_same(nn.MaxPool2d(kernel, stride, padding, 1, ceil_mode=ceil), shape)
    counted = bool(draw(0, 2))
    assert_same(nn.AvgPool2d(kernel, stride, padding, ceil, counted), shape)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("mlp:64-32-16-10", (1, 8, 8)),
        ("mlp:64-32-16-10,act=tanh,norm=batch", (64,)),
        ("cnn:1x8x8-c4-p-c6-16-10,norm=batch,act=leaky-relu", (1, 8, 8)),
        ("cnn:3x8x8-c4-c4-p-10,act=sigmoid", (3, 8, 8)),
    ],
)
def test_our_architectures_can_be_verified(spec: str, shape: tuple[int, ...]) -> None:
    assert_same(build(spec, seed=1), shape)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.short = nn.Conv2d(2, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.norm(self.first(x)))
        joined = torch.relu(self.second(inner) + self.short(x))
        again = torch.relu(self.second(joined) + joined)
        return self.head(again.mean((2, 3)))  # type: ignore[no-any-return]


def test_a_residual_connection_is_one_sum_of_two_maps() -> None:
    found = assert_same(Residual(), (2, 5, 5))
    assert kinds(found) == [
        *("Convolution", "Scale", "relu", "Convolution+Convolution", "relu"),
        *("Convolution+Select", "relu", "Sparse", "Dense"),
    ]


def test_a_network_is_one_matrix_a_layer_whatever_moves_numbers_in_between() -> None:
    network = nn.Sequential(
        nn.Flatten(),
        nn.Unflatten(1, (4, 3)),
        Function(lambda x: x.transpose(1, 2).flatten(1).flip(1) - 1),
        nn.Linear(12, 8),
        nn.ReLU(),
        nn.Unflatten(1, (2, 4)),
        Function(lambda x: torch.cat([x[:, 1], x[:, 0]], 1) * -2),
        nn.Dropout(),
        nn.Linear(8, 2),
    )
    found = assert_same(network, (3, 4))
    assert kinds(found) == ["Dense", "relu", "Dense"]
    assert [node.label for node in found.nodes] == ["3", "4", "8"]


def test_stored_weights_are_kept_to_the_last_bit() -> None:
    network = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    found = lower(network, (5,), source="net.pt")
    layers = [node for node in found.nodes if isinstance(node, Sum)]
    for node, layer in zip(layers, (network[0], network[2]), strict=True):
        assert isinstance(layer, nn.Linear)
        assert isinstance(node.maps[0], Dense)
        assert node.maps[0].weight.equal(layer.weight.detach().double())
        assert node.bias.equal(layer.bias.detach().double())


def test_pairs_that_several_maxima_share_are_compared_once() -> None:
    found = assert_same(nn.MaxPool1d(2, 1), (1, 5))
    assert [node.size for node in found.nodes if isinstance(node, Activation)] == [4]
    found = assert_same(Function(lambda x: torch.stack([x.amax(1), x.amax(1)])), (4,))
    compared = [node.size for node in found.nodes if isinstance(node, Activation)]
    assert sum(compared) == 6  # two trees of three: each call is one of its own


def test_the_network_itself_stays_as_it_was() -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    lower(network, (3,), source="net.pt")
    after = network.state_dict()
    assert all(
        one.equal(after[name]) and one.dtype == after[name].dtype for name, one in before.items()
    )
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in network.modules())


REFUSED: dict[str, tuple[nn.Module, tuple[int, ...], str]] = {
    "gelu": (nn.GELU(), (3,), "`gelu`"),
    "silu": (nn.SiLU(), (3,), "`silu`"),
    "softmax": (nn.Softmax(1), (3,), "`softmax`"),
    "layer norm": (nn.LayerNorm(3), (3,), "`layer_norm`"),
    "group norm": (nn.GroupNorm(1, 2), (2, 3), "`group_norm`"),
    "training": (nn.BatchNorm2d(2).train(), (2, 3, 3), "statistics from the data"),
    "product": (Function(lambda x: x * x), (3,), "`mul` of two values"),
    "matrix product": (Function(lambda x: x @ x.mT), (3, 3), "`bmm` of two values"),
    "power": (Function(lambda x: x**2), (3,), "`pow`"),
    "quotient": (Function(lambda x: x / x.sum()), (3,), "`div` by a value"),
    "control flow": (Function(lambda x: x if x.sum() > 0 else -x), (3,), "reads numbers"),
    "item": (Function(lambda x: x * x.sum().item()), (3,), "reads numbers"),
    "whole numbers": (Function(lambda x: x.long().double()), (3,), "`to` int64"),
    "argmax": (Function(lambda x: x.argmax(1)), (3,), "`argmax`"),
    "places of maxima": (Function(lambda x: x.max(1)[1]), (3,), "places of what it finds"),
    "jump": (Function(lambda x: torch.where(x > 0, x, 1.0)), (3,), "no leaky ReLU"),
    "comparison": (Function(lambda x: (x > 0).double()), (3,), "`gt`"),
    "comparison with itself": (Function(lambda x: torch.where(x > 1, x, 1.0)), (3,), "`gt`"),
    "embedding": (nn.Embedding(3, 2), (3,), "`embedding`"),
    "lstm": (nn.LSTM(3, 2), (4, 3), "of two values"),
    "constant": (Function(lambda x: torch.ones(1, 2)), (3,), "does not depend on the input"),
    "after softmax": (
        Function(lambda x: torch.relu(x.softmax(1))),
        (3,),
        "`softmax`",
    ),
}


@pytest.mark.parametrize(("network", "shape", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_verified_is_refused_by_name(
    network: nn.Module, shape: tuple[int, ...], words: str
) -> None:
    inside = nn.Sequential(nn.Identity(), network)
    if words != "statistics from the data":
        inside.eval()
    with pytest.raises(ArtifactError) as caught:
        lower(inside, shape, source="net.pt")
    assert words in caught.value.message
    if "depend" not in words:
        assert caught.value.message.startswith("`net.pt`: `1`")


def test_examples_of_another_shape_are_refused() -> None:
    with pytest.raises(MismatchError, match="cannot take the data"):
        lower(nn.Linear(3, 2), (4,), source="net.pt")


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(-1)])
def test_a_softmax_over_all_outputs_is_left_out_only_on_demand(last: nn.Module) -> None:
    network = prepared(nn.Sequential(nn.Linear(4, 3), last, nn.Flatten()))
    with pytest.raises(ArtifactError, match="softmax"):
        lower(network, (4,), source="net.pt")
    found = lower(network, (4,), source="net.pt", drop_softmax=True)
    x = examples((4,))
    torch.testing.assert_close(found(x.double()), outputs(network[0], x), rtol=1e-5, atol=1e-5)
    limit = torch.ones(4).double()
    demand_same(found, network, -limit, limit, source="net.pt", drop_softmax=True)
    with pytest.raises(ArtifactError, match="differ"):
        demand_same(found, network, -limit, limit, source="net.pt")


def test_a_softmax_over_a_part_of_the_outputs_stays() -> None:
    network = nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Softmax(2))
    with pytest.raises(ArtifactError, match="softmax"):
        lower(network, (4,), source="net.pt", drop_softmax=True)


def test_a_network_that_differs_from_the_original_is_refused_with_the_layer() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    found = lower(network, (3,), source="net.pt")
    with torch.no_grad():
        assert isinstance(network[2], nn.Linear)
        network[2].weight += 0.01
    limit = torch.ones(3).double()
    with pytest.raises(ArtifactError, match="differ, first after `2`"):
        demand_same(found, network, -limit, limit, source="net.pt")


def test_cancellation_in_float32_is_no_difference() -> None:
    network = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1e6, -1e6 - 0.125]]))
    found = lower(network, (2,), source="net.pt")
    demand_same(found, network, torch.ones(2).double(), torch.ones(2).double() * 2, source="net.pt")


def test_weights_of_a_lowered_network_ask_for_no_gradients() -> None:
    found = lower(nn.Linear(3, 2), (3,), source="net.pt")
    assert not found(torch.zeros(3).double()).requires_grad
