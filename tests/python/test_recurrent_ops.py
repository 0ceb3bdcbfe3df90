"""Recurrent operators, Scan, regular expressions and n-grams against ONNX Runtime, by the program run_node: what
ONNX's own node tests leave out (directions with lengths, clipping, activations with parameters, axes ...)."""

import itertools
import json
import os
import pathlib
import subprocess

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

BUILD = pathlib.Path(os.environ.get("MC_BUILD", pathlib.Path(__file__).parents[2] / "build"))
PROGRAM = BUILD / "tests" / "run_node"
STEPS, BATCH, INPUT, HIDDEN = 5, 3, 4, 6
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def write_case(folder, nodes, inputs, outputs, opset):
    """The model and its inputs, with ONNX Runtime's outputs."""

    def info(name, value):
        kind = TensorProto.STRING if value.dtype == object else helper.np_dtype_to_tensor_dtype(value.dtype)
        return helper.make_tensor_value_info(name, kind, value.shape)

    graph = helper.make_graph(
        nodes,
        "g",
        [info(name, value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    results = session.run(None, inputs)
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "data.json").write_text(json.dumps({"rtol": 1e-4, "atol": 1e-5}))
    for prefix, values in (("input", inputs.values()), ("output", results)):
        for i, value in enumerate(values):
            (data / f"{prefix}_{i}.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())


class Values:
    def __init__(self):
        self.generator = np.random.default_rng(0)

    def __call__(self, *shape):
        return (self.generator.standard_normal(shape) * 0.8).astype(np.float32)


def activations(op, directions):
    functions, alpha, beta = {
        "RNN": (["LeakyRelu"], [0.3], []),
        "GRU": (["HardSigmoid", "ScaledTanh"], [0.3, 0.7], [0.4, 0.9]),
        "LSTM": (["HardSigmoid", "Affine", "Softsign"], [0.3, 0.6], [0.4, 0.1]),
    }[op]
    attributes = {"activations": functions * directions, "activation_alpha": alpha * directions}
    return attributes | ({"activation_beta": beta * directions} if beta else {})


def write_recurrent_cases(root):
    values = Values()
    variants = ("plain", "lengths", "states", "clip", "activations", "special", "all")
    for op, direction, variant in itertools.product(GATES, ("forward", "reverse", "bidirectional"), variants):
        rows = GATES[op] * HIDDEN
        directions = 2 if direction == "bidirectional" else 1
        inputs = {
            "x": values(STEPS, BATCH, INPUT),
            "w": values(directions, rows, INPUT),
            "r": values(directions, rows, HIDDEN),
            "b": values(directions, 2 * rows),
        }
        attributes = {"hidden_size": HIDDEN, "direction": direction}
        if variant in ("lengths", "all"):
            inputs["lengths"] = np.array([3, STEPS, 1], np.int32)
        if variant in ("states", "all"):
            inputs["h"] = values(directions, BATCH, HIDDEN)
            if op == "LSTM":
                inputs["c"] = values(directions, BATCH, HIDDEN)
        if variant in ("clip", "all"):
            attributes["clip"] = 0.5
        if variant == "activations":
            attributes |= activations(op, directions)
        if variant in ("special", "all"):
            if op == "GRU":
                attributes["linear_before_reset"] = 1
            if op == "LSTM":
                inputs["p"] = values(directions, 3 * HIDDEN)
        names = [name if name in inputs else "" for name in ("x", "w", "r", "b", "lengths", "h", "c", "p")]
        while not names[-1]:
            names.pop()
        outputs = ["y", "yh", "yc"] if op == "LSTM" else ["y", "yh"]
        node = helper.make_node(op, names, outputs, **attributes)
        kinds = dict.fromkeys(outputs, TensorProto.FLOAT)
        write_case(root / f"{op}_{direction}_{variant}", [node], inputs, kinds, 14)


def write_scan_cases(root):
    values = Values()
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["s", "e"], ["m"]),
            helper.make_node("Add", ["m", "e"], ["t"]),
            helper.make_node("Identity", ["t"], ["o"]),
            helper.make_node("Neg", ["e"], ["q"]),
        ],
        "b",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "se"],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "toq"],
    )
    kinds = dict.fromkeys(["last", "y", "z"], TensorProto.FLOAT)
    for i, attributes in enumerate(
        (
            {},
            {"scan_input_directions": [1], "scan_output_directions": [1, 0]},
            {"scan_input_axes": [-1], "scan_output_axes": [1, -1], "scan_output_directions": [0, 1]},
        )
    ):
        x = values(3, 4) if "scan_input_axes" in attributes else values(4, 3)
        node = helper.make_node("Scan", ["s", "x"], list(kinds), num_scan_inputs=1, body=body, **attributes)
        write_case(root / f"Scan_{i}", [node], {"s": values(3), "x": x}, kinds, 16)
    for direction in (0, 1):
        node = helper.make_node(
            "Scan", ["n", "s", "x"], list(kinds), num_scan_inputs=1, directions=[direction], body=body
        )
        inputs = {"n": np.array([2, 4]), "s": values(2, 3), "x": values(2, 4, 3)}
        write_case(root / f"Scan8_{direction}", [node], inputs, kinds, 8)


