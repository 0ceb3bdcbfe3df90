"""Samples in memory give what the same samples in a file give, without being copied."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
mc = pytest.importorskip("model_compression")

from function_models import (
    CLASSES,
    PROGRAM,
    ROOT,
    classifier,
    document,
    run_python,
    samples,
    text_classifier,
)
from model_compression.data import open_set, open_source

INPUTS = [("x", torch.float32, [3, 8, 8])]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save(classifier(), path)
    return path


@pytest.fixture(scope="module")
def from_file(model, tmp_path_factory):
    """What each function finds with the samples in a file."""
    path = tmp_path_factory.mktemp("data") / "samples.npz"
    np.savez(path, **samples())
    return found(model, path)


def found(model, data):
    quantized = mc.quantize(model, data=data, latency=False)
    return {
        "evaluate": without_data(mc.evaluate(model, data)),
        "model": quantized.to_bytes(),
        "metric": quantized["metric"],
        "comparison": quantized["comparison"]["outputs"],
        "compare": without_data(mc.compare(model, model, data, engine=["torch", "onnxruntime"])),
    }


def without_data(report):
    return {key: value for key, value in report.items() if key != "data"}


class Samples(torch.utils.data.Dataset):
    """A map-style dataset that counts what it gives."""

    def __init__(self, arrays):
        self.arrays, self.given = arrays, 0

    def __len__(self):
        return len(self.arrays["x"])

    def __getitem__(self, index):
        self.given += 1
        return torch.from_numpy(self.arrays["x"][index]), int(self.arrays["labels"][index])


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        arrays = samples()
        yield from zip(arrays["x"], arrays["labels"], strict=True)


def batches(size):
    arrays = samples()
    for begin in range(0, 48, size):
        yield {name: torch.from_numpy(array[begin : begin + size]) for name, array in arrays.items()}


FORMS = {
    "arrays": samples,
    "another name for the only input": lambda: {"image": samples()["x"], "label": samples()["labels"]},
    "tensors": lambda: {name: torch.from_numpy(array) for name, array in samples().items()},
    "a tensor dataset": lambda: torch.utils.data.TensorDataset(*map(torch.from_numpy, samples().values())),
    "samples": lambda: Samples(samples()),
    "a loader": lambda: torch.utils.data.DataLoader(Samples(samples()), batch_size=7),
    "a stream": Stream,
    "batches": lambda: batches(10),
    "pairs": lambda: [(each["x"], each["labels"]) for each in batches(16)],
    "splits": lambda: {"train": samples(), "test": samples()},
}


@pytest.mark.parametrize("form", FORMS)
def test_memory_gives_what_a_file_gives(model, from_file, form):
    make = FORMS[form]
    once = make() if form in ("arrays", "tensors", "samples") else None
    quantized = mc.quantize(model, data=once or make(), latency=False)
    assert quantized.to_bytes() == from_file["model"]
    assert quantized["metric"] == from_file["metric"]
    assert quantized["comparison"]["outputs"] == from_file["comparison"]
    assert without_data(mc.evaluate(model, once or make())) == from_file["evaluate"]


def test_compare_takes_memory(model, from_file):
    report = mc.compare(model, model, samples(), engine=["torch", "onnxruntime"])
    assert without_data(report) == from_file["compare"]


def test_splits_calibrate_and_compare(model):
    train, test = samples(40), samples(9)
    report = mc.quantize(model, data={"train": train, "validation": test}, latency=False)
    assert report["calibration_samples"] == 40
    assert report["comparison"]["samples"] == 9


@pytest.mark.parametrize("kind", ["numpy", "torch", "dlpack", "block"])
def test_samples_in_a_row_are_the_callers_memory(kind):
    x = torch.from_numpy(samples()["x"])
    forms = {"numpy": {"x": x.numpy()}, "torch": {"x": x}, "dlpack": {"x": OnlyDlpack(x)}, "block": [(x,)]}
    arrays, labels = open_set(forms[kind], INPUTS).get([4, 5, 6])
    assert arrays[0].data_ptr() == x[4].data_ptr()
    assert labels is None


class OnlyDlpack:
    """An array of a library that only speaks DLPack."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack__(self, **options):
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()


