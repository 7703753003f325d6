"""Hugging Face folders; and what holds for all networks that come from elsewhere."""

import builtins
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from network_outputs import close

from nncli.checkpoints import resolve
from nncli.errors import ArtifactError, EnvironmentFault, NncliWarning

onnx = pytest.importorskip("onnx", reason="ONNX files need the extra `onnx`")
transformers = pytest.importorskip("transformers", reason="needs the extra `huggingface`")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
        num_labels=3,
    )
    folder = str(tmp_path_factory.mktemp("bert"))
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def changed(folder: str, out: Path, **settings: Any) -> str:
    shutil.copytree(folder, out)
    config = json.loads((out / "config.json").read_text()) | settings
    (out / "config.json").write_text(json.dumps(config))
    return str(out)


def test_a_folder_of_hugging_face_is_the_model_that_was_saved(bert: str) -> None:
    model = resolve(bert)
    expected = transformers.BertForSequenceClassification.from_pretrained(bert).eval()
    tokens = torch.randint(50, (4, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(7) < torch.tensor([[3], [7], [2], [5]])
    with torch.no_grad():
        found = model.module(input_ids=tokens, attention_mask=mask.long()).logits
        wanted = expected(input_ids=tokens, attention_mask=mask.long()).logits
    assert close(found, wanted)
    assert (model.kind, model.arch, model.input_shape) == ("huggingface", None, None)
    assert not model.module.training
    assert resolve(bert).digest == model.digest


def test_shards_are_put_together(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=20)
    module = transformers.GPT2LMHeadModel(config).eval()
    module.save_pretrained(tmp_path, max_shard_size="10KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    model = resolve(str(tmp_path))
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        assert close(model.module(tokens).logits, module(tokens).logits)
    shard = next(tmp_path.glob("model-00002*"))
    digest = model.digest
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert resolve(str(tmp_path)).digest != digest
    shard.unlink()
    with pytest.raises(ArtifactError, match="names the shard"):
        resolve(str(tmp_path))


def test_an_image_model_knows_its_input_and_half_precision_is_widened(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=8,
        patch_size=4,
        num_channels=1,
    )
    transformers.ViTForImageClassification(config).half().save_pretrained(tmp_path)
    model = resolve(str(tmp_path))
    assert model.input_shape == (1, 8, 8)
    assert {one.dtype for one in model.module.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"architectures": ["Nonsense"]}, ["`Nonsense`", "lacks"]),
        ({"architectures": ["BertForMaskedLM"]}, ["lacks weights", "`cls.predictions.bias`"]),
        ({"hidden_size": 32}, ["lacks weights", "`bert."]),
        ({"architectures": ["pipeline"]}, ["`pipeline`"]),
        (
            {"architectures": ["Mine"], "auto_map": {"AutoModel": "mine.Mine"}},
            ["needs Python code that lies in its folder", "not run"],
        ),
    ],
)
def test_a_folder_that_contradicts_itself_or_wants_to_run_code_is_refused(
    tmp_path: Path, bert: str, settings: dict[str, Any], words: list[str]
) -> None:
    name = changed(bert, tmp_path / "model", **settings)
    (tmp_path / "model/mine.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    )
    with pytest.raises(ArtifactError) as caught:
        resolve(name)
    for word in words:
        assert word in caught.value.message
    assert not (tmp_path / "ran").exists()


def test_a_damaged_folder_is_one_clear_error(tmp_path: Path, bert: str) -> None:
    name = changed(bert, tmp_path / "model")
    weights = tmp_path / "model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="transformers cannot load"):
        resolve(name)
    weights.unlink()
    with pytest.raises(ArtifactError, match=r"no `model\.safetensors`"):
        resolve(name)
    (tmp_path / "model/config.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"config\.json` is damaged"):
        resolve(name)


def test_weights_without_a_place_are_a_warning(tmp_path: Path, bert: str) -> None:
    name = changed(bert, tmp_path / "model", architectures=["BertModel"])
    with pytest.warns(NncliWarning, match=r"no place for: `classifier\.bias`"):
        resolve(name)


def test_texts_become_tokens_with_the_tokenizer_of_the_folder(tmp_path: Path, bert: str) -> None:
    from nncli.checkpoints.huggingface import tokenize

    with pytest.raises(ArtifactError, match="no tokenizer"):
        tokenize(Path(bert), ["a"], name=bert)
    name = changed(bert, tmp_path / "model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(name)
    ids, mask = tokenize(Path(name), ["good", "good bad good"], name=name)
    assert ids.tolist() == [[2, 5, 3, 0, 0], [2, 5, 6, 5, 3]]
    assert mask.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert tokenize(Path(name), ["good bad good"], name=name, length=4)[0].shape == (1, 4)


def small_onnx(path: Path) -> str:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 4]) for name in "xy"
    )
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "graph", [x], [y])), path)
    return str(path)


def test_a_missing_extra_is_said_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bert: str
) -> None:
    path = small_onnx(tmp_path / "a.onnx")
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name in ("onnx", "transformers"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for name, extra in ((path, "onnx"), (bert, "huggingface")):
        with pytest.raises(EnvironmentFault) as caught:
            resolve(name)
        assert caught.value.hint == f"pip install 'nncli[{extra}]'"


def test_an_architecture_beside_a_network_is_not_needed_and_that_is_said(
    tmp_path: Path, bert: str
) -> None:
    for name in (small_onnx(tmp_path / "a.onnx"), bert):
        with pytest.warns(NncliWarning, match="brings its own network"):
            resolve(name, "mlp:64-10")
