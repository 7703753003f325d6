"""Architectures: what specs mean, what is refused, and that initial weights are theirs alone."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from nncli.architectures import EXAMPLES, build, canonical, input_shape, parse
from nncli.architectures.spec import ACTIVATIONS, INITIALISATIONS
from nncli.errors import ArtifactError, MismatchError, UsageError

SPECS = [
    "mlp:64-128-64-10",
    "mlp:64-10",
    "mlp:1x8x8-32-10,norm=layer",
    "cnn:1x8x8-c16-c32-p-64-10",
    "cnn:1x8x8-c4-10,norm=layer",
    "transformer:8x8-d32-h4-b2-10",
    "transformer:8x8-d16-h2-b1-10,norm=none,causal",
    "rnn:8x8-64-10",
    "rnn:8x8-16-12-10,cell=gru",
    "rnn:8x8-16-10,cell=lstm,pool=mean",
]
TOKEN_SPECS = ["transformer:v50x16-d32-h4-b2-10", "rnn:v50x16-24-10,cell=lstm"]


def images(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def tokens(n: int = 3) -> torch.Tensor:
    return torch.randint(50, (n, 16), generator=torch.Generator().manual_seed(0))


# --- the grammar


@pytest.mark.parametrize("spec", SPECS + TOKEN_SPECS)
def test_a_canonical_spec_is_its_own_canonical_form(spec: str) -> None:
    assert canonical(canonical(spec)) == canonical(spec)
    assert parse(canonical(spec)) == parse(spec)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("mlp:64-128-10,act=relu,init=default,norm=none,gain=1", "mlp:64-128-10"),
        ("mlp:64-128-10,init=he,act=tanh", "mlp:64-128-10,act=tanh,init=he"),
        ("mlp:064-10", "mlp:64-10"),
        ("mlp:64-8-10,gain=1.50,init=he", "mlp:64-8-10,init=he,gain=1.5"),
        ("transformer:8x8-d8-h2-b1-3,act=gelu,pool=mean", "transformer:8x8-d8-h2-b1-3"),
        ("transformer:8x8-d8-h2-b1-3,pool=last,causal", "transformer:8x8-d8-h2-b1-3,causal"),
        ("rnn:v9x4-8-3,cell=rnn,act=tanh,pool=last", "rnn:v9x4-8-3"),
    ],
)
def test_the_canonical_form_has_a_fixed_order_and_no_defaults(spec: str, expected: str) -> None:
    assert canonical(spec) == expected


@pytest.mark.parametrize(
    ("spec", "token"),
    [
        ("", "``"),
        ("mpl:64-10", "`mlp`"),
        ("resnet18", "`resnet18`"),
        ("mlp", "input and an output"),
        ("mlp:64", "input and an output"),
        ("mlp:64--10", "input and an output"),
        ("mlp:64-abc-10", "`abc`"),
        ("mlp:64-0-10", "`0`"),
        ("mlp:64-12²-10", "`12²`"),
        ("mlp:64-99999999999-10", "`99999999999`"),
        ("mlp:8x8x8x8-10", "`8x8x8x8`"),
        ("cnn:64-c16-10", "`64`"),
        ("cnn:1x8x8-c16-q-10", "`q`"),
        ("cnn:1x8x8-64-c16-10", "`c16`"),
        ("cnn:1x8x8-p-p-p-p-10", "number 4"),
        ("cnn:1x8x8-c16", "`c16`"),
        ("transformer:8x8-32-h4-b2-10", "`32`"),
        ("transformer:8x8-d32-b2-10", "`b2`"),
        ("transformer:8x8-d32-h4-10", "`10`"),
        ("transformer:8x8-d32-h4-b2", "outputs are missing"),
        ("transformer:8x8-d32-h4-b2-10-5", "`5`"),
        ("transformer:8x8-d30-h4-b2-10", "`h4`"),
        ("transformer:8-d32-h4-b2-10", "`8`"),
        ("rnn:8x8-10", "hidden"),
        ("mlp:64-10,akt=tanh", "`act`"),
        ("mlp:64-10,act=tahn", "`tanh`"),
        ("mlp:64-10,init=kaiming", "`kaiming`"),
        ("mlp:64-10,cell=gru", "`cell`"),
        ("mlp:64-10,causal", "`causal`"),
        ("transformer:8x8-d32-h4-b2-10,norm=batch", "`batch`"),
        ("rnn:8x8-64-10,act=gelu", "`gelu`"),
        ("mlp:64-10,gain=-1", "`-1`"),
        ("mlp:64-10,gain=inf", "`inf`"),
        ("mlp:64-10,", "``"),
        ("mlp:64-10,act=relu,act=tanh", "`act` is given twice"),
        ("rnn:8x8-64-10,act=tanh,cell=gru", "`gru`"),
    ],
)
def test_a_wrong_spec_names_the_wrong_token_and_shows_a_right_one(spec: str, token: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(spec)
    assert token in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("example", EXAMPLES.values())
def test_the_examples_shown_in_errors_are_right(example: str) -> None:
    build(example)


def test_a_network_beyond_any_memory_is_refused_before_it_is_built() -> None:
    with pytest.raises(UsageError, match="parameters"):
        build("mlp:1000000-1000000-10")


# --- the networks


@pytest.mark.parametrize("spec", SPECS)
def test_images_in_give_ten_outputs_and_the_input_shape_is_known_without_building(
    spec: str,
) -> None:
    module = build(spec, seed=0).eval()
    assert module(images()).shape == (3, 10)
    assert input_shape(spec) == parse(spec).input_shape
    shaped = torch.zeros(2, *parse(spec).input_shape)
    assert module(shaped).shape == (2, 10)


@pytest.mark.parametrize("spec", SPECS)
def test_flat_images_and_missing_channels_mean_the_same(spec: str) -> None:
    module = build(spec, seed=0).eval()
    expected = module(images())
    assert torch.equal(module(images().flatten(1)), expected)
    assert torch.equal(module(images()[:, 0]), expected)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("mlp:64-10", (1, 28, 28)),
        ("cnn:3x4x4-c2-10", (4, 4, 3)),
        ("transformer:8x8-d8-h2-b1-10", (4, 16)),
        ("rnn:8x8-8-10", (8, 9)),
    ],
)
def test_data_of_another_shape_is_refused_with_both_shapes(spec: str, shape: tuple[int]) -> None:
    with pytest.raises(MismatchError) as caught:
        build(spec)(torch.zeros(2, *shape))
    assert "x".join(map(str, shape)) in caught.value.message
    assert spec in caught.value.message


@pytest.mark.parametrize("spec", SPECS + TOKEN_SPECS)
def test_blocks_and_head_are_modules_that_put_out_one_tensor_a_batch(spec: str) -> None:
    module = build(spec, seed=0).eval()
    blocks = [f"block.{i}" for i in range(len(module.block))]
    assert len(blocks) == (
        dict(parse(spec).layers)["blocks"] if "transformer" in spec else len(parse(spec).layers)
    )
    seen: dict[str, torch.Size] = {}
    for name in [*blocks, "head"]:
        module.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: seen.update({name: output.shape})
        )
    module(tokens() if spec in TOKEN_SPECS else images())
    assert list(seen) == [*blocks, "head"]
    assert {shape[0] for shape in seen.values()} == {3}


def test_the_leaves_of_a_chain_in_order_are_the_network() -> None:
    for spec in (
        "mlp:64-32-16-10,act=elu",
        "cnn:1x8x8-c4-p-c6-16-10,norm=batch",
        "cnn:1x8x8-c4-10",
    ):
        module = build(spec, seed=1).eval()
        leaves = [one for one in module.modules() if not list(one.children())]
        x = images().reshape(3, *parse(spec).input_shape)
        assert torch.allclose(nn.Sequential(*leaves)(x), module(images()))


def test_a_causal_transformer_does_not_see_the_future() -> None:
    module = build("transformer:v50x16-d16-h2-b2-50,causal,pool=none", seed=0).eval()
    first, second = tokens(1), tokens(1)
    second[0, 9:] = 7
    one, other = module(first)[0], module(second)[0]
    assert torch.allclose(one[:9], other[:9], atol=1e-6)
    assert not torch.allclose(one[9:], other[9:], atol=1e-3)


@pytest.mark.parametrize("spec", [*TOKEN_SPECS, TOKEN_SPECS[0] + ",causal"])
def test_padding_behind_the_mask_changes_nothing(spec: str) -> None:
    module = build(spec, seed=0).eval()
    short = tokens(2)[:, :9]
    padded = torch.cat([short, torch.full((2, 7), 49)], dim=1)
    mask = torch.arange(16).expand(2, 16) < 9
    assert torch.allclose(module(short), module(padded, mask), atol=1e-6)


def test_an_example_without_any_token_gives_finite_numbers() -> None:
    for spec in TOKEN_SPECS:
        assert build(spec, seed=0)(tokens(2), torch.zeros(2, 16)).isfinite().all()


def test_attention_equals_that_of_pytorch() -> None:
    module = build("transformer:8x8-d16-h4-b1-10", seed=0).block[0].attention
    peer = nn.MultiheadAttention(16, 4, batch_first=True)
    parts = [module.query, module.key, module.value]
    with torch.no_grad():
        peer.in_proj_weight.copy_(torch.cat([one.weight for one in parts]))
        peer.in_proj_bias.copy_(torch.cat([one.bias for one in parts]))
        peer.out_proj.load_state_dict(module.output.state_dict())
    x = torch.rand(3, 7, 16)
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3, [True] + [False] * 6])
    expected, _ = peer(x, x, x, key_padding_mask=~mask)
    assert torch.allclose(module(x, mask), expected, atol=1e-6)


@pytest.mark.parametrize(("cell", "peer"), [("rnn", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)])
def test_a_recurrent_layer_equals_that_of_pytorch(cell: str, peer: type[nn.RNNBase]) -> None:
    layer = build(f"rnn:8x8-12-10,cell={cell}", seed=3).block[0]
    fused = peer(8, 12, batch_first=True)
    fused.load_state_dict({f"{name}_l0": tensor for name, tensor in layer.state_dict().items()})
    x = torch.rand(4, 5, 8)
    assert torch.allclose(layer(x), fused(x)[0], atol=1e-6)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_every_activation_is_the_function_of_that_name(act: str) -> None:
    x = torch.linspace(-3, 3, 64)[None]
    module = build(f"mlp:64-5-2,act={act}", seed=0)
    hidden = module.block[0].linear(x)
    expected = {
        "relu": hidden.clamp(min=0),
        "tanh": 1 - 2 / (1 + (2 * hidden).exp()),
        "gelu": hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2,
        "sigmoid": 1 / (1 + (-hidden).exp()),
        "leaky-relu": torch.where(hidden > 0, hidden, 0.01 * hidden),
        "elu": torch.where(hidden > 0, hidden, hidden.exp() - 1),
        "silu": hidden / (1 + (-hidden).exp()),
        "identity": hidden,
    }
    assert torch.allclose(module.block[0](x), expected[act], atol=1e-6)


# --- torch.func


@pytest.mark.parametrize("spec", SPECS + TOKEN_SPECS)
def test_gradients_of_single_examples_come_out_of_vmap(spec: str) -> None:
    module = build(spec, seed=0).eval()
    weights = {name: one.detach() for name, one in module.named_parameters()}
    x = tokens() if spec in TOKEN_SPECS else images()

    def total(weights: dict[str, torch.Tensor], one: torch.Tensor) -> torch.Tensor:
        return functional_call(module, weights, (one[None],)).square().sum()

    found = vmap(grad(total), in_dims=(None, 0))(weights, x)
    single = grad(total)(weights, x[1])
    for name in weights:
        assert torch.allclose(found[name][1], single[name], atol=1e-5), name


@pytest.mark.parametrize("spec", ["mlp:64-16-10,norm=layer", "cnn:1x8x8-c3-8-10", "rnn:8x8-8-10"])
def test_an_ensemble_of_weights_runs_in_one_vmap(spec: str) -> None:
    modules = [build(spec, seed=seed).eval() for seed in range(3)]
    stacked = {
        name: torch.stack([dict(one.named_parameters())[name].detach() for one in modules])
        for name, _ in modules[0].named_parameters()
    }
    x = images()
    found = vmap(lambda one: functional_call(modules[0], one, (x,)))(stacked)
    for result, module in zip(found, modules, strict=True):
        assert torch.allclose(result, module(images()), atol=1e-6)


# --- initial weights


@pytest.mark.parametrize("spec", SPECS + TOKEN_SPECS)
def test_weights_depend_on_the_seed_alone_and_the_global_generator_stays_put(spec: str) -> None:
    before = torch.random.get_rng_state()
    one = build(spec, seed=5).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    again, other = build(spec, seed=5).state_dict(), build(spec, seed=6).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
    assert all(tensor.isfinite().all() and tensor.device.type == "cpu" for tensor in one.values())


@pytest.mark.parametrize(
    ("init", "variance"),
    [
        ("default", 1 / (3 * 400)),
        ("he", 2 / 400),
        ("glorot", 2 / (400 + 900)),
        ("lecun", 1 / 400),
        ("normal", 0.02**2),
        ("orthogonal", 1 / 900),
        ("zero", 0),
    ],
)
def test_the_variance_of_a_scheme_is_the_published_one(init: str, variance: float) -> None:
    for gain in (1, 3):
        module = build(f"mlp:400-900-10,init={init},gain={gain}", seed=0)
        weight, bias = module.block[0].linear.weight, module.block[0].linear.bias
        assert weight.var().item() == pytest.approx(gain**2 * variance, rel=0.02)
        assert bool(bias.any()) == (init == "default")


def test_orthogonal_weights_are_orthonormal_also_in_each_gate() -> None:
    weight = build("mlp:64-100-10,init=orthogonal", seed=0).block[0].linear.weight
    assert torch.allclose(weight.T @ weight, torch.eye(64), atol=1e-5)
    layer = build("rnn:8x8-12-10,cell=lstm,init=orthogonal", seed=0).block[0]
    for gate in layer.weight_hh.chunk(4):
        assert torch.allclose(gate.T @ gate, torch.eye(12), atol=1e-5)


def test_convolutions_count_every_input_of_a_place() -> None:
    weight = build("cnn:16x8x8-c200-10,init=he", seed=0).block[0].conv.weight
    assert weight.var().item() == pytest.approx(2 / (16 * 9), rel=0.03)


@pytest.mark.parametrize("init", INITIALISATIONS)
@pytest.mark.parametrize("spec", SPECS + TOKEN_SPECS)
def test_every_scheme_initialises_every_family(spec: str, init: str) -> None:
    state = build(f"{spec},init={init},gain=0.5", seed=0).state_dict()
    assert all(tensor.isfinite().all() for tensor in state.values())
    assert "position" not in state or bool(state["position"].any()) == (init != "zero")


# --- the user's own file


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


NET = "import torch\nclass Net(torch.nn.Linear):\n    def __init__(self, n=3):\n"


def test_a_class_or_a_function_or_a_module_of_the_users_file_is_built(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        NET + "        super().__init__(n, 2)\ndef wide():\n    return Net(9)\nready = Net(4)\n",
    )
    assert build(f"{path}:Net", seed=1).in_features == 3
    assert build(f"{path}:wide").in_features == 9
    assert build(f"{path}:ready").in_features == 4
    assert input_shape(f"{path}:Net") is None
    assert canonical(f"{path}:Net") == f"{path}:Net"


def test_the_users_network_is_seeded_and_the_global_generator_stays_put(tmp_path: Path) -> None:
    path = written(tmp_path, NET + "        super().__init__(n, 2)\n")
    before = torch.random.get_rng_state()
    one, same, other = (build(f"{path}:Net", seed=seed).weight for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_users_file_imports_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("WIDTH = 7\n")
    path = written(
        tmp_path,
        "import torch\nfrom neighbour_of_mine import WIDTH\n"
        "def net():\n    return torch.nn.Linear(WIDTH, 1)\n",
    )
    assert build(f"{path}:net").in_features == 7


@pytest.mark.parametrize(
    ("text", "name", "kind", "words"),
    [
        ("class Net: pass\n", ":Nett", UsageError, ["`Nett`", "`Net`"]),
        ("class Net: pass\n", "", UsageError, ["which class", "`Net`"]),
        ("class Net: pass\n", ":Net", UsageError, ["type `Net`", "Module is needed"]),
        ("Net = 3\n", ":Net", UsageError, ["`int`"]),
        ("def Net(n): pass\n", ":Net", ArtifactError, ["TypeError", "'n'"]),
        ("x = 1\n\nraise ValueError('no')\n", ":Net", ArtifactError, ["no (line 3)"]),
        ("def Net(:\n", ":Net", ArtifactError, ["not valid Python"]),
    ],
)
def test_what_is_wrong_with_the_users_file_is_said(
    tmp_path: Path, text: str, name: str, kind: type[Exception], words: list[str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(kind) as caught:
        build(f"{path}{name}")
    for word in words:
        assert word in str(caught.value)


def test_a_missing_user_file_is_said() -> None:
    with pytest.raises(UsageError, match=r"there is no file `nowhere\.py`"):
        build("nowhere.py:Net")
