"""A small trained-looking classifier, its samples, and the program, for the tests of the functions."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import model_compression as mc
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MC_PROGRAM", ROOT / "build" / "model-compression"))
CLASSES = 4
INPUTS = [("x", torch.float32, [3, 8, 8])]  # of classifier(), as the core describes them


def classifier(batch="N") -> onnx.ModelProto:
    """conv -> Relu -> conv -> mean -> Gemm on x float[N,3,8,8]."""
    random = np.random.default_rng(0)

    def real(*shape, scale=0.3):
        return (random.standard_normal(shape) * scale).astype(np.float32)

    constants = {
        "conv.weight": real(16, 3, 3, 3),
        "conv.bias": real(16),
        "deep.weight": real(16, 16, 3, 3, scale=0.1),
        "deep.bias": real(16),
        "head.weight": real(CLASSES, 16),
        "head.bias": real(CLASSES),
    }
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], "conv", **pads),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "deep.weight", "deep.bias"], ["d"], "deep", **pads),
        helper.make_node("Relu", ["d"], ["e"], "relu2"),
        helper.make_node("GlobalAveragePool", ["e"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "head.weight", "head.bias"], ["y"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def text_classifier(length="L") -> onnx.ModelProto:
    """The mean of the words that attention_mask lets through: input_ids, attention_mask int64[N,L]."""
    random = np.random.default_rng(1)
    table = random.standard_normal((50, 12)).astype(np.float32)
    head = random.standard_normal((12, CLASSES)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["e"], "words"),
        helper.make_node("Cast", ["attention_mask"], ["m"], "mask", to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "last"], ["u"], "column"),
        helper.make_node("Mul", ["e", "u"], ["k"], "kept"),
        helper.make_node("ReduceSum", ["k", "words_axis"], ["s"], "sum", keepdims=0),
        helper.make_node("ReduceSum", ["m", "words_axis"], ["n"], "count", keepdims=1),
        helper.make_node("Div", ["s", "n"], ["a"], "mean"),
        helper.make_node("MatMul", ["a", "head"], ["y"], "head"),
    ]
    constants = {
        "table": table,
        "head": head,
        "last": np.array([-1], np.int64),
        "words_axis": np.array([1], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "text",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["N", length])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def samples(count=48):
    """{"x", "labels"} for classifier()."""
    random = np.random.default_rng(2)
    x = random.standard_normal((count, 3, 8, 8)).astype(np.float32)
    return {"x": x, "labels": random.integers(0, CLASSES, count)}


def document(*arguments, status=0):
    """The program's JSON."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments), "--json"], check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def run_python(code, *arguments):
    """The code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT / "python")},
    )


def text_of(*arguments):
    """What the program prints."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)], check=True, capture_output=True, text=True, timeout=300
    ).stdout


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


def recipe(**data):
    return {
        "name": "tiny",
        "threads": 1,
        "data": data,
        "model": {"builtin": "mlp", "width": 0.25},
        "stages": [{"name": "train", "epochs": 1, "batch_size": 16}],
        "deploy": {"engines": ["torch"], "batch_sizes": [1], "seconds": 0},
    }
