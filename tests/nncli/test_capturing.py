import numpy as np
import pytest
import torch
from torch import nn

from nncli.capturing import activations, demand_finite
from nncli.errors import ArtifactError, MismatchError, NncliWarning
from nncli.forward import Inputs, batches, first_tensor, take
from nncli.layer_choice import choose_layers, default_layers, demand_reducible
from nncli.tracing import trace

RANDOM = np.random.default_rng(0)


def inputs(*shape, mask=None):
    return Inputs(RANDOM.standard_normal(shape).astype(np.float32), mask)


def caught(network, given, globs=(), *, size=512, **options):
    network.eval()
    at = {"at": options["at"]} if "at" in options else {}
    layers = trace(network, take(given, 0, 2), **at)
    chosen = choose_layers(network, layers, globs, source="net")
    parts = [activations(network, chosen, one, **options) for one in batches(given, size)]
    return {name: torch.cat([one[name] for one in parts]).numpy() for name in parts[0]}


def names(network, given):
    network.eval()
    return [one.name for one in default_layers(network, trace(network, take(given, 0, 2)))]


class Apply(nn.Module):
    """A network of a function and named modules."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.function(self, x)


def test_a_linear_layer_puts_out_xw():
    layer = nn.Linear(5, 3, bias=False)
    given = inputs(7, 5)
    expected = given.x @ layer.weight.detach().numpy().T
    assert np.allclose(caught(nn.Sequential(layer), given)["0"], expected, atol=1e-6)


def test_the_input_of_a_layer_is_what_the_layer_before_puts_out():
    network = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 2))
    given = inputs(7, 5)
    before = caught(network, given, ["0"])["0"]
    assert np.array_equal(caught(network, given, ["1"], at="input")["1"], before)


def test_all_layers_come_from_one_forward_pass():
    calls = []
    network = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
    network.register_forward_hook(lambda *_: calls.append(1))
    given = inputs(20, 5)
    layers = trace(network, take(given, 0, 2))
    calls.clear()
    for one in batches(given, 8):
        activations(network, layers, one)
    assert len(calls) == 3


def test_hooks_are_gone_afterwards_also_after_an_error():
    network = nn.Sequential(nn.Linear(5, 4), nn.ReLU()).eval()
    given = inputs(4, 5)
    layers = trace(network, take(given, 0, 2))
    activations(network, layers, take(given, 0, 4))
    with pytest.raises(MismatchError):
        activations(network, layers, take(inputs(4, 6), 0, 4))
    with pytest.raises(MismatchError):
        trace(network, take(inputs(4, 6), 0, 2))
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize("how", ["none", "flatten"])
def test_what_works_in_place_afterwards_does_not_change_what_was_caught(how):
    network = nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True))
    given = inputs(50, 5)
    found = caught(network, given, ["0"], how=how)["0"]
    weight, bias = (one.detach().numpy() for one in network[0].parameters())
    assert (found < 0).any()
    assert np.allclose(found, given.x @ weight.T + bias, atol=1e-6)


def test_a_module_called_twice_has_a_layer_for_each_call():
    network = Apply(
        lambda m, x: m.act(m.two(m.act(m.one(x)))),
        one=nn.Linear(5, 4),
        two=nn.Linear(4, 3),
        act=nn.Tanh(),
    )
    given = inputs(6, 5)
    found = caught(network, given, ["act"])
    assert list(found) == ["act:1", "act:2"]
    assert found["act:1"].shape == (6, 4)
    assert np.array_equal(found["act:2"], caught(network, given, ["output"])["output"])
    assert list(caught(network, given, ["act:2"])) == ["act:2"]


def test_a_module_that_is_never_called_is_named():
    network = Apply(lambda m, x: m.used(x), used=nn.Linear(5, 4), idle=nn.Linear(5, 4))
    with pytest.raises(ArtifactError, match="module `idle` of `net` is never called"):
        caught(network, inputs(6, 5), ["idle"])


def test_a_mistyped_layer_meets_the_closest_one():
    network = nn.Sequential(nn.Linear(5, 4), nn.ReLU())
    network = Apply(lambda m, x: m.blocks(x), blocks=network)
    with pytest.raises(ArtifactError, match=r"`bloks.0`; closest: `blocks.0`"):
        caught(network, inputs(6, 5), ["bloks.0"])


def test_a_module_without_a_row_for_each_example_is_named():
    network = Apply(lambda m, x: x + m.position(torch.arange(5)).T, position=nn.Embedding(5, 1))
    with pytest.raises(ArtifactError, match=r"`position` of `net` puts out \(5, 1\) whatever"):
        caught(network, inputs(6, 5), ["position"])


def test_the_batch_is_found_where_it_stands_second():
    network = Apply(lambda m, x: m.rnn(x.transpose(0, 1))[0][-1], rnn=nn.GRU(5, 4))
    given = inputs(6, 3, 5)
    found = caught(network, given, ["rnn"])["rnn"]
    assert found.shape == (6, 3, 4)
    expected = network.rnn(torch.from_numpy(given.x).transpose(0, 1))[0].detach().numpy()
    assert np.allclose(found, expected.transpose(1, 0, 2), atol=1e-6)


def test_of_a_tuple_or_a_dictionary_the_first_tensor_counts():
    one, two = torch.zeros(1), torch.ones(1)
    assert first_tensor((None, [one, two])) is one
    assert first_tensor({"a": two, "last_hidden_state": one}) is one
    assert first_tensor({"loss": two, "logits": one, "last_hidden_state": two}) is one
    assert first_tensor("no tensor") is None


def test_channels_first_is_passed_on_from_a_convolution():
    network = nn.Sequential(nn.Conv1d(3, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(20, 2))
    given = inputs(7, 3, 6)
    whole = caught(network, given, ["1"])["1"]
    assert whole.shape == (7, 4, 5)
    assert np.allclose(caught(network, given, ["1"], how="mean")["1"], whole.mean(2), atol=1e-6)


def test_the_result_does_not_depend_on_the_batch_size():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    given = inputs(33, 1, 8, 8)
    whole = caught(network, given)
    for size in (1, 10, 32):
        parts = caught(network, given, size=size)
        assert all(np.allclose(parts[name], whole[name], atol=1e-6) for name in whole)


@pytest.mark.parametrize("how", ["none", "mean", "positions"])
def test_a_nan_is_named_by_layer_and_row(how):
    network = Apply(lambda m, x: m.second(m.first(x)), first=nn.Conv2d(1, 2, 1), second=nn.Tanh())
    given = inputs(9, 1, 2, 2)
    given.x[6, 0, 1, 1] = np.inf
    network.eval()
    layers = trace(network, take(given, 0, 2))
    batch = take(given, 4, 9)
    found = activations(network, layers, batch, how=how)
    with pytest.raises(ArtifactError, match=r"layer `first` of `net` is -?inf for row 6 of `data`"):
        demand_finite(found, layers, batch, how=how, network="net", data="data")


def test_a_nan_of_a_masked_token_is_named_by_its_example():
    network = nn.Sequential(nn.Linear(2, 2)).eval()
    mask = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]], bool)
    given = inputs(3, 3, 2, mask=mask)
    given.x[2, 1, 0] = np.nan
    layers = trace(network, take(given, 0, 2))
    batch = take(given, 0, 3)
    found = activations(network, layers, batch, how="positions")
    assert found["0"].shape == (6, 2)
    with pytest.raises(ArtifactError, match="is nan for row 2 of"):
        demand_finite(found, layers, batch, how="positions", network="net", data="data")


def test_large_finite_numbers_are_let_through():
    network = nn.Sequential(nn.Identity()).eval()
    given = Inputs(np.full((4, 4), 3e38, np.float32))
    layers = [one for one in trace(network, take(given, 0, 2)) if one.name == "0"]
    batch = take(given, 0, 4)
    demand_finite(
        activations(network, layers, batch), layers, batch, how="none", network="", data=""
    )


def test_a_network_whose_path_changes_is_refused():
    network = Apply(
        lambda m, x: m.always(x) if len(x) > 2 else m.always(m.small(x)),
        always=nn.Identity(),
        small=nn.Linear(3, 3),
    ).eval()
    given = inputs(5, 3)
    layers = trace(network, take(given, 0, 2))
    with pytest.raises(MismatchError, match="`small` was called for the first examples"):
        activations(network, layers, take(given, 0, 5))


def test_by_default_blocks_are_kept_and_what_stands_beside_them():
    class Block(nn.Sequential):
        pass

    blocks = nn.ModuleList(Block(nn.Linear(4, 4), nn.ReLU()) for _ in range(3))

    def forward(m, x):
        x = m.drop(m.embed(x))
        for one in m.body:
            x = one(x)
        return m.head(x)

    network = Apply(
        forward, embed=nn.Linear(5, 4), drop=nn.Dropout(), body=blocks, head=nn.Linear(4, 2)
    )
    assert names(network, inputs(3, 5)) == ["embed", "body.0", "body.1", "body.2", "head"]


def test_by_default_sequences_are_opened_down_to_their_items():
    features = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten())
    network = Apply(lambda m, x: m.head(m.features(x)), features=features, head=nn.Linear(72, 2))
    assert names(network, inputs(3, 1, 8, 8)) == ["features.0", "features.1", "head"]


def test_a_network_that_is_one_module_has_its_output():
    assert names(nn.Linear(3, 2), inputs(3, 3)) == ["output"]


def test_of_too_many_blocks_64_are_kept_with_a_warning():
    network = nn.Sequential(*(nn.ReLU() for _ in range(100)))
    with pytest.warns(NncliWarning, match="100 layers: 64"):
        kept = names(network, inputs(3, 3))
    assert len(set(kept)) == 64
    assert (kept[0], kept[-1]) == ("0", "99")


def test_a_reduction_that_a_layer_has_not_is_refused_beforehand():
    network = nn.Sequential(nn.Conv2d(1, 2, 3)).eval()
    layers = trace(network, take(inputs(2, 1, 4, 4), 0, 2))
    with pytest.raises(MismatchError, match="`0` of `net` puts out maps"):
        demand_reducible(layers, "last", None, source="net")
    with pytest.raises(MismatchError, match="the mask of the data has 7"):
        demand_reducible(layers, "mean", 7, source="net")
    demand_reducible(layers, "mean", None, source="net")
