"""Texts become Parquet files that the commands read."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
parquet = pytest.importorskip("pyarrow.parquet")
transformers = pytest.importorskip("transformers")
mc = pytest.importorskip("model_compression")

from function_models import text_classifier
from model_compression.data import open_set

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "small", "and", "fast", "model", "is", "slow"]
TEXTS = ["a small and fast model", "slow", "a model is a model is a model", "unheard"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    made = transformers.BertTokenizer(str(folder / "vocab.txt"))
    made.save_pretrained(folder)
    return made


def encoded(tokenizer, texts, length):
    return tokenizer(texts, truncation=True, max_length=length, padding="max_length", return_tensors="np")


def test_the_file_holds_what_the_tokenizer_gives(tokenizer, tmp_path):
    path = mc.tokenize(
        {"text": TEXTS, "label": [0, 1, 2, 3]}, tokenizer, tmp_path / "t.parquet", max_length=6
    )
    assert path == tmp_path / "t.parquet"
    table = parquet.read_table(path)
    for name, rows in encoded(tokenizer, TEXTS, 6).items():
        assert table[name].to_pylist() == rows.tolist()
    assert table["labels"].to_pylist() == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == [path]


def test_functions_read_it_as_they_read_arrays(tokenizer, tmp_path):
    labels = np.arange(4)
    path = mc.tokenize({"text": TEXTS, "label": labels}, tokenizer, tmp_path / "t.parquet", max_length=6)
    arrays = {name: each for name, each in encoded(tokenizer, TEXTS, 6).items() if name != "token_type_ids"}
    expected = mc.evaluate(text_classifier(), arrays | {"labels": labels}, metric="top1")
    assert mc.evaluate(text_classifier(), path)["value"] == expected["value"]
    assert mc.evaluate(text_classifier(6), path)["value"] == expected["value"]
    unpadded = mc.tokenize(
        {"text": TEXTS, "label": labels}, tokenizer, tmp_path / "u.parquet", max_length=6, padding=False
    )
    assert mc.evaluate(text_classifier(6), unpadded)["value"] == expected["value"]


def test_recipes_read_it(tokenizer, tmp_path):
    onnx.save(text_classifier(), tmp_path / "model.onnx")
    columns = {"text": TEXTS * 8, "label": list(range(4)) * 8}
    for split in ("train", "test"):
        mc.tokenize(columns, tokenizer, tmp_path / "data" / f"{split}.parquet", max_length=6)
    recipe = {
        "name": "words",
        "threads": 1,
        "data": {"format": "parquet", "root": tmp_path / "data"},
        "model": {"onnx": tmp_path / "model.onnx"},
        "stages": [{"name": "train", "epochs": 20, "batch_size": 8, "optimizer": {"sgd": {"lr": 0.5}}}],
        "deploy": {"engines": ["onnxruntime"], "batch_sizes": [1], "seconds": 0},
    }
    report = mc.run(recipe, output=tmp_path / "run")
    assert report["stages"][0]["metric"] == 1.0  # four texts are learned by heart
    trained = mc.evaluate(tmp_path / "run" / "models" / "train.onnx", tmp_path / "data", metric="top1")
    assert trained["value"] == 1.0


def test_sources_of_texts(tokenizer, tmp_path):
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"sentence": TEXTS, "other": TEXTS[::-1], "label": [1, 0, 1, 0]})
    path = mc.tokenize(data, tokenizer, tmp_path / "p.parquet", text="sentence", pair="other", max_length=12)
    expected = tokenizer(TEXTS, TEXTS[::-1], truncation=True, max_length=12, padding="max_length")
    assert parquet.read_table(path)["token_type_ids"].to_pylist() == expected["token_type_ids"]
    mc.tokenize(TEXTS, tokenizer.name_or_path or tokenizer, tmp_path / "q.parquet", max_length=4)
    assert "labels" not in parquet.read_table(tmp_path / "q.parquet").column_names


def test_many_texts_and_functions_of_texts(tmp_path):
    """More than one batch, whose lists happen to have other lengths."""

    def lengths(texts):
        return {"input_ids": [[len(word) for word in text.split()] for text in texts]}

    texts = ["one two"] * 1000 + ["three", "four five six"]
    path = mc.tokenize(texts, lengths, tmp_path / "t.parquet")
    dataset = open_set(parquet.read_table(path))
    arrays, _ = dataset.get([0, 1000, 1001])
    assert arrays[0].tolist() == [[3, 3, 0], [5, 0, 0], [4, 4, 3]]


@pytest.mark.parametrize(
    "texts, options, kind, says",
    [
        ("one text", {}, TypeError, "not one text"),
        (3, {}, TypeError, "not int"),
        ([], {}, ValueError, "no texts"),
        (["a", None], {}, TypeError, "row 1"),
        ({"texts": ["a"]}, {}, ValueError, "no column 'text'; there are texts"),
        ({"text": ["a"], "label": [1, 2]}, {}, ValueError, "label has 2 rows"),
        ({"text": ["a"], "label": ["b"]}, {}, TypeError, "no label"),
        (["a"], {"max_length": 0}, ValueError, "max_length"),
        (["a"], {"tokenizer": 3}, TypeError, "not int"),
    ],
)
def test_wrong_texts_are_errors(tokenizer, tmp_path, texts, options, kind, says):
    given = {"tokenizer": tokenizer, "output": tmp_path / "t.parquet"} | options
    with pytest.raises(kind, match=says):
        mc.tokenize(texts, **given)
    assert list(tmp_path.iterdir()) == []
