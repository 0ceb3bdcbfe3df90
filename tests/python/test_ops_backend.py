"""ONNX's own backend node tests, through the operator table (the program run_node).

known_failures.txt names the cases that do not pass, with the reason: a case that fails without being named
there, or passes though it is, fails this test.
"""

import json
import os
import pathlib
import subprocess
import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

HERE = pathlib.Path(__file__).parent
BUILD = pathlib.Path(os.environ.get("MC_BUILD", HERE.parents[1] / "build"))
PROGRAM = BUILD / "tests" / "run_node"
MINIMUM_PASSED = 1820


def known_failures():
    names = {}
    for line in (HERE / "known_failures.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(":")
            names[name.strip()] = reason.strip()
    return names


def write_value(path, value, value_info):
    kind = value_info.type.WhichOneof("value")
    if isinstance(value, onnx.TensorProto):
        proto = value
    elif kind == "sequence_type":
        proto = numpy_helper.from_list(value, value_info.name)
    elif kind == "optional_type":
        proto = numpy_helper.from_optional(value, value_info.name)
    else:
        proto = numpy_helper.from_array(np.asarray(value), value_info.name)
    path.write_bytes(proto.SerializeToString())


def write_case(case, folder):
    folder.mkdir()
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    (folder / "data.json").write_text(json.dumps({"rtol": case.rtol, "atol": case.atol}))
    for i, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{i}"
        data.mkdir()
        graph = case.model.graph
        for prefix, values, infos in (("input", inputs, graph.input), ("output", outputs, graph.output)):
            for k, (value, info) in enumerate(zip(values, infos)):
                write_value(data / f"{prefix}_{k}.pb", value, info)


def write_cases(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        for case in collect_testcases(None):
            if not any(n.domain.startswith("ai.onnx.") for n in case.model.graph.node):
                write_case(case, folder / case.name)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built")
    folder = tmp_path_factory.mktemp("backend")
    write_cases(folder)
    done = subprocess.run([PROGRAM, folder], capture_output=True, text=True, check=True)
    results = {}
    for line in done.stdout.splitlines():
        verdict, _, rest = line.partition(" ")
        name, _, reason = rest.partition(":")
        results[name] = (verdict == "PASS", reason.strip())
    assert len(results) == len(list(folder.iterdir()))
    return results


def test_no_case_fails_unless_known(results):
    known = known_failures()
    failed = {name: why for name, (passed, why) in results.items() if not passed and name not in known}
    assert not failed, "\n".join(f"{name}: {why}" for name, why in failed.items())


def test_no_known_failure_passes(results):
    mended = [name for name in known_failures() if name in results and results[name][0]]
    assert not mended, f"take these out of known_failures.txt: {mended}"


def test_enough_cases_pass(results):
    assert sum(passed for passed, _ in results.values()) >= MINIMUM_PASSED
