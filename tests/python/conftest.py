"""Tests of the package use the one in the source tree, whose extension module the build writes there; what tests
of its functions share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The file of function_models.classifier()."""
    import onnx
    from function_models import classifier

    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save(classifier(), path)
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The file of function_models.samples()."""
    import numpy as np
    from function_models import samples

    path = tmp_path_factory.mktemp("data") / "samples.npz"
    np.savez(path, **samples())
    return path


@pytest.fixture(scope="session")
def from_file(model, data):
    """What each function finds with the samples in a file."""
    from function_models import found

    return found(model, data)
