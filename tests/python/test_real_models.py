"""Networks as people bring them: exported from PyTorch in the usual ways, run and trained as PyTorch does."""

import copy
import fnmatch

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")  # what torch.onnx.export needs
pytest.importorskip("transformers")

from models import running
from models.cases import CASES
from models.export import WAYS

STEPS = 10

pytestmark = [
    pytest.mark.skipif(not running.PROGRAM.exists(), reason=f"{running.PROGRAM} is not built"),
    pytest.mark.filterwarnings("ignore"),  # torch.onnx.export deprecates what people still use
]


def make(case, way):
    torch.manual_seed(0)
    model = case.build()
    if way == "folded":  # zeros and ones would be left out of the file
        for parameter in model.parameters():
            torch.nn.init.normal_(
                parameter, parameter.mean().item(), parameter.std(correction=0).item() + 0.02
            )
    return model


def samples(case, sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = {"batch": 2} | sizes
    return tuple(spec.sample(sizes, generator) for spec in case.inputs.values())


def outputs_of(model, inputs):
    with torch.no_grad():
        outputs = model(*inputs)
    return outputs if isinstance(outputs, tuple) else (outputs,)


@pytest.fixture(scope="module", params=[f"{case}-{way}" for case in CASES for way in WAYS])
def exported(request, tmp_path_factory):
    """The case, the way, the file, and the PyTorch network that training must follow."""
    name, way = request.param.split("-")
    case = CASES[name]
    folder = tmp_path_factory.mktemp(request.param)
    model = WAYS[way](case, make(case, way), samples(case, case.sizes, 0), folder / "model.onnx")
    for name, parameter in model.named_parameters():  # a file does not say what was frozen
        frozen = any(fnmatch.fnmatch(name, pattern) for pattern in case.frozen.get(way, ()))
        parameter.requires_grad_(not frozen)
    return case, way, folder / "model.onnx", model


def close(actual, expected, tolerance=1e-4):
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        e = np.asarray(e)
        assert a.shape == e.shape
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance * max(1.0, np.abs(e).max()))


def test_outputs_are_those_of_onnxruntime(exported):
    case, way, path, model = exported
    others = {dim: size for dim, size in case.others.items() if dim not in case.fixed.get(way, ())}
    inputs = samples(case, case.sizes | {"batch": 3} | others, 1)
    arrays = dict(zip(case.inputs, (x.numpy() for x in inputs), strict=True))
    result = running.execute(path, arrays, path.parent / "run")
    expected = [x.numpy() for x in outputs_of(copy.deepcopy(model).eval(), inputs)]
    close(result.written, expected)
    close(result.folded, expected)
    close(result.written, running.reference(result.folder / "inference.onnx", arrays))
    if way == "folded":  # the others are written for training: their batch norm is that of the batch
        close(result.written, running.reference(path, arrays))


def test_what_is_kept(exported):
    """The file that a module gives back has the names, types and metadata of the one it came from."""
    case, way, path, _ = exported
    inputs = samples(case, case.sizes, 1)
    arrays = dict(zip(case.inputs, (x.numpy() for x in inputs), strict=True))
    result = running.execute(path, arrays, path.parent / "kept")
    before, after = onnx.load(path), onnx.load(result.folder / "kept.onnx")
    onnx.checker.check_model(after, full_check=True)
    assert list(after.graph.input) == list(before.graph.input)
    assert list(after.graph.output) == list(before.graph.output)
    opsets = [[(opset.domain, opset.version) for opset in model.opset_import] for model in (before, after)]
    assert opsets[0] == opsets[1]
    assert list(after.metadata_props) == list(before.metadata_props)
    symbols = {dim.dim_param for x in after.graph.input for dim in x.type.tensor_type.shape.dim}
    dynamic = {dim for spec in case.inputs.values() for dim in spec.dynamic().values()}
    assert len(symbols - {""}) == len(dynamic - set(case.fixed.get(way, ())))
    onnx.checker.check_model(onnx.load(result.folder / "inference.onnx"), full_check=True)


def test_training_follows_pytorch(exported):
    case, way, path, model = exported
    inputs = samples(case, case.sizes, 2)
    model = copy.deepcopy(model).train(way != "folded" or not case.norm)
    generator = torch.Generator().manual_seed(3)
    outputs = outputs_of(copy.deepcopy(model), inputs)
    targets = [torch.randn(output.shape, generator=generator) for output in outputs]
    arrays = dict(zip(case.inputs, (x.numpy() for x in inputs), strict=True))
    arrays |= {f"target:{name}": x.numpy() for name, x in zip(case.outputs, targets, strict=True)}
    result = running.execute(path, arrays, path.parent / "train", STEPS, case.rate)
    expected = running.descend(model, inputs, targets, STEPS, case.rate)
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(result.losses, expected, rtol=1e-3)
    assert sum(result.parameters.values()) == sum(x.numel() for x in model.parameters() if x.requires_grad)
