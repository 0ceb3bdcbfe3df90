"""The gradient cases of tests/ops, written by the program write_gradient_cases: values and gradients against
PyTorch, values against ONNX Runtime, and the models against onnx's checker."""

import json
import os
import pathlib
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch_layer_operators  # noqa: F401, adds to REFERENCES
from onnx import helper, numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as states
from torch_operators import REFERENCES

BUILD = pathlib.Path(os.environ.get("MC_BUILD_DIR", pathlib.Path(__file__).parents[2] / "build"))
# ONNX Runtime's own errors share no base class.
REFUSALS = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.NotImplemented,
    states.RuntimeException,
)
PROGRAM = BUILD / "tests" / "write_gradient_cases"
MINIMUM_AGAINST_PYTORCH = 175
MINIMUM_AGAINST_ONNX_RUNTIME = 200
# What onnx's checker refuses, with the reason.
REFUSED_BY_CHECKER = {
    "GroupNormalization_18": "deprecated since 21, when scale and bias became those of channels",
    "MeanVarianceNormalization_21": "inference of its own function body fails, before our model matters",
    "STFT_17": "inference takes onesided for 0 where it is left out; its default is 1",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built")
    path = tmp_path_factory.mktemp("gradients")
    done = subprocess.run([PROGRAM, path], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def cases(folder):
    cases = json.loads((folder / "cases.json").read_text())
    for case in cases:
        case["model"] = onnx.load(folder / f"{case['name']}.onnx")
    return cases


def arrays(values):
    return [None if v is None else np.array(v["values"]).reshape(v["dims"]) for v in values]


def torch_caller(case, dtype=torch.float64):
    """A call of PyTorch's operator, which gives a tuple, and its inputs; None where PyTorch has no such one."""
    model = case["model"]
    node = model.graph.node[0]
    name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    if len(model.graph.node) != 1 or name not in REFERENCES:
        return None
    inputs = [torch.from_numpy(np.array(a)).to(dtype) for a in arrays(case["inputs"])]
    for tensor, trained in zip(inputs, case["trained"]):
        tensor.requires_grad_(trained)
    values = {info.name: tensor for info, tensor in zip(model.graph.input, inputs)}
    for held in model.graph.initializer:
        values[held.name] = torch.from_numpy(numpy_helper.to_array(held).copy())
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    attributes["training"] = case["training"]
    attributes["opset"] = next(opset.version for opset in model.opset_import if not opset.domain)
    arguments = [values[n] if n else None for n in node.input]

    def call():
        outputs = REFERENCES[name](arguments, attributes)
        return outputs if outputs is None or isinstance(outputs, tuple) else (outputs,)

    return None if call() is None else (call, inputs)


def torch_outputs(case):
    """PyTorch's outputs and its inputs, or None where it has no such operator."""
    found = torch_caller(case)
    return found and (found[0](), found[1])


def projection(outputs):
    total = torch.zeros((), dtype=torch.float64)
    for output in outputs:
        if output.requires_grad:
            weights = torch.arange(1, output.numel() + 1, dtype=torch.float64).sin().reshape(output.shape)
            total = total + (output * weights).sum()
    return total


def check_against_pytorch(case, outputs, inputs):
    for ours, theirs in zip(arrays(case["outputs"]), outputs):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), 1e-6, 1e-8)
    projection(outputs).backward()
    for ours, tensor in zip(arrays(case["gradients"]), inputs):
        assert (ours is None) == (tensor.grad is None), "only one has a gradient"
        if ours is not None:
            np.testing.assert_allclose(ours, tensor.grad.numpy(), 1e-6, 1e-8)


def test_values_and_gradients_are_those_of_pytorch(cases):
    compared, failed = 0, []
    for case in cases:
        reference = torch_outputs(case)
        if reference is None:
            continue
        compared += 1
        try:
            check_against_pytorch(case, *reference)
        except AssertionError as error:
            failed.append(f"{case['name']}: {error}")
    print(f"{compared} compared")
    assert not failed, "\n".join(failed)
    assert compared >= MINIMUM_AGAINST_PYTORCH


def onnx_runtime_outputs(case):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    model = case["model"].SerializeToString()
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    feeds = zip(case["model"].graph.input, arrays(case["inputs"]))
    return session.run(None, {info.name: array.astype(np.float32) for info, array in feeds})


def test_values_are_those_of_onnx_runtime(cases):
    compared, failed, refused = 0, [], []
    for case in cases:
        if case["training"] or any(node.domain == "mc" for node in case["model"].graph.node):
            continue
        try:
            theirs = onnx_runtime_outputs(case)
        except REFUSALS as error:  # no kernel in this build
            refused.append(f"{case['name']}: {error}")
            continue
        compared += 1
        try:
            for ours, other in zip(arrays(case["float_outputs"]), theirs):
                np.testing.assert_allclose(ours, other, 1e-4, 1e-5)
        except AssertionError as error:
            failed.append(f"{case['name']}: {error}")
    print(f"{compared} compared; refused:", *refused, sep="\n")
    assert not failed, "\n".join(failed)
    assert compared >= MINIMUM_AGAINST_ONNX_RUNTIME


def known_to_onnx(node, version):
    try:
        onnx.defs.get_schema(node.op_type, version, node.domain)
    except onnx.defs.SchemaError:
        return False
    return True


def test_models_pass_the_checker(cases):
    checked, failed = 0, {}
    for case in cases:
        model = case["model"]
        version = next(opset.version for opset in model.opset_import if not opset.domain)
        if not all(known_to_onnx(node, version) for node in model.graph.node):
            continue
        checked += 1
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            failed[case["name"]] = str(error)
    assert set(failed) == set(REFUSED_BY_CHECKER), failed
    assert checked >= MINIMUM_AGAINST_PYTORCH
