"""`quantize` on data and models that are not as they should be."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MC_PROGRAM", ROOT / "build" / "model-compression"))

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")


def net(folder, batch="N", first_weight=None):
    """conv -> Log of a square -> conv: zeros in, infinity inside."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((4, 2, 3, 3)).astype(np.float32) if first_weight is None else first_weight
    constants = {
        "conv.weight": weight,
        "last.weight": random.standard_normal((3, 4, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["a"], "conv"),
        helper.make_node("Mul", ["a", "a"], ["s"], "square"),
        helper.make_node("Sqrt", ["s"], ["r"], "root"),
        helper.make_node("Conv", ["r", "last.weight"], ["b"], "last"),
        helper.make_node("GlobalAveragePool", ["b"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["y"], "flat"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 2, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    path = folder / f"net_{batch}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def samples(count=16):
    return np.random.default_rng(1).standard_normal((count, 2, 6, 6)).astype(np.float32)


def quantize(folder, model, arrays, *arguments, status=0):
    np.savez(folder / "data.npz", **arrays)
    command = ["quantize", "--no-latency", model, "--data", folder / "data.npz", "-o", folder / "q.onnx"]
    done = subprocess.run(
        [PROGRAM, *map(str, [*command, *arguments, "--json"])],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stdout + done.stderr
    if status == 0:
        return json.loads(done.stdout)
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert not (folder / "q.onnx").exists()
    return done.stderr


@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_numbers_that_are_none_name_node_and_sample(tmp_path, value, said):
    x = samples()
    x[11, 1, 2, 3] = value
    message = quantize(tmp_path, net(tmp_path), {"x": x}, status=2)
    assert said in message and "sample 11" in message and "input 'x'" in message


def test_infinity_inside_names_node_and_sample(tmp_path):
    x = samples()
    x[5] *= 1e30  # finite itself; its square is not
    message = quantize(tmp_path, net(tmp_path), {"x": x}, status=2)
    assert "infinity" in message and "sample 5" in message
    assert "value 'r' of node 'root'" in message and "FakeQuantize" not in message


@pytest.mark.parametrize("level", [0.0, 0.7, -3.0])
def test_constant_samples_are_kept(tmp_path, level):
    x = np.full((4, 2, 6, 6), level, np.float32)
    report = quantize(tmp_path, net(tmp_path), {"x": x})
    output = report["comparison"]["outputs"][0]
    assert output["snr_db"] > 30
    assert all(np.isfinite(output[key]) for key in ("mse", "cosine", "max_abs"))


def test_a_weight_of_zeros_stays_zero(tmp_path):
    weight = np.zeros((4, 2, 3, 3), np.float32)
    weight[1] = 1  # and channels of one value
    report = quantize(tmp_path, net(tmp_path, first_weight=weight), {"x": samples()})
    assert report["comparison"]["outputs"][0]["snr_db"] > 30
    scale = next(
        numpy_helper.to_array(tensor)
        for tensor in onnx.load(tmp_path / "q.onnx").graph.initializer
        if tensor.name == "conv.weight_scale"
    )
    assert np.isfinite(scale).all() and (scale > 0).all()


@pytest.mark.parametrize("method", ["min_max", "moving_average", "percentile", "entropy", "mse"])
def test_one_sample_suffices(tmp_path, method):
    report = quantize(tmp_path, net(tmp_path), {"x": samples(1)}, "--method", method)
    assert report["calibration_samples"] == 1
    assert report["comparison"]["outputs"][0]["snr_db"] > 15


def test_too_few_samples_for_a_fixed_batch(tmp_path):
    message = quantize(tmp_path, net(tmp_path, batch=4), {"x": samples(3)}, status=2)
    assert "fixed to 4" in message and "3 samples" in message


@pytest.mark.parametrize("shape", [(8, 2, 7), (8, 3, 6, 6), (8, 2, 6, 5)])
def test_shapes_that_do_not_fit_are_named(tmp_path, shape):
    message = quantize(tmp_path, net(tmp_path), {"x": np.zeros(shape, np.float32)}, status=2)
    assert "'x'" in message and ", ".join(map(str, shape[1:])) in message and "2, 6, 6" in message


def test_inputs_that_the_data_lacks(tmp_path):
    arrays = {"image": samples(), "mask": samples()}
    message = quantize(tmp_path, net(tmp_path), arrays, status=2)
    assert "'x'" in message and "image, mask" in message


@pytest.mark.parametrize("goal", [(), ("--min-snr", "20"), ("--metric", "top1")])
def test_labels_of_another_kind_are_said_first(tmp_path, goal):
    arrays = {"x": samples(), "labels": np.ones((16, 5), np.float32)}
    message = quantize(tmp_path, net(tmp_path), arrays, *goal, status=2)
    assert "[N, 5]" in message and "calibrate" not in message
    arrays["labels"] = np.ones((16, 3), np.float32)
    if "top1" in goal:
        assert "[N, 3]" in quantize(tmp_path, net(tmp_path), arrays, *goal, status=2)
    else:
        assert quantize(tmp_path, net(tmp_path), arrays, *goal)


@pytest.mark.parametrize("mode", ["fp16", "bf16"])
def test_a_quantized_model_does_not_become_half(tmp_path, mode):
    quantize(tmp_path, net(tmp_path), {"x": samples()})
    quantized = (tmp_path / "q.onnx").rename(tmp_path / "int8.onnx")
    message = quantize(tmp_path, quantized, {"x": samples()}, "--mode", mode, status=2)
    assert "already quantized" in message


def test_labels_are_missing(tmp_path):
    arrays = {"x": samples()}
    for goal in (["--metric", "top1"], ["--accuracy-drop", "0.01"]):
        assert "labels" in quantize(tmp_path, net(tmp_path), arrays, *goal, status=2)


@pytest.mark.parametrize("mode", ["ptq", "float8", "weights", "dynamic"])
def test_a_quantized_model_says_how_to_go_on(tmp_path, mode):
    quantize(tmp_path, net(tmp_path), {"x": samples()})
    done = tmp_path / "done.onnx"
    (tmp_path / "q.onnx").rename(done)
    message = quantize(tmp_path, done, {"x": samples()}, "--mode", mode, status=2)
    assert "already quantized" in message and "float model" in message


@pytest.mark.parametrize("arguments", [[], ["--metric", "top5"], ["--accuracy-drop", "0.01"]])
def test_a_label_beyond_the_classes_is_named(tmp_path, arguments):
    labels = np.arange(16) % 3
    labels[9] = 7
    message = quantize(tmp_path, net(tmp_path), {"x": samples(), "labels": labels}, *arguments, status=2)
    assert "sample 9 has the label 7" in message and "3 classes" in message


def test_training_names_the_sample_that_is_no_number(tmp_path):
    x = samples()
    x[11, 1, 2, 3] = np.nan
    np.savez(tmp_path / "data.npz", x=x, labels=np.arange(16) % 3)
    (tmp_path / "recipe.yaml").write_text(
        f"""
data: {{format: npz, train: {tmp_path}/data.npz, test: {tmp_path}/data.npz}}
model: {{onnx: {net(tmp_path)}}}
stages: [{{name: q, batch_size: 8, quantize: {{}}}}]
"""
    )
    command = ["run", tmp_path / "recipe.yaml", "--output", tmp_path / "run"]
    done = subprocess.run(
        [PROGRAM, *map(str, command)], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "not a finite number" in done.stderr and "sample 11: input 'x' holds NaN" in done.stderr


def test_evaluate_names_a_label_beyond_the_classes(tmp_path):
    np.savez(tmp_path / "data.npz", x=samples(4), labels=np.array([0, 1, 2, 3]))
    command = ["evaluate", net(tmp_path), "--data", tmp_path / "data.npz"]
    done = subprocess.run(
        [PROGRAM, *map(str, command)], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "sample 3 has the label 3" in done.stderr and "3 classes apart (0 to 2)" in done.stderr


def test_a_batch_that_is_fixed_to_many(tmp_path):
    np.savez(tmp_path / "data.npz", x=samples(96))
    model = net(tmp_path, batch=48)
    command = ["sensitivity", model, "--data", tmp_path / "data.npz", "--json"]
    done = subprocess.run(
        [PROGRAM, *map(str, command)], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["sensitivity"]) == 2
    report = quantize(tmp_path, model, {"x": samples(96)}, "--samples", "8")
    assert report["calibration_samples"] == 48