def test_samples_are_not_changed(model):
    arrays = samples()
    arrays["x"].flags.writeable = False
    mc.quantize(model, data=arrays, latency=False)
    assert np.array_equal(arrays["x"], samples()["x"])


def test_odd_layouts_are_copied_not_misread(model):
    expected = mc.evaluate(model, samples()).to_dict()
    x = samples()["x"]
    for form in (
        x.astype(">f4"),
        np.asfortranarray(x),
        x[::-1].copy()[::-1],
        torch.from_numpy(x).requires_grad_(),
    ):
        assert mc.evaluate(model, {"x": form, "labels": samples()["labels"]}).to_dict() == expected


def test_a_dataset_is_read_when_needed(model):
    data = Samples(samples())
    report = mc.compare(model, model, data, limit=5)
    assert report["pairs"][0]["samples"] == 5
    assert 5 <= data.given <= 8


def test_registered_data_is_gone_after_the_call(model):
    name = open_source(samples(), INPUTS).name
    with pytest.raises(mc.Error, match="no data is registered"):
        mc.evaluate(model, name)


class Failing(Samples):
    def __getitem__(self, index):
        if index == 3:
            raise OSError("the disk is gone")
        return super().__getitem__(index)


class Uneven(Samples):
    def __getitem__(self, index):
        x, label = super().__getitem__(index)
        return (x.double() if index == 3 else x), label


@pytest.mark.parametrize("kind, says", [(Failing, "the disk is gone"), (Uneven, "Double")])
def test_datasets_that_fail_are_errors(model, kind, says):
    with pytest.raises(mc.Error, match=says):
        mc.evaluate(model, kind(samples()))


def changed(**changes):
    return {key: value for key, value in (samples() | changes).items() if value is not None}


@pytest.mark.parametrize(
    "data, kind, says",
    [
        (3, TypeError, "not int"),
        (object(), TypeError, "not object"),
        (b"samples.npz", TypeError, "not bytes"),
        ([], ValueError, "no batches"),
        ({}, mc.Error, "no array"),
        ({"x": samples()["x"], "lables": samples()["labels"]}, ValueError, "did you mean 'labels'"),
        ({"image": samples()["x"], "mask": samples()["x"]}, ValueError, "its inputs are x"),
        ({3: samples()["x"]}, TypeError, "not 3"),
        (changed(x=None), mc.Error, "no array"),
        (changed(x="text"), TypeError, "not str"),
        (changed(x=np.array(["a"])), TypeError, "<U1"),
        (changed(x=np.array([None])), TypeError, "object"),
        (changed(x=[[1, 2], [3]]), ValueError, "inhomogeneous"),
        (changed(x=np.float32(1)), mc.Error, "no axis of samples"),
        (changed(x=samples(5)["x"]), mc.Error, "'labels' has 48 samples"),
        (changed(x=samples()["x"][:0], labels=None), mc.Error, "no samples"),
        (changed(x=samples()["x"][:, :, :4]), mc.Error, r"\[3, 8, 8\]"),
        (changed(x=samples()["x"].astype(np.float64)), mc.Error, "double"),
        (changed(labels=-samples()["labels"]), mc.Error, "count from 0"),
        (changed(labels=samples()["labels"] + CLASSES), mc.Error, "classes apart"),
        ([(samples()["x"], samples()["labels"], samples()["labels"])], ValueError, "has 3 tensors"),
        ([(samples()["x"],), samples()], mc.Error, "others have none"),
        (torch.utils.data.TensorDataset(torch.zeros(0, 3, 8, 8)), mc.Error, "no samples"),
    ],
)
def test_wrong_data_is_an_error(model, data, kind, says):
    with pytest.raises(kind, match=says):
        mc.evaluate(model, data)


