"""The examples in Python run on real data and say what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("model_compression")
pytest.importorskip("onnx")

ROOT = Path(__file__).resolve().parents[2]
DATA = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not installed")
def test_quantize_a_model(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "quantize_a_model.py", tmp_path / "run", "--samples", "4000"],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"PYTHONPATH": str(ROOT / "python")},
    )
    assert done.returncode == 0, done.stderr
    before, after = map(float, re.search(r"top1 ([\d.]+) in float, ([\d.]+) in int8", done.stdout).groups())
    assert before > 0.5
    assert abs(before - after) < 0.03
    assert done.stdout.count("looks like") == 5
