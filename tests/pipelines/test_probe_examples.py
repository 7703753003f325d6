"""The examples of probing as they stand, small, the data that they download made up."""

import csv
import gzip
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PNG = b"\x89PNG"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def thirty_images(place):
    """A file like that of MNIST, of noise."""
    table = np.c_[np.random.default_rng(0).integers(0, 256, (30, 784)), np.arange(30) % 10]
    with gzip.open(place / "mnist_5k.csv.gz", "wt") as file:
        np.savetxt(file, table, fmt="%d", delimiter=",")


def test_readers_are_scored_under_each_shift_for_networks_before_and_after_training(make):
    few = ("ARCH=mlp:64-8-10", "STEPS=20", "SEEDS=0", "CONTROLS=1")
    place = make("probe-shift", *few, "SHIFTS=hands noise-5 mnist", before=thirty_images)
    rows = rows_of(place / "shift.csv")
    splits = ("test", "hands", "noise-5", "mnist")
    assert {(row["network"], row["seed"], row["layer"], row["split"]) for row in rows} == {
        (network, "0", layer, split)
        for network in ("trained", "untrained")
        for layer in ("block.0", "head")
        for split in splits
    }
    counts = {row["split"]: int(row["n"]) for row in rows}
    assert counts["hands"] == 510  # the last four forms of 128, 126, 126 and 130 digits
    assert counts["mnist"] == 30
    assert all((row["control"] != "") == (row["split"] == "test") for row in rows)
    for name in ("shift.png", "untrained.png"):
        assert (place / name).read_bytes().startswith(PNG)


def test_forms_of_digits_are_one_text_written_fourteen_times(python):
    done = python(
        "import sys; sys.dont_write_bytecode = True; import datasets\n"
        "from nncli.formats.datasets import load\n"
        "y = load('digits', split='all').y\n"
        "forms = [y[a:b] for a, b in zip(datasets.FORMS, datasets.FORMS[1:])]\n"
        "starts = [list(one[:8]) == list(range(8)) for one in forms]\n"
        "print(len(forms), sum(starts), sum(map(len, forms)), set(map(len, forms)))",
        cwd=EXAMPLES / "probe-shift",
    )
    # the eighth and the thirteenth form lack digits at their beginning
    assert done.stdout.decode().split("{")[0].split() == ["14", "12", "1797"], done.stderr


def test_dissimilarity_is_held_against_probes_deleted_components_and_unseen_hands(make):
    few = ("ARCH=mlp:64-12-12-10", "LAST=block.1", "STEPS=30", "SEEDS=0..3", "PRETRAINED=0 1")
    few += ("FINETUNED=0..1", "MEASURES=linear-cka procrustes", "RANKS=4 1")
    place = make("grounding", *few)
    found = {
        name: {(row["score"], row["metric"]): row for row in rows_of(place / f"{name}.csv")}
        for name in ("layers", "components", "hands")
    }
    both = ("linear-cka", "procrustes")
    scores = {
        "layers": ("accuracy, @label", "accuracy, form"),
        "components": ("accuracy",),
        "hands": ("accuracy", "accuracy, gaussian-noise-4"),
    }
    for name, its in scores.items():
        assert set(found[name]) == {(score, metric) for score in its for metric in both}
        assert (place / f"{name}.png").read_bytes().startswith(PNG)
    assert {row["models"] for row in found["layers"].values()} == {"4"}
    assert {row["models"] for row in found["components"].values()} == {"12"}
    assert {row["models"] for row in found["hands"].values()} == {"4"}
    # fewer components are farther away and worse: whatever else chance does, this stays
    for metric in both:
        assert float(found["components"]["accuracy", metric]["spearman"]) > 0
    assert {row["metric"] for row in rows_of(place / "noticed.csv")} == set(both)


WORDS = ("good", "bad", "fine", "poor", "film", "phone", "very", "not", "the", "is")


def encoder(folder):
    """A random encoder of ten words, as a Hugging Face folder."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)))
    BertTokenizerFast(str(vocabulary)).save_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "max_position_embeddings": 32}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=15, **sizes, **layers)).save_pretrained(folder)


def sentences(place):
    """Sentences of ten words, and what is known of them."""
    rng = np.random.default_rng(0)
    about = []
    for name, count in (("products", 60), ("films", 20)):
        texts = [" ".join(rng.choice(WORDS, rng.integers(2, 8))) for _ in range(count)]
        ids = [f"{name} {one}" for one in range(count)]
        label = ["positive" if "good" in text else "negative" for text in texts]
        data = pa.table({"example_id": ids, "text": texts, "label": label})
        pq.write_table(data, place / f"{name}.parquet")
        about += [
            {
                "example_id": one,
                "rating": float(rng.normal()),
                "words": float(len(text.split())),
                "review": f"{name} {number // 3}",
            }
            for number, (one, text) in enumerate(zip(ids, texts, strict=True))
        ]
    pq.write_table(pa.Table.from_pylist(about), place / "about.parquet")


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs transformers")
def test_an_encoder_of_sentences_is_probed_layer_by_layer_without_a_network(make):
    def before(place):
        (place / "vaderSentiment-3.3.2.tar.gz").touch()
        encoder(place / "encoder")
        sentences(place)

    place = make("text-encoder", "PROBING=--orders 1 --controls 1", before=before)
    rows = rows_of(place / "probe.csv")
    layers = ("embeddings", "encoder.layer.0", "encoder.layer.1", "pooler")
    assert {(row["layer"], row["target"], row["split"]) for row in rows} == {
        (layer, target, split)
        for layer in layers
        for target in ("@label", "rating", "words")
        for split in ("test", "films")
    }
    fitted = [row for row in rows if row["split"] == "test"]
    assert all(row["twin"] and row["control"] for row in fitted)
    assert {row["metric"] for row in rows if row["target"] == "words"} == {"r2"}
    assert (place / "sentiment.png").read_bytes().startswith(PNG)
