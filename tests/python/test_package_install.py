"""What importing the package needs, brings along and says when it cannot work."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
mc = pytest.importorskip("model_compression", exc_type=ImportError)

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(mc.__file__).parent


def python(*arguments, folder=PACKAGE.parent):
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )


def copy_without_core(folder: Path) -> Path:
    shutil.copytree(
        PACKAGE, folder / "model_compression", ignore=shutil.ignore_patterns("*.so", "_built_for.py")
    )
    return folder / "model_compression"


def test_import_brings_nothing_heavy():
    result = python(
        "-c",
        "import sys, torch; before = set(sys.modules); import model_compression; "
        "print(len(set(sys.modules) - before), 'onnxscript' in sys.modules, 'transformers' in sys.modules)",
    )
    count, *heavy = result.stdout.split()
    assert int(count) < 10, result.stdout + result.stderr
    assert heavy == ["False", "False"]


def test_every_public_name_is_there_and_documented():
    for name in mc.__all__:
        assert getattr(mc, name).__doc__, name
    with pytest.raises(AttributeError, match="no_such_name"):
        mc.no_such_name  # noqa: B018


def test_the_program_and_its_version():
    version = re.search(
        r"project\(model_compression VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()
    )[1]
    assert mc.__version__ == version
    result = python("-m", "model_compression", "--version")
    assert (result.returncode, result.stdout.strip()) == (0, version)
    assert python("-m", "model_compression", "no-such-command").returncode == 2


def test_a_package_that_is_not_built_says_so(tmp_path):
    copy_without_core(tmp_path)
    result = python("-c", "import model_compression", folder=tmp_path)
    assert result.returncode == 1
    assert "is not built: run `pip install .`" in result.stderr


def test_another_torch_is_named(tmp_path):
    copy = copy_without_core(tmp_path)
    (copy / "_built_for.py").write_text('TORCH_VERSION = "1.2.3+cu99"\n')
    result = python("-c", "import model_compression", folder=tmp_path)
    assert result.returncode == 1
    assert "was built for torch 1.2.3+cu99" in result.stderr
    assert f"torch {torch.__version__} is installed: install torch==1.2.3" in result.stderr
