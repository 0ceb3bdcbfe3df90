"""Tests of the package use the one in the source tree, whose extension module the build writes there."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))
