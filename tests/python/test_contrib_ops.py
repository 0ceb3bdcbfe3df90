"""Microsoft's operators against ONNX Runtime: one-node models with ONNX Runtime's outputs, run and inferred by
the program run_node, and run as modules by the command `conformance`."""

import json
import os
import pathlib
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from contrib_cases import Fixed, contrib_cases
from onnx import helper, numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as states

BUILD = pathlib.Path(os.environ.get("MC_BUILD_DIR", pathlib.Path(__file__).parents[2] / "build"))
# ONNX Runtime's own errors share no base class.
REFUSALS = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.NotImplemented,
    states.RuntimeException,
)
PROGRAM = BUILD / "tests" / "run_node"
# What this build of ONNX Runtime has no kernel for, so that nothing is compared.
REFUSED = {"MultiHeadAttention_packed", "MultiHeadAttention_packed_keys"}


def array_of(given):
    return given.array if isinstance(given, Fixed) else given


def make_model(case):
    names = ["" if given is None else f"input{i}" for i, given in enumerate(case.inputs)]
    outputs = ["" if i in case.skipped_outputs else f"output{i}" for i in range(case.outputs)]
    node = helper.make_node(case.op_type, names, outputs, domain=case.domain, **case.attributes)
    fed, held = [], []
    for name, given in zip(names, case.inputs):
        if given is None:
            continue
        proto = numpy_helper.from_array(array_of(given), name)
        if isinstance(given, Fixed):
            held.append(proto)
        else:
            fed.append(helper.make_tensor_value_info(name, proto.data_type, given.shape))
    graph = helper.make_graph(
        [node], case.name, fed, [onnx.ValueInfoProto(name=n) for n in outputs if n], held
    )
    opsets = [helper.make_opsetid("", 14), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def reference(model, feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, feeds)


def write_case(case, folder):
    model = make_model(case)
    fed = [array_of(given) for given in case.inputs if isinstance(given, np.ndarray)]
    outputs = reference(model, {info.name: array for info, array in zip(model.graph.input, fed)})
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)
    for i, array in enumerate(fed):
        (data / f"input_{i}.pb").write_bytes(numpy_helper.from_array(array).SerializeToString())
    for i, (info, array) in enumerate(zip(model.graph.output, outputs)):
        proto = numpy_helper.from_array(array)
        (data / f"output_{i}.pb").write_bytes(proto.SerializeToString())
        info.CopyFrom(helper.make_tensor_value_info(info.name, proto.data_type, None))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "data.json").write_text(json.dumps({"rtol": 1e-4, "atol": case.atol}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("contrib")


@pytest.fixture(scope="module")
def results(folder):
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built")
    refused = {}
    for case in contrib_cases():
        try:
            write_case(case, folder / case.name)
        except REFUSALS as error:
            refused[case.name] = str(error)
    done = subprocess.run([PROGRAM, folder], capture_output=True, text=True, check=True)
    verdicts = {}
    for line in done.stdout.splitlines():
        verdict, _, rest = line.partition(" ")
        name, _, reason = rest.partition(":")
        verdicts[name] = "" if verdict == "PASS" else reason.strip()
    return verdicts, refused


def test_only_known_cases_are_refused(results):
    refused = results[1]
    assert set(refused) == REFUSED, "\n".join(f"{name}: {why}" for name, why in refused.items())


@pytest.mark.parametrize("name", [case.name for case in contrib_cases() if case.name not in REFUSED])
def test_case(results, name):
    verdicts = results[0]
    assert name in verdicts, "it was not run"
    assert not verdicts[name], verdicts[name]


def test_modules_conform(results, folder):
    program = BUILD / "model-compression"
    done = subprocess.run(
        [program, "conformance", folder, "--list", "failed"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(results[0])} passed" in done.stdout
