"""qat_version_model and convert_fx in ordinary loops, checked with ONNX Runtime and PyTorch."""

import copy
import io

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
mc = pytest.importorskip("model_compression", exc_type=ImportError)

from package_networks import ConvNet, batches, train
from torch import nn


def conv_net(seed=0):
    torch.manual_seed(seed)
    return ConvNet()


@pytest.fixture(scope="module")
def trained():
    """A plain module trained in floats, then as its quantized version, and both."""
    model = conv_net()
    train(model.train(), 30)
    before = copy.deepcopy(model)
    qat_model = mc.qat_version_model(model)
    losses = train(qat_model.train(), 20, lr=0.01)
    return before, model, qat_model, losses


def accuracy(model, seed=99):
    right = total = 0
    with torch.no_grad():
        for images, labels in batches(8, size=32, seed=seed):
            right += (model(images).argmax(1) == labels).sum().item()
            total += len(labels)
    return right / total


def test_parameters_are_the_models_own_from_the_start():
    model = conv_net()
    qat_model = mc.qat_version_model(model)
    assert dict(qat_model.named_parameters()).keys() == dict(model.named_parameters()).keys()
    optimizer = torch.optim.SGD(qat_model.parameters(), lr=0.1)
    before = model.conv1.weight.detach().clone()
    images, labels = next(iter(batches(1)))
    nn.functional.cross_entropy(qat_model(images), labels).backward()
    optimizer.step()
    assert qat_model.conv1.weight is model.conv1.weight
    assert not torch.equal(model.conv1.weight, before)
    own = {id(parameter) for parameter in qat_model.parameters()}
    assert own == {id(parameter) for parameter in model.parameters()}


def test_training_learns_and_quantizes(trained):
    before, model, qat_model, losses = trained
    assert losses[-1] < 0.5
    assert any(quantized for _, _, quantized, _ in qat_model.layers)
    images, _ = next(iter(batches(1)))
    qat_model.eval()
    with torch.no_grad():
        quantized, plain = qat_model(images), model.eval()(images)
    assert not torch.equal(quantized, plain)
    torch.testing.assert_close(quantized, plain, rtol=0.1, atol=0.3)
    assert abs(accuracy(qat_model) - accuracy(before.eval())) < 0.05


def test_the_module_itself_is_trained(trained):
    _, model, qat_model, _ = trained
    qat_model = copy.deepcopy(qat_model)
    qat_model.eval().set_phase(observe=False, quantize=False, freeze_batch_norm=False)
    images, _ = next(iter(batches(1)))
    with torch.no_grad():
        torch.testing.assert_close(qat_model(images), model.eval()(images), rtol=1e-3, atol=1e-3)
    other = conv_net(seed=8).eval()
    qat_model.write_back(other)
    with torch.no_grad():
        torch.testing.assert_close(other(images), model(images), rtol=1e-4, atol=1e-4)
    assert other.bn2.num_batches_tracked == model.bn2.num_batches_tracked == 50


def test_conversion_saves_and_loads(trained, tmp_path):
    _, _, qat_model, _ = trained
    quantized_model = mc.convert_fx(qat_model)
    assert not quantized_model.train().training
    state = quantized_model.state_dict()
    assert any(tensor.dtype == torch.int8 for tensor in state.values())
    images, _ = next(iter(batches(1)))
    expected = quantized_model(images)
    assert not expected.requires_grad
    torch.save(state, tmp_path / "quant.pth")

    fresh = mc.convert_fx(mc.qat_version_model(conv_net(seed=5)))  # nothing was ever called
    fresh.load_state_dict(torch.load(tmp_path / "quant.pth"))
    assert torch.equal(fresh(images), expected)

    other = mc.convert(mc.qat_version_model(conv_net(seed=5)))
    other(images)
    assert not torch.equal(other(images), expected)
    other.load_state_dict(torch.load(tmp_path / "quant.pth"))
    assert torch.equal(other(images), expected)


