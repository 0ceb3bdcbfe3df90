"""ONNX's backend node tests: collected, written as folders, and run in ONNX Runtime."""

import functools
import json
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper


@functools.cache
def node_cases():
    """All of them, each name once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return tuple({case.name: case for case in collect_testcases(None)}.values())


def feeds(case):
    """The inputs of the first data set by name."""
    names = [info.name for info in case.model.graph.input]
    return dict(zip(names, case.data_sets[0][0], strict=False)) if case.data_sets else {}


def write_value(path, value, value_info):
    kind = value_info.type.WhichOneof("value")
    if isinstance(value, onnx.TensorProto):
        proto = value
    elif kind == "sequence_type":
        proto = numpy_helper.from_list(value, value_info.name)
    elif kind == "optional_type":
        proto = numpy_helper.from_optional(value, value_info.name)
    elif kind == "map_type":
        proto = numpy_helper.from_dict(value, value_info.name)
    else:
        proto = numpy_helper.from_array(np.asarray(value), value_info.name)
    path.write_bytes(proto.SerializeToString())


def write_case(case, folder):
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    (folder / "data.json").write_text(json.dumps({"rtol": case.rtol, "atol": case.atol}))
    graph = case.model.graph
    for i, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{i}"
        data.mkdir()
        for prefix, values, infos in (("input", inputs, graph.input), ("output", outputs, graph.output)):
            for k, (value, info) in enumerate(zip(values, infos, strict=False)):
                write_value(data / f"{prefix}_{k}.pb", value, info)


def write_cases(folder):
    for case in node_cases():
        write_case(case, folder / case.name)


def run(content, inputs):
    """Outputs of ONNX Runtime for the bytes of a model; None where it cannot run it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return session.run(None, inputs)
    except Exception:  # noqa: BLE001  many types; all mean that it has no kernel or does not take the value
        return None


def same(a, b, rtol=1e-4, atol=1e-6):
    """Whether two outputs, or lists of them, agree."""
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(same(*pair, rtol, atol) for pair in zip(a, b))
    if a is None or b is None:
        return a is b
    if isinstance(a, dict):
        return a == b
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return np.array_equal(a, b) if a.dtype.kind in "OSUb" else np.allclose(a, b, rtol, atol, equal_nan=True)


def is_valid(content):
    """Whether ONNX's checker accepts the bytes of a model, shapes and types included."""
    try:
        onnx.checker.check_model(content, full_check=True)
        return True
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
