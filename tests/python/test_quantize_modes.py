"""What the command `quantize` writes without ranges of activations, on the engines that it is for."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

from models import running
from onnx import TensorProto, helper, numpy_helper

PROGRAM = Path(os.environ.get("MC_PROGRAM", running.BUILD / "model-compression"))
WIDTH, HIDDEN, WORDS, LENGTH = 48, 80, 50, 7  # no multiples of the block
LAYERS = {"up.weight": False, "down.weight": True}  # name -> stored with output channels first

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists() or not running.PROGRAM.exists(), reason=f"{PROGRAM} is not built"
)


def text_model():
    """An embedding, a norm, two products with a GELU between, and a residual."""
    random = np.random.default_rng(0)

    def real(*shape, scale=1.0):
        return (random.standard_normal(shape) * scale).astype(np.float32)

    constants = {
        "table": real(WORDS, WIDTH) * np.exp(real(WIDTH)),
        "norm.weight": np.exp(real(WIDTH)),
        "norm.bias": real(WIDTH, scale=0.1),
        "up.weight": real(WIDTH, HIDDEN, scale=0.2),
        "up.bias": real(HIDDEN, scale=0.1),
        "down.weight": real(WIDTH, HIDDEN, scale=0.2),
        "down.bias": real(WIDTH, scale=0.1),
        "flat": np.array([-1, HIDDEN], np.int64),
        "back": np.array([-1, LENGTH, WIDTH], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"], "words"),
        helper.make_node("LayerNormalization", ["e", "norm.weight", "norm.bias"], ["n"], "norm"),
        helper.make_node("MatMul", ["n", "up.weight"], ["u"], "up"),
        helper.make_node("Add", ["u", "up.bias"], ["v"], "up_bias"),
        helper.make_node("Tanh", ["v"], ["t"], "tanh"),
        helper.make_node("Reshape", ["t", "flat"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "down.weight", "down.bias"], ["d"], "down", transB=1),
        helper.make_node("Reshape", ["d", "back"], ["b"], "unflatten"),
        helper.make_node("Add", ["b", "e"], ["y"], "residual"),
    ]
    graph = helper.make_graph(
        nodes,
        "text",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", LENGTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", LENGTH, WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    onnx.save(text_model(), folder / "model.onnx")
    ids = np.random.default_rng(1).integers(0, WORDS, (64, LENGTH))
    np.savez(folder / "data.npz", ids=ids)
    return folder / "model.onnx", folder / "data.npz", {"ids": ids}


def quantize(model, output, *arguments, data=None):
    command = [PROGRAM, "quantize", "--no-latency", model, "-o", output, "--json", *arguments]
    command += ["--data", data] if data else []
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def on_onnxruntime(path, arrays):
    """Blocked DequantizeLinear before MatMul runs as MatMulNBits, with activations rounded to int8 unless told not to."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, arrays)


def on_openvino(path, arrays):
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    result = compiled(arrays)
    return [result[output] for output in compiled.outputs]


def arrays_of(model):
    return {tensor.name: tensor for tensor in model.graph.initializer}


def unpacked(array, bits):
    """The codes of MatMulNBits: the first in the lowest bits."""
    if bits == 8:
        return array
    return np.stack([array & 15, array >> 4], -1).reshape(*array.shape[:-1], -1)


def by_hand(path, block):
    """The float model with its matrices put together from what the file holds, in numpy."""
    model, float_model = onnx.load(path), text_model()
    constants = arrays_of(model)
    weights = {}
    for node in model.graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "DequantizeLinear":
            codes, scale, *zero = (numpy_helper.to_array(constants[name]) for name in node.input)
            axis = attributes["axis"]
            wide = [
                np.repeat(x.astype(np.float32), block, axis).take(range(codes.shape[axis]), axis)
                for x in (scale, *zero)
            ]
            name = node.input[0].rsplit("_", 1)[0]
            weights[name] = (codes.astype(np.float32) - (wide[1] if zero else 0)) * wide[0]
        elif node.op_type in ("MatMulNBits", "GatherBlockQuantized"):
            bits, gather = attributes["bits"], node.op_type == "GatherBlockQuantized"
            names = [node.input[0 if gather else 1], *node.input[2:4]]
            codes, scale, *zero = (numpy_helper.to_array(constants[name]) for name in names if name)
            inner = WIDTH if gather else attributes["K"]
            codes = unpacked(codes, bits).reshape(codes.shape[0], -1)[:, :inner].astype(np.float32)
            zero = (
                unpacked(zero[0], bits)[:, : scale.shape[1]] if zero else np.full_like(scale, 1 << (bits - 1))
            )
            spread = [np.repeat(x.astype(np.float32), block, 1)[:, :inner] for x in (scale, zero)]
            weight = (codes - spread[1]) * spread[0]
            name = names[0].rsplit("_", 1)[0]
            weights[name] = weight if gather or LAYERS[name] else weight.T
    for tensor in float_model.graph.initializer:
        if tensor.name in weights:
            array = np.ascontiguousarray(weights[tensor.name].astype(np.float32))
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return float_model, weights


