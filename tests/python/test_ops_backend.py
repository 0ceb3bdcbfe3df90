"""ONNX's own backend node tests, through the command `conformance`.

known_failures.txt names the cases that do not pass, with the reason: a case that fails without being named
there, or passes though it is, fails this test. Domains that we do not have are left out of the list.
"""

import json
import os
import pathlib
import subprocess

import pytest
from backend_cases import node_cases, write_cases

HERE = pathlib.Path(__file__).parent
BUILD = pathlib.Path(os.environ.get("MC_BUILD_DIR", HERE.parents[1] / "build"))
PROGRAM = BUILD / "model-compression"
RUN_NODE = BUILD / "tests" / "run_node"  # checks inference against what comes out
MINIMUM_PASSED = 1820


def known_failures():
    names = {}
    for line in (HERE / "known_failures.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(":")
            names[name.strip()] = reason.strip()
    return names


def foreign_cases():
    """Of ai.onnx.ml and ai.onnx.preview.training."""
    return {c.name for c in node_cases() if any(n.domain.startswith("ai.onnx.") for n in c.model.graph.node)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built")
    folder = tmp_path_factory.mktemp("backend")
    write_cases(folder)
    return folder


@pytest.fixture(scope="module")
def document(folder):
    done = subprocess.run(
        [PROGRAM, "conformance", folder, "--json"], capture_output=True, text=True, check=False
    )
    document = json.loads(done.stdout)
    assert done.returncode == (1 if document["failed"] else 0)
    return document


@pytest.fixture(scope="module")
def results(document):
    """{name: reason, empty where it passed}"""
    return {case["name"]: case["reason"] for case in document["cases"]}


def test_every_case_has_a_result(document, results):
    assert set(results) == {case.name for case in node_cases()}
    assert document["schema"] == "model-compression/conformance/1"
    assert document["passed"] == sum(not reason for reason in results.values())
    assert document["passed"] + document["failed"] == len(results)


def test_no_case_fails_unless_known(results):
    known = known_failures().keys() | foreign_cases()
    failed = {name: why for name, why in results.items() if why and name not in known}
    assert not failed, "\n".join(f"{name}: {why}" for name, why in failed.items())


def test_no_known_failure_passes(results):
    mended = [name for name in known_failures() if not results[name]]
    assert not mended, f"take these out of known_failures.txt: {mended}"


def test_domains_that_we_do_not_have_are_refused(results):
    assert {name: results[name] for name in foreign_cases() if "not supported" not in results[name]} == {}


def test_enough_cases_pass(document):
    assert document["passed"] >= MINIMUM_PASSED


def test_lists_and_the_last_line(folder, tmp_path):
    """Two cases that pass and one whose expected output is another one's."""
    for name in ("test_relu", "test_abs", "test_exp"):
        (tmp_path / name).symlink_to(folder / name)
    ran = [PROGRAM, "conformance", tmp_path, "--list"]
    passed = subprocess.run([*ran, "passed"], capture_output=True, text=True, check=False)
    assert (passed.returncode, passed.stdout.splitlines()[-1]) == (0, "3 passed, 0 failed")
    assert passed.stdout.splitlines()[:-1] == ["test_abs", "test_exp", "test_relu"]
    (tmp_path / "test_exp").unlink()
    broken = tmp_path / "test_exp" / "test_data_set_0"
    broken.mkdir(parents=True)
    for file in ("model.onnx", "test_data_set_0/input_0.pb"):
        (tmp_path / "test_exp" / file).symlink_to(folder / "test_exp" / file)
    (broken / "output_0.pb").symlink_to(folder / "test_relu" / "test_data_set_0" / "output_0.pb")
    (tmp_path / "test_garbage").mkdir()
    (tmp_path / "test_garbage" / "model.onnx").write_bytes(b"garbage")
    failed = subprocess.run([*ran, "failed"], capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stdout.splitlines()[-1]) == (1, "2 passed, 2 failed")
    assert [line.partition(":")[0] for line in failed.stdout.splitlines()[:-1]] == [
        "test_exp",
        "test_garbage",
    ]


def test_a_folder_without_cases_is_bad_usage(tmp_path):
    done = subprocess.run([PROGRAM, "conformance", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and str(tmp_path) in done.stderr


def test_inference_holds_for_the_outputs(folder):
    done = subprocess.run([RUN_NODE, folder], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("FAIL") and "inferred" in line] == []
    assert sum(line.startswith("PASS") for line in lines) >= MINIMUM_PASSED