def test_the_file_is_what_the_module_computes(trained, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    _, _, qat_model, _ = trained
    quantized_model = mc.convert_fx(qat_model)
    mc.save_onnx(quantized_model, tmp_path / "int8.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "int8.onnx", providers=["CPUExecutionProvider"])
    images = next(iter(batches(1, size=64, seed=7)))[0]
    deployed = torch.from_numpy(session.run(None, {quantized_model.input_names[0]: images.numpy()})[0])
    quantized_model(images)
    torch.testing.assert_close(quantized_model(images), deployed, rtol=1e-4, atol=1e-4)
    assert (deployed.argmax(1) == qat_model.eval()(images).argmax(1)).float().mean() > 0.95


def test_state_in_training_is_saved_and_loaded(trained):
    _, _, qat_model, _ = trained
    buffer = io.BytesIO()
    torch.save(qat_model.state_dict(), buffer)
    buffer.seek(0)
    fresh = mc.qat_version_model(conv_net(seed=3))
    fresh.load_state_dict(torch.load(buffer))
    images, _ = next(iter(batches(1)))
    with torch.no_grad():
        assert torch.equal(fresh.eval()(images), qat_model.eval()(images))
    same = copy.deepcopy(qat_model)
    with torch.no_grad():
        assert torch.equal(same(images), qat_model(images))


def test_a_state_that_does_not_fit_is_refused_at_the_first_call():
    fresh = mc.convert_fx(mc.qat_version_model(conv_net()))
    fresh.load_state_dict({"nothing": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="Missing key"):
        fresh(torch.randn(2, 1, 8, 8))


def test_options_phases_and_schedule():
    model = mc.from_torch(conv_net(), torch.randn(2, 1, 8, 8))
    qat_model = mc.qat_version_model(model, target="openvino", weight_bits=4, keep_float=["type:Gemm"])
    assert qat_model.conv1.weight is not model.conv1.weight
    by_type = {operator: quantized for _, operator, quantized, _ in qat_model.layers}
    assert by_type["Conv"]
    assert not by_type["Gemm"]

    images, _ = next(iter(batches(1)))
    schedule = mc.QuantizationSchedule(qat_model, 4, start=0.5, freeze_observers=0.75, freeze_batch_norm=0.75)
    ranges = [name for name in qat_model.state_dict() if name.endswith("running_max")]
    plain = copy.deepcopy(model).train()(images)
    torch.testing.assert_close(qat_model.train()(images), plain, rtol=1e-3, atol=1e-3)  # observes only
    schedule.step()
    schedule.step()
    assert not torch.allclose(qat_model(images), plain, rtol=1e-3, atol=1e-3)
    schedule.step()
    frozen = {name: tensor.clone() for name, tensor in qat_model.state_dict().items()}
    qat_model(10 * images)
    after = qat_model.state_dict()
    assert ranges
    assert torch.equal(after["bn2.running_mean"], frozen["bn2.running_mean"])
    weights = [bits for bits in mc.convert_fx(qat_model).state_dict().values() if bits.dtype == torch.int8]
    assert all(weight.abs().max() <= 8 for weight in weights if weight.dim() == 4)


def test_bad_options():
    model = conv_net()
    for options, text in [
        ({"weight_bits": 9}, "weight_bits"),
        ({"weight_bitz": 8}, "weight_bits"),
        ({"target": "abacus"}, "onnxruntime"),
        ({"mode": "ptq"}, "qat"),
        ({"keep_float": {"type": "Gemm"}}, "keep_float"),
    ]:
        with pytest.raises(mc.Error, match=text):
            mc.qat_version_model(model, **options)
    with pytest.raises(TypeError):
        mc.qat_version_model(model, observer=object())
    with pytest.raises(TypeError):
        mc.qat_version_model("model")
    with pytest.raises(mc.Error, match="already"):
        mc.qat_version_model(mc.qat_version_model(model))
    with pytest.raises(TypeError):
        mc.convert_fx(model)
    with pytest.raises(TypeError):
        mc.QuantizationSchedule(model, 3)
    with pytest.raises(mc.Error, match="from 0 to 1"):
        mc.QuantizationSchedule(mc.qat_version_model(model), 3, start=2)
    with pytest.raises(mc.Error, match="not been captured"):
        mc.save_onnx(mc.qat_version_model(model), "x.onnx")
    with pytest.raises(mc.Error, match="cannot be captured"):
        mc.qat_version_model(model)(torch.randn(2, 5, 8, 8))


def test_conversion_ends_there(trained):
    quantized = mc.convert_fx(trained[2])
    with pytest.raises(mc.Error, match="already"):
        mc.convert_fx(quantized)
    with pytest.raises(mc.Error, match="already"):
        mc.qat_version_model(quantized)
    train(copy.deepcopy(trained[2]).train(), 1)  # what it was made of trains on
