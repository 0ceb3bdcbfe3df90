"""Models that others have published: the onnx wheel's, and those that packages on PyPI ship."""

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

from models import running
from models.published import PUBLISHED

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LIGHT_MODELS = sorted(path.stem for path in LIGHT.glob("*.onnx"))

pytestmark = pytest.mark.skipif(not running.PROGRAM.exists(), reason=f"{running.PROGRAM} is not built")


def ramp(shape):
    """What onnx feeds these models: 0 to 1 in equal steps."""
    count = int(np.prod(shape))
    return (np.arange(count).reshape(shape) / count).astype(np.float32)


def test_there_are_light_models():
    assert len(LIGHT_MODELS) == 9


@pytest.mark.parametrize("name", LIGHT_MODELS)
def test_light_models_give_their_stored_outputs(name, tmp_path):
    path = LIGHT / f"{name}.onnx"
    model = onnx.load(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    arrays = {
        value.name: ramp([dim.dim_value for dim in value.type.tensor_type.shape.dim])
        for value in model.graph.input
        if value.name not in constants
    }
    expected = onnx.load_tensor(LIGHT / f"{name}_output_0.pb")
    expected = onnx.numpy_helper.to_array(expected)
    result = running.execute(path, arrays, tmp_path)
    for actual in (result.written[0], result.folded[0]):
        assert actual.shape == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module", params=PUBLISHED)
def published(request):
    model = PUBLISHED[request.param]
    path = model.path()
    if path is None or not path.exists():
        pytest.skip(
            f"{model.package} is not installed; scripts/setup --dev brings it (requirements-models.txt)"
        )
    random = np.random.default_rng(0)
    return model, path, {name: make(random) for name, make in model.inputs.items()}


def test_outputs_are_those_of_onnxruntime(published, tmp_path):
    model, path, arrays = published
    expected = running.reference(path, arrays)
    result = running.execute(path, arrays, tmp_path)
    files = [running.reference(result.folder / f"{form}.onnx", arrays) for form in ("kept", "inference")]
    assert len(expected) > 0
    for outputs in (result.written, result.folded, *files):
        assert len(outputs) == len(expected)
        for actual, wanted in zip(outputs, expected, strict=True):
            assert actual.shape == wanted.shape
            scale = max(1.0, np.abs(wanted).max())
            np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=model.tolerance * scale)


def test_training_lowers_a_loss(published, tmp_path):
    model, path, arrays = published
    if not model.trains:
        pytest.skip("its weights stand inside of subgraphs, where they are constants")
    random = np.random.default_rng(1)
    targets = {}
    names = [output.name for output in onnx.load(path, load_external_data=False).graph.output]
    for name, output in zip(names, running.reference(path, arrays), strict=True):
        targets[f"target:{name}"] = output + random.normal(0, 0.1 * output.std() + 1e-3, output.shape).astype(
            np.float32
        )
    result = running.execute(path, arrays | targets, tmp_path, steps=4, rate=model.rate)
    assert sum(result.parameters.values()) > 10_000
    assert np.isfinite(result.losses).all()
    assert result.losses[-1] < result.losses[0]
