"""The examples in Python do what they show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("model_compression", exc_type=ImportError)

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {"quantization_aware_training": ["--train-images", "12800", "--test-images", "2000"]}


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_example(name):
    result = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", *ARGUMENTS[name]],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
    )
    assert result.returncode == 0, result.stdout + result.stderr
