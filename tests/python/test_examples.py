"""The examples in Python do what they show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {
    "pruning": ["--epochs", "9", "--train-images", "7680", "--test-images", "2000"],
    "quantization_aware_training": ["--train-images", "12800", "--test-images", "2000"],
    "distillation": [],
    "transformers_text": ["--lines", "3000", "--epochs", "2"],
    "transformers_vision": ["--train-images", "6400", "--epochs", "3"],
}

pytest.importorskip("torch")
pytest.importorskip("model_compression", exc_type=ImportError)


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_example(name):
    if name.startswith("transformers"):
        for module in ("accelerate", "datasets", "onnxruntime", "onnxscript", "transformers"):
            pytest.importorskip(module)
    # One thread: networks as small as these gain nothing from more.
    result = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", *ARGUMENTS[name]],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python"), "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