def write_text_cases(root):
    patterns = (
        r"[a-z]+@[a-z]+\.com", r"(?i)abc", r"\d{2,4}", r"(a|b)*c?", r".*", r"[^a]+", r"\w+\s\w+", r"a{,2}",
        r"(?s).+", r"[[:upper:]]+", r"\x41\x{42}", r"^a$|b", r"a\b.*", r"(?P<n>x)y?", r"\Qa.b\E", r"x*?y",
        r"(?i)é+", r"[é-ü]", r"\s*",
    )  # fmt: skip
    texts = (
        "joe@acme.com", "ABC", "abc", "123", "12345", "aababc", "", "a\nb", "foo bar", "a{,2}", "aa", "AB", "a",
        "b", "xy", "x", "a.b", "aXb", "ÉÉ", "ö", "   ", "\v", "日本",
    )  # fmt: skip
    for i, pattern in enumerate(patterns):
        node = helper.make_node("RegexFullMatch", ["x"], ["y"], pattern=pattern)
        inputs = {"x": np.array(texts, dtype=object)}
        write_case(root / f"RegexFullMatch_{i}", [node], inputs, {"y": TensorProto.BOOL}, 20)
    for mode, skips, (shortest, longest) in itertools.product(
        ("TF", "IDF", "TFIDF"), (0, 3), ((1, 1), (1, 2), (2, 3))
    ):
        node = helper.make_node(
            "TfIdfVectorizer",
            ["x"],
            ["y"],
            mode=mode,
            max_skip_count=skips,
            min_gram_length=shortest,
            max_gram_length=longest,
            ngram_counts=[0, 3, 9],
            ngram_indexes=[2, 0, 1, 4, 3, 5, 6, 7],
            pool_int64s=[1, 2, 3, 1, 2, 2, 3, 1, 1, 1, 2, 3, 3, 3, 3],
            weights=[float(i + 1) for i in range(8)],
        )
        x = np.array([[1, 2, 3, 1, 1], [3, 3, 3, 3, 3], [9, 1, 9, 2, 3]], np.int32)
        write_case(
            root / f"TfIdfVectorizer_{mode}_{skips}_{longest}", [node], {"x": x}, {"y": TensorProto.FLOAT}, 20
        )


def test_outputs_are_those_of_onnxruntime(tmp_path):
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built")
    for write in (write_recurrent_cases, write_scan_cases, write_text_cases):
        write(tmp_path)
    done = subprocess.run([PROGRAM, tmp_path], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(list(tmp_path.iterdir())) > 100
    assert not [line for line in lines if not line.startswith("PASS")]