@pytest.mark.parametrize("embeddings", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_engines_compute_with_the_integers_of_the_file(text, tmp_path, target, bits, symmetric, embeddings):
    model, _, arrays = text
    output = tmp_path / "small.onnx"
    flags = ["--symmetric"] * symmetric + ["--embeddings"] * embeddings
    report = quantize(
        model, output, "--mode", "weights", "--target", target, "--weight-bits", bits, "--block", 16, *flags
    )
    assert report["mode"] == "weights" and report["method"] == "rtn" and report["comparison"] is None
    reference, weights = by_hand(output, 16)
    assert set(weights) == set(LAYERS) | ({"table"} if embeddings else set())
    for name, weight in weights.items():
        original = numpy_helper.to_array(arrays_of(text_model())[name])
        assert 0 < np.abs(weight - original).max() < 0.2 * np.abs(original).max()
    onnx.save(reference, tmp_path / "by_hand.onnx")
    expected = running.reference(tmp_path / "by_hand.onnx", arrays)[0]
    ours = running.execute(output, arrays, tmp_path)
    results = {"ours": ours.written[0], "ours folded": ours.folded[0]}
    results["onnxruntime"] = on_onnxruntime(output, arrays)[0]
    if target == "openvino":
        onnx.checker.check_model(output, full_check=True)
        results["openvino"] = on_openvino(output, arrays)[0]
    for engine, actual in results.items():
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3, err_msg=engine)


def test_methods_beat_rounding(text, tmp_path):
    model, data, arrays = text
    expected = running.reference(model, arrays)[0]
    errors = {}
    for method in ("rtn", "gptq", "awq", "hqq"):
        output = tmp_path / f"{method}.onnx"
        given = data if method in ("gptq", "awq") else None
        report = quantize(model, output, "--mode", "weights", "--method", method, data=given)
        assert report["method"] == method and all(layer["quantized"] for layer in report["layers"])
        assert report["calibration_samples"] == (64 if given else 0)
        errors[method] = np.square(running.reference(output, arrays)[0] - expected).mean()
    assert errors["gptq"] < 0.8 * errors["rtn"]
    assert errors["awq"] < errors["rtn"]
    assert errors["hqq"] < errors["rtn"]


INTEGER_KERNELS = {"DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulInteger"}


def optimized(path, folder):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimized.onnx")


def test_dynamic_products_run_as_integer_kernels(text, tmp_path):
    model, data, arrays = text
    output = tmp_path / "dynamic.onnx"
    report = quantize(model, output, "--mode", "dynamic", data=data)
    assert [layer["quantized"] for layer in report["layers"]] == [True, True]
    onnx.checker.check_model(output, full_check=True)
    types = [node.op_type for node in optimized(output, tmp_path).graph.node]
    assert len([t for t in types if t in INTEGER_KERNELS]) == 2, types
    assert not {"MatMul", "Gemm", "FusedMatMul", "FusedGemm", "Cast"} & set(types), types
    expected = running.reference(model, arrays)[0]
    ours = running.execute(output, arrays, tmp_path)
    for actual in (running.reference(output, arrays)[0], ours.written[0], ours.folded[0]):
        assert np.square(actual - expected).mean() < 2e-3 * np.square(expected).mean()


def test_half_models_run_and_keep_their_borders(text, tmp_path):
    model, data, arrays = text
    output = tmp_path / "half.onnx"
    report = quantize(model, output, "--mode", "fp16", data=data)
    assert report["comparison"]["outputs"][0]["snr_db"] > 50
    assert report["bytes_after"] < 0.6 * report["bytes_before"]
    onnx.checker.check_model(output, full_check=True)
    expected, actual = (running.reference(path, arrays)[0] for path in (model, output))
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-2, atol=2e-2 * np.abs(expected).max())
    quantize(model, output, "--mode", "fp16", "--convert-io")
    assert running.reference(output, arrays)[0].dtype == np.float16


def test_bfloat16_models_are_valid(text, tmp_path):
    model, _, arrays = text
    output = tmp_path / "half.onnx"
    quantize(model, output, "--mode", "bf16")
    onnx.checker.check_model(output, full_check=True)
    written = {tensor.data_type for tensor in onnx.load(output).graph.initializer}
    assert TensorProto.FLOAT not in written and TensorProto.BFLOAT16 in written
    expected = running.reference(model, arrays)[0]
    actual = running.execute(output, arrays, tmp_path).written[0]
    assert np.square(actual - expected).mean() < 1e-3 * np.square(expected).mean()


def test_float8_is_what_onnx_computes(text, tmp_path):
    from onnx.reference import ReferenceEvaluator

    model, data, arrays = text
    output = tmp_path / "float8.onnx"
    quantize(model, output, "--mode", "float8", data=data)
    onnx.checker.check_model(output, full_check=True)
    expected = ReferenceEvaluator(str(output)).run(None, arrays)[0]
    actual = running.execute(output, arrays, tmp_path).written[0]
    # One rounding that goes the other way is a sixteenth of a number.
    assert np.square(actual - expected).mean() < 1e-5 * np.square(expected).mean()
    plain = running.reference(model, arrays)[0]
    assert 0 < np.square(actual - plain).mean() < 5e-3 * np.square(plain).mean()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mode", "weights", "--method", "gptq"], "--data"),
        (["--mode", "weights", "--method", "gtpq"], "gptq"),
        (["--mode", "weights", "--block", "20"], "20"),
        (["--mode", "weights", "--weight-bits", "5"], "5 bits"),
        (["--mode", "dynamic", "--method", "rtn"], "no method"),
        (["--mode", "fp16", "--weight-bits", "8"], "one size"),
        (["--mode", "fp16", "--metric", "mse"], "--data"),
        (["--mode", "float8"], "--data"),
        (["--mode", "fp17"], "fp17"),
        ([], "--data"),
    ],
)
def test_bad_requests_are_refused(text, tmp_path, arguments, said):
    command = [PROGRAM, "quantize", "--no-latency", text[0], "-o", tmp_path / "out.onnx", *arguments]
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "out.onnx").exists()
