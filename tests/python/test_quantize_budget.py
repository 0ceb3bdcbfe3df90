"""Bits of layers by a budget, the sensitivities behind them, and the page that shows both."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MC_PROGRAM", ROOT / "build" / "model-compression"))
MACS = {"stem": 12 * 12 * 16 * 27, "wide": 12 * 12 * 48 * 16 * 9, "narrow": 12 * 12 * 10 * 48}
WEIGHTS = {"stem": 16 * 27, "wide": 48 * 16 * 9, "narrow": 10 * 48}

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")


def program(*arguments, status=0):
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three convolutions, and samples that their own argmax labels."""
    folder = tmp_path_factory.mktemp("budget")
    random = np.random.default_rng(3)

    def conv(name, given, made, shape, pad):
        weight = (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        tensor = numpy_helper.from_array(weight, name + ".weight")
        inputs = [given, name + ".weight"]
        return helper.make_node("Conv", inputs, [made], name, pads=[pad] * 4), tensor

    layers = [
        conv("stem", "x", "a", (16, 3, 3, 3), 1),
        conv("wide", "r", "b", (48, 16, 3, 3), 1),
        conv("narrow", "s", "c", (10, 48, 1, 1), 0),
    ]
    nodes = [
        layers[0][0],
        helper.make_node("Relu", ["a"], ["r"], "relu1"),
        layers[1][0],
        helper.make_node("Relu", ["b"], ["s"], "relu2"),
        layers[2][0],
        helper.make_node("GlobalAveragePool", ["c"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["y"], "flat"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])],
        [tensor for _, tensor in layers],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "net.onnx")
    x = random.standard_normal((48, 3, 12, 12)).astype(np.float32)
    session = onnxruntime.InferenceSession(folder / "net.onnx", providers=["CPUExecutionProvider"])
    np.savez(folder / "data.npz", x=x, labels=session.run(None, {"x": x})[0].argmax(1))
    return folder


def quantized(files, output, *arguments):
    done = program(
        "quantize", files / "net.onnx", "--data", files / "data.npz", "-o", output, "--json", *arguments
    )
    return json.loads(done.stdout)


def onnxruntime_outputs(model, x):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_a_size_budget_holds_in_the_file(files, tmp_path):
    output = tmp_path / "q.onnx"
    int8 = quantized(files, output, "--no-latency")["bytes_after"]
    limit = int8 - WEIGHTS["wide"] // 2 + 200
    report = quantized(files, output, "--size-budget", limit)
    budget = report["budget"]
    assert output.stat().st_size == report["bytes_after"] <= limit == budget["limit"]
    assert budget["weight_storage"] == "int4" and budget["float_cost"] == report["bytes_before"]
    bits = {layer["name"]: layer["bits"] for layer in budget["layers"]}
    assert bits["wide"] == 4 and set(bits.values()) <= {4, 8, 32}
    types = {tensor.name: tensor.data_type for tensor in onnx.load(output).graph.initializer}
    assert types["wide.weight_int4"] == TensorProto.INT4
    # ONNX Runtime reads it, and computes what the program measured.
    x = np.load(files / "data.npz")["x"]
    expected, actual = (onnxruntime_outputs(path, x) for path in (files / "net.onnx", output))
    snr = 10 * np.log10(np.square(expected).sum() / np.square(expected - actual).sum())
    assert snr > 15 and snr == pytest.approx(report["comparison"]["outputs"][0]["snr_db"], abs=0.1)
    assert report["latency"] is None
    large = quantized(files, output, "--size-budget", int8 + 3 * WEIGHTS["stem"] + 100)
    assert {layer["bits"] for layer in large["budget"]["layers"]} == {8, 32}
    assert large["budget"]["weight_storage"] == "int8" and large["bytes_after"] <= large["budget"]["limit"]
    float_layers = [layer for layer in large["layers"] if not layer["quantized"]]
    assert float_layers and all("size budget" in layer["reason"] for layer in float_layers)


def test_a_budget_of_bit_operations(files, tmp_path):
    report = quantized(files, tmp_path / "q.onnx", "--bops-budget", "0.03x", "--target", "openvino")
    budget = report["budget"]
    assert budget["float_cost"] == sum(MACS.values()) * 32 * 32
    cost = sum(
        MACS[layer["name"]] * layer["bits"] * (32 if layer["bits"] == 32 else 8) for layer in budget["layers"]
    )
    assert budget["cost"] == cost <= budget["limit"] == pytest.approx(0.03 * budget["float_cost"])
    weights = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load(tmp_path / "q.onnx").graph.initializer
    }
    for layer in budget["layers"]:
        if layer["bits"] < 32:
            levels = np.abs(weights[layer["name"] + ".weight_int8"].astype(int)).max()
            assert levels <= 2 ** (layer["bits"] - 1) - 1
    assert min(layer["bits"] for layer in budget["layers"]) < 8
    rows = {row["name"]: row for row in report["sensitivity"]}
    for row in rows.values():
        snr = row["snr_by_bits_db"]
        assert snr["2"] < snr["4"] < snr["6"] <= row["snr_alone_db"] + 1
        assert row["macs"] == MACS[row["name"]] and row["weights"] == WEIGHTS[row["name"]]


