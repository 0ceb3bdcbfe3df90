"""No argument ends the interpreter, and the stubs are those of the extension module."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("model_compression", exc_type=ImportError)

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT / "python"), str(ROOT / "tests/python")]),
}


def run(*arguments, folder=None):
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        cwd=folder,
        env=ENVIRONMENT,
    )


def test_random_arguments_end_in_exceptions(tmp_path):
    result = run(ROOT / "tests/python/package_fuzz.py", "1", "50", folder=tmp_path)
    assert result.returncode == 0, f"{result.returncode}\n{result.stderr[-2000:]}"
    words = result.stdout.strip().split("\n")[-1].split()
    assert words[0] == "FUZZED"
    assert int(words[2]) > 100  # refused
    assert int(words[4]) > 50  # and some calls were right


def test_stubs_are_up_to_date():
    result = run(ROOT / "scripts/core_stubs.py")
    assert result.returncode == 0, result.stderr
    assert result.stdout == (ROOT / "python/model_compression/_core.pyi").read_text(), (
        "run: PYTHONPATH=python .venv/bin/python scripts/core_stubs.py > python/model_compression/_core.pyi"
    )
