import numpy as np
import pytest
from torch import nn

from nncli.architectures import build
from nncli.checkpoint_names import short_names
from nncli.checkpoints import Model
from nncli.errors import ArtifactError, MismatchError, NncliWarning
from nncli.feeding import automatic_batch_size, inputs_of, zeros
from nncli.formats.datasets import Dataset
from nncli.forward import Batch, Inputs, demand_tokens, run, take
from nncli.tracing import trace


def model(spec, **known):
    return Model(build(spec).eval(), "net", "state-dict", "sha256:0", spec, **known)


def dataset(x=None, *, mask=None, text=None):
    n = len(text if x is None else x)
    return Dataset("data", "all", x, None, np.arange(n), mask, text, {}, None, "sha256:1")


def layers(spec, x):
    return trace(build(spec).eval(), take(Inputs(x), 0, 2))


def test_the_automatic_batch_size_is_a_power_of_two_within_bounds():
    x = np.zeros((2, 4), np.float32)
    sizes = [automatic_batch_size(layers(f"mlp:4-{w}-2", x)) for w in (8, 2**14, 2**18, 2**22)]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (256, 1)
    assert all(one & (one - 1) == 0 for one in sizes)


def test_zeros_have_the_shape_of_the_architecture_and_load_no_data():
    image = zeros(model("cnn:1x8x8-c4-10", input_shape=(1, 8, 8)), pytest.fail)
    assert (image.x.shape, image.x.dtype) == ((2, 1, 8, 8), np.float32)
    tokens = zeros(model("rnn:v50x6-8-2", input_shape=(6,)), pytest.fail)
    assert (tokens.x.shape, tokens.x.dtype) == ((2, 6), np.int64)


def test_a_network_that_does_not_say_its_shape_takes_that_of_the_data():
    found = zeros(model("mlp:4-8-2"), lambda: dataset(np.ones((1, 4), np.float32)))
    assert np.array_equal(found.x, np.zeros((2, 4)))


def test_texts_are_only_for_models_with_a_tokenizer():
    with pytest.raises(MismatchError, match="`data` holds texts, and `net` brings no tokenizer"):
        inputs_of(model("rnn:v50x6-8-2"), dataset(text=("a", "b")))


def test_an_example_of_padding_alone_is_refused():
    given = Inputs(np.zeros((3, 2), np.int64), np.array([[1, 1], [0, 0], [1, 0]], bool))
    with pytest.raises(ArtifactError, match="row 1 of `data` has no real token"):
        demand_tokens(given, nn.Identity(), source="data")


def test_a_network_without_a_mask_is_warned_of_only_if_there_is_padding():
    ids = np.zeros((2, 2), np.int64)
    demand_tokens(Inputs(ids, np.ones((2, 2), bool)), nn.Identity(), source="data")
    padded = Inputs(ids, np.array([[1, 1], [1, 0]], bool))
    with pytest.warns(NncliWarning, match="takes no mask"):
        demand_tokens(padded, nn.Identity(), source="data")
    demand_tokens(padded, build("rnn:v50x2-8-2"), source="data")


class Named(nn.Module):
    def forward(self, input_ids=None, attention_mask=None, use_cache=True):
        return input_ids, attention_mask, use_cache


def test_arguments_go_by_the_names_of_transformers():
    ids = np.array([[3, 4], [5, 0]])
    batch = take(Inputs(ids, np.array([[1, 1], [1, 0]], bool)), 0, 2)
    given, mask, cache = run(Named(), batch)
    assert given.tolist() == ids.tolist()
    assert mask.tolist() == [[1, 1], [1, 0]]
    assert not cache


def test_numbers_are_cast_to_the_type_of_the_weights():
    network = nn.Linear(3, 2).double()
    assert (
        run(network, take(Inputs(np.zeros((1, 3), np.float32)), 0, 1)).dtype == network.weight.dtype
    )


def test_data_of_the_wrong_shape_are_an_error_about_the_data():
    batch: Batch = take(Inputs(np.zeros((1, 3), np.float32)), 0, 1)
    with pytest.raises(MismatchError, match="the network cannot take the data, 3 of float32"):
        run(nn.Linear(4, 2), batch)


def test_short_names_are_stems_where_these_tell_files_apart():
    assert short_names(["runs/a.safetensors", "b.pt"]) == ["a", "b"]
    assert short_names(["x/a.pt", "y/a.pt", "b.pt"]) == ["x/a", "y/a", "b"]
    assert short_names(["/x/a.pt", "y/a.pt"]) == ["x/a", "y/a"]
    assert short_names(["a.pt", "a.onnx"]) == ["a.pt", "a.onnx"]
    assert short_names(["a.pt", "a.pt", "-"]) == ["a.pt", "a.pt-2", "-"]
    assert short_names(["hf/bert/", "."]) == ["bert", "-"]