def test_nan_is_named(model):
    x = samples()["x"]
    x[11, 0, 0, 0] = np.nan
    with pytest.raises(mc.Error, match="sample 11"):
        mc.quantize(model, data={"x": x}, latency=False)


def recipe(**data):
    return {
        "name": "tiny",
        "threads": 1,
        "data": data,
        "model": {"builtin": "mlp", "width": 0.25},
        "stages": [{"name": "train", "epochs": 1, "batch_size": 16}],
        "deploy": {"engines": ["torch"], "batch_sizes": [1], "seconds": 0},
    }


def write_npz(path):
    np.savez(path, **samples())
    return str(path)


def test_recipes_run_on_files_and_on_memory(tmp_path):
    file = write_npz(tmp_path / "samples.npz")
    expected = mc.run(recipe(format="npz", train=[file], test=[file]), output=tmp_path / "file")
    memory = mc.run(
        recipe(limit=0),
        data={"train": samples(), "test": samples()},
        output=tmp_path / "memory",
        set={"seed": 0},
    )
    assert expected.passed and memory.passed
    assert memory.path == tmp_path / "memory"
    models = [folder / "models" / "train.onnx" for folder in (tmp_path / "file", tmp_path / "memory")]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert mc.report(tmp_path / "memory").to_dict() == memory.to_dict()


def test_recipes_may_be_text_and_are_checked(tmp_path):
    text = "name: tiny\nmodel: {builtin: mlp}\nstages: [{name: train, epochs: 1, batch_size: 16}]\n"
    assert mc.run(text, data=samples(), check=True).passed
    with pytest.raises(mc.Error, match=r"line 2, column 1.*model"):
        mc.run("name: tiny\nmodle: {builtin: mlp}\n", data=samples(), check=True)
    with pytest.raises(TypeError, match="object"):
        mc.run({"name": object()})
    with pytest.raises(TypeError, match="paths stand in"):
        mc.run(recipe(), data="samples.npz")
    with pytest.raises(TypeError, match="recipe is a path"):
        mc.run(3)


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


def test_columns_that_the_model_does_not_take_are_left_out(model, from_file):
    loader = ({**batch, "names": ["a"] * len(batch["x"])} for batch in batches(12))
    assert without_data(mc.evaluate(model, loader)) == from_file["evaluate"]


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


class Interrupting(Samples):
    """Ctrl-C when a sample is asked for the second time."""

    def __getitem__(self, index):
        if self.given == 60:
            os.kill(os.getpid(), signal.SIGINT)
        return super().__getitem__(index)


def test_ctrl_c_leaves_the_file_that_was_there(model, tmp_path):
    output = tmp_path / "int8.onnx"
    output.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        mc.quantize(model, output, data=Interrupting(samples()), latency=False)
    assert output.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["int8.onnx"]
    assert mc.quantize(model, output, data=samples(), latency=False).path == output


def test_a_run_that_ctrl_c_ended_goes_on(tmp_path):
    two = [{"name": name, "epochs": 1, "batch_size": 16} for name in ("first", "second")]
    settings = recipe() | {"stages": two}
    whole_data = {"train": Samples(samples()), "test": samples()}
    whole = mc.run(settings, data=whole_data, output=tmp_path / "whole")
    broken = {"train": Interrupting(samples()), "test": samples()}
    broken["train"].given = -80  # all are counted, then the first stage reads them; it is in the second one
    with pytest.raises(KeyboardInterrupt):
        mc.run(settings, data=broken, output=tmp_path / "broken")
    assert (tmp_path / "broken").exists()
    resumed = mc.run(settings, data=broken, output=tmp_path / "broken", resume=True)
    assert resumed["stages"][1]["metric"] == whole["stages"][1]["metric"]
    models = [tmp_path / name / "models" / "second.onnx" for name in ("whole", "broken")]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_a_run_knows_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = mc.run(recipe(), data=samples())
    assert report.path == Path("runs/tiny")
    assert (report.path / "report.html").exists()
