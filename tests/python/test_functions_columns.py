"""Columns of Arrow tables, Parquet files and Hugging Face's datasets are samples, without being copied."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
mc = pytest.importorskip("model_compression")

from function_models import (
    CLASSES,
    INPUTS,
    PROGRAM,
    ROOT,
    classifier,
    document,
    recipe,
    run_python,
    samples,
    text_classifier,
    without_data,
)
from model_compression.data import open_set


def arrow_tables():
    pyarrow = pytest.importorskip("pyarrow")
    arrays = samples()
    flat = pyarrow.array(arrays["x"].reshape(-1))
    nested = flat
    for size in (8, 8, 3):
        nested = pyarrow.FixedSizeListArray.from_arrays(nested, size)
    yield pyarrow.table({"id": [str(i) for i in range(48)], "x": nested, "label": arrays["labels"]})
    yield pyarrow.table({"x": arrays["x"].tolist(), "labels": arrays["labels"]}).cast(
        pyarrow.schema(
            {"x": pyarrow.list_(pyarrow.list_(pyarrow.list_(pyarrow.float32()))), "labels": pyarrow.int32()}
        )
    )
    table = pyarrow.table({"labels": arrays["labels"], "x": nested})
    yield pyarrow.concat_tables([table.slice(0, 5), table.slice(5, 1), table.slice(6)])


def test_arrow_tables_and_parquet_give_what_arrays_give(model, from_file, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    for i, table in enumerate(arrow_tables()):
        path = tmp_path / f"{i}.parquet"
        parquet.write_table(table, path, row_group_size=20)
        for data in (table, path):
            assert without_data(mc.evaluate(model, data)) == from_file["evaluate"]
            assert mc.quantize(model, data=data, latency=False).to_bytes() == from_file["model"]


def test_arrow_memory_is_not_copied():
    table = next(arrow_tables())
    arrays, labels = open_set(table, INPUTS).get(range(2, 6))
    values = table["x"].chunk(0)
    while hasattr(values, "values"):
        values = values.values
    assert arrays[0].data_ptr() == values.buffers()[1].address + 2 * 3 * 8 * 8 * 4
    assert labels.tolist() == samples()["labels"][2:6].tolist()


def test_hugging_face_datasets_feed_functions_and_recipes(model, from_file, tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"x": datasets.Array3D((3, 8, 8), "float32"), "label": datasets.ClassLabel(num_classes=CLASSES)}
    )
    arrays = samples()
    data = datasets.Dataset.from_dict({"x": arrays["x"], "label": arrays["labels"]}, features=features)
    assert without_data(mc.evaluate(model, data)) == from_file["evaluate"]
    shuffled = data.select(list(reversed(range(48))))
    assert mc.evaluate(model, shuffled)["value"] == from_file["evaluate"]["value"]
    splits = datasets.DatasetDict({"train": data, "test": shuffled})
    assert mc.run(recipe(), data=splits, output=tmp_path / "run").passed
    data.to_parquet(tmp_path / "train-00000-of-00001.parquet")
    shuffled.to_parquet(tmp_path / "test.parquet")
    assert mc.evaluate(model, tmp_path)["value"] == from_file["evaluate"]["value"]
    assert mc.run(recipe(format="parquet", root=str(tmp_path)), output=tmp_path / "again").passed


def test_recipes_take_token_ids_as_datasets_keeps_them(tmp_path):
    """map() stores ids in int32 and masks in int8; the model takes int64."""
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"row": list(range(16))}).map(
        lambda rows: {
            "input_ids": [TOKENS[row % 4] for row in rows["row"]],
            "attention_mask": [[1] * len(TOKENS[row % 4]) for row in rows["row"]],
            "label": [row % 4 for row in rows["row"]],
        },
        batched=True,
    )
    data = data.cast_column("input_ids", datasets.List(datasets.Value("int32")))
    data = data.cast_column("attention_mask", datasets.List(datasets.Value("int8")))
    onnx.save(text_classifier(), tmp_path / "model.onnx")
    settings = recipe() | {"model": {"onnx": str(tmp_path / "model.onnx")}}
    settings["deploy"]["engines"] = ["onnxruntime"]
    assert mc.run(settings, data={"train": data, "test": data}, output=tmp_path / "run").passed


TOKENS = [[3, 4, 5], [7], [9, 9, 9, 9], [1, 2]]


@pytest.mark.parametrize("length", ["L", 6])
def test_token_lists_are_filled_up_and_masked(length):
    pyarrow = pytest.importorskip("pyarrow")
    size = 4 if length == "L" else length
    ids, mask = np.zeros((4, size), np.int64), np.zeros((4, size), np.int64)
    for row, tokens in enumerate(TOKENS):
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    model, labels = text_classifier(length), np.arange(4)
    expected = mc.evaluate(model, {"input_ids": ids, "attention_mask": mask, "labels": labels}, metric="top1")
    table = pyarrow.table(
        {"input_ids": pyarrow.array(TOKENS, pyarrow.list_(pyarrow.int32())), "label": labels}
    )
    assert mc.evaluate(model, table)["value"] == expected["value"]
    inputs = [(name, torch.int64, [-1 if length == "L" else 6]) for name in ("input_ids", "attention_mask")]
    arrays, _ = open_set(table, inputs).get([0, 1, 2, 3])
    assert [array.tolist() for array in arrays] == [ids.tolist(), mask.tolist()]


def test_wrong_columns_are_errors():
    pyarrow = pytest.importorskip("pyarrow")

    def error(columns, model=None):
        with pytest.raises(mc.Error) as raised:
            mc.evaluate(model or text_classifier(2), pyarrow.table(columns))
        return str(raised.value)

    ids = [[1, 2], [3, 4]]
    assert "did you mean 'input_id'" in error({"input_id": ids, "mask": ids, "label": [0, 1]})
    assert "null" in error({"input_ids": [[1, 2], None], "label": [0, 1]})
    assert "null" in error({"input_ids": [[1, None], [1, 2]], "label": [0, 1]})
    assert "list of 3 elements, the model takes 2" in error({"input_ids": [[1, 2, 3], [1]], "label": [0, 1]})
    assert "'input_ids'" in error({"input_ids": ["a", "b"], "label": [0, 1]})
    assert "no rows" in error({"input_ids": pyarrow.array([], pyarrow.list_(pyarrow.int64()))})
    assert "'label'" in error({"input_ids": ids, "label": ["a", "b"]})
    ragged = [[[1.0], [1.0, 2.0]]]
    assert "lists of lists that differ" in error({"x": ragged, "label": [0]}, classifier())
    words = pyarrow.array(["a", "b"]).dictionary_encode()
    assert "dictionary" in error({"x": words, "label": [0, 1], "y": [1, 2]}, classifier())


def test_broken_parquet_files_are_errors(model, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(next(arrow_tables()), path)
    whole = path.read_bytes()
    for broken in (b"", b"PAR1", whole[: len(whole) // 2], whole[:-4] + b"none"):
        path.write_bytes(broken)
        with pytest.raises(mc.Error, match=r"a\.parquet"):
            mc.evaluate(model, path)


@pytest.mark.parametrize("seed", range(4))
def test_parquet_files_with_changed_bytes_never_crash(model, tmp_path, seed):
    """In a process of its own, whose end shows a crash; what is read or refused depends on where the bytes are."""
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(next(arrow_tables()), path, compression="none")
    done = run_python(
        """
        import sys, numpy as np, model_compression as mc
        model, path, seed = sys.argv[1:]
        whole, random, refused = open(path, "rb").read(), np.random.default_rng(int(seed)), 0
        for _ in range(60):
            broken = bytearray(whole)
            begin = random.choice([0, len(broken) - 900])  # the pages, or the description at the end
            for place in random.integers(begin, len(broken), 1 + random.integers(4)):
                broken[place] = random.integers(256)
            open(path, "wb").write(broken)
            try:
                mc.evaluate(model, path)
            except mc.Error as error:
                refused += path in str(error)
        print("refused" if refused else "all read")
        """,
        model,
        path,
        seed,
    )
    assert done.stdout == "refused\n", done.stderr


def test_the_program_reads_parquet_too(model, from_file, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    if not (PROGRAM.parent / "libmc_parquet.so").exists():
        pytest.skip("built without Arrow C++")
    path = tmp_path / "data" / "test-00000-of-00001.parquet"
    path.parent.mkdir()
    parquet.write_table(next(arrow_tables()), path)
    for place in (path, tmp_path, path.parent):
        report = document("evaluate", model, "--data", place)
        assert without_data(report) == from_file["evaluate"]
    path.write_bytes(path.read_bytes()[:999])
    failed = subprocess.run(
        [PROGRAM, "evaluate", model, "--data", path], check=False, capture_output=True, text=True
    )
    assert failed.returncode == 2
    assert str(path) in failed.stderr


def test_the_module_as_a_program_reads_parquet_without_the_library(model, from_file, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(next(arrow_tables()), path)
    words = [sys.executable, "-m", "model_compression", "evaluate", model, "--data", path, "--json"]
    done = subprocess.run(
        words,
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "python"), "MC_PARQUET_LIBRARY": "nowhere.so"},
    )
    assert done.returncode == 0, done.stderr
    assert without_data(json.loads(done.stdout)) == from_file["evaluate"]


def test_frames_are_tables():
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {"a": [0.5, 1.5, 2.5], "b": [1, 2, 3], "note": ["x", "y", "z"], "label": [0, 1, 0]}
    )
    arrays, labels = open_set(frame, [("b", torch.int64, []), ("a", torch.float32, [])]).get([0, 1, 2])
    assert [array.tolist() for array in arrays] == [[1, 2, 3], [0.5, 1.5, 2.5]]
    assert arrays[1].dtype == torch.float32
    assert labels.tolist() == [0, 1, 0]


def hugging_face_set():
    datasets = pytest.importorskip("datasets")
    arrays = samples()
    features = datasets.Features(
        {
            "x": datasets.Array3D((3, 8, 8), "float32"),
            "label": datasets.ClassLabel(num_classes=CLASSES),
            "name": datasets.Value("string"),
        }
    )
    columns = {"x": arrays["x"], "label": arrays["labels"], "name": [f"sample {i}" for i in range(48)]}
    return datasets.Dataset.from_dict(columns, features=features)


def test_hugging_face_memory_is_not_copied(tmp_path):
    """Of a set in memory, and of one that is mapped from its Arrow file."""
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict({"x": np.arange(40.0).reshape(10, 4)})
    made = made.cast_column("x", datasets.Sequence(datasets.Value("float32"), length=4))
    made.save_to_disk(tmp_path / "saved")
    for data in (made, datasets.load_from_disk(tmp_path / "saved")):
        values = data.data.column("x").chunk(0).values
        arrays, _ = open_set(data, [("x", torch.float32, [4])]).get([3, 4])
        assert arrays[0].data_ptr() == values.buffers()[1].address + 3 * 4 * 4
        assert arrays[0].tolist() == np.arange(12.0, 20.0).reshape(2, 4).tolist()


def test_hugging_face_sets_may_be_transformed_streamed_and_split(model, from_file):
    data = hugging_face_set()

    def negated(rows):
        return rows | {"x": [torch.tensor(x) for x in rows["x"]]}

    for form in (data.with_transform(negated), data.to_iterable_dataset(num_shards=3)):
        assert without_data(mc.evaluate(model, form)) == from_file["evaluate"]
    datasets = pytest.importorskip("datasets")
    splits = datasets.DatasetDict({"unsupervised": data, "validation": data})
    assert without_data(mc.evaluate(model, splits)) == from_file["evaluate"]
    with pytest.raises(ValueError, match="has the splits dev; none of them is train"):
        mc.evaluate(model, datasets.DatasetDict({"dev": data}))
    with pytest.raises(ValueError, match="no samples"):
        mc.evaluate(model, data.to_iterable_dataset().take(0))
