"""Samples in memory give what the same samples in a file give, without being copied."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
mc = pytest.importorskip("model_compression")

from function_models import (
    CLASSES,
    INPUTS,
    recipe,
    samples,
    without_data,
)
from model_compression.data import open_set, open_source


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


def test_columns_that_the_model_does_not_take_are_left_out(model, from_file):
    loader = ({**batch, "names": ["a"] * len(batch["x"])} for batch in batches(12))
    assert without_data(mc.evaluate(model, loader)) == from_file["evaluate"]


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