def test_a_latency_budget_that_cannot_be_met_says_what_can(files, tmp_path):
    arguments = ["quantize", files / "net.onnx", "--data", files / "data.npz", "-o", tmp_path / "q.onnx"]
    said = program(*arguments, "--latency-budget", "0.00001", status=2).stderr
    assert "cannot be met" in said and "with every layer quantized it takes" in said
    assert (
        "meets the latency budget already" in program(*arguments, "--latency-budget", "1e6", status=2).stderr
    )
    assert not list(tmp_path.glob("*.timing/*"))


def test_the_page_shows_what_was_chosen(files, tmp_path):
    output = tmp_path / "q.onnx"
    quantized(files, output, "--bops-budget", "0.05x")
    page = (tmp_path / "q.onnx.report.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "<script" not in page and "http" not in page
    for words in ("The budget", "Sensitivity by layer", "Only this layer quantized", "Only this layer float"):
        assert words in page
    assert page.count(">wide<") >= 3
    said = program(
        "quantize", files / "net.onnx", "--data", files / "data.npz", "-o", output, "--bops-budget", "0.05x"
    ).stdout
    assert "bops budget" in said and "SNR alone dB" in said


def test_the_ladder_has_a_page_too(files, tmp_path):
    output = tmp_path / "q.onnx"
    done = program(
        *("quantize", files / "net.onnx", "--data", files / "data.npz", "-o", output),
        *("--min-snr", "150", "--no-latency", "--json"),
        status=1,
    )
    report = json.loads(done.stdout)
    page = (tmp_path / "q.onnx.report.html").read_text()
    assert "The ladder" in page and "calibrator entropy" in page and "the goal is not reached" in page
    assert {layer["name"] for layer in report["layers"]} == set(MACS)
    for layer in report["layers"]:
        assert layer["quantized"] or "sensitive" in layer["reason"]


def test_sensitivity_is_a_command_of_its_own(files, tmp_path):
    page = tmp_path / "s.html"
    arguments = ["sensitivity", files / "net.onnx", "--data", files / "data.npz", "--bits", "2,4", "-o", page]
    report = json.loads(program(*arguments, "--json").stdout)
    assert report["schema"] == "model-compression/sensitivity/1"
    assert [row["name"] for row in report["sensitivity"]] == list(MACS)
    # One layer alone is what leaving the others float gives.
    single = quantized(
        files, tmp_path / "q.onnx", "--no-latency", "--keep-float", "stem", "--keep-float", "wide"
    )
    alone = report["sensitivity"][2]["snr_alone_db"]
    assert alone == pytest.approx(single["comparison"]["outputs"][0]["snr_db"], abs=1.5)
    assert "Sensitivity by bits" in page.read_text()
    text = program(*arguments).stdout
    assert "alone dB" in text and "4 bits" in text and "s.html" in text


def test_operators_are_left_float_by_type(files, tmp_path):
    output = tmp_path / "q.onnx"
    report = quantized(files, output, "--no-latency", "--keep-float", "type:GlobalAverage*")
    assert all(layer["quantized"] for layer in report["layers"])
    pool = next(node for node in onnx.load(output).graph.node if node.op_type == "GlobalAveragePool")
    assert all(
        pool.output[0] not in node.input for node in onnx.load(output).graph.node if "Quant" in node.op_type
    )
    said = program(
        *("quantize", files / "net.onnx", "--data", files / "data.npz", "-o", output),
        *("--keep-float", "type:Convv"),
        status=2,
    ).stderr
    assert "did you mean 'type:Conv'" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size-budget", "0"], "neither a part"),
        (["--size-budget", "1.5MB"], "1.5M"),
        (["--latency-budget", "fast"], "milliseconds"),
        (["--size-budget", "0.2x", "--bops-budget", "0.1x"], "one at a time"),
        (["--size-budget", "0.2x", "--min-snr", "30"], "a budget or a goal"),
        (["--size-budget", "0.2x", "--mode", "fp16"], "mode ptq"),
        (["--size-budget", "100"], "cannot be met"),
        (["--bops-budget", "1x"], "already"),
    ],
)
def test_bad_budgets_are_refused(files, tmp_path, arguments, said):
    output = tmp_path / "q.onnx"
    done = program(
        *("quantize", files / "net.onnx", "--data", files / "data.npz", "-o", output), *arguments, status=2
    )
    assert said in done.stderr and not output.exists()
