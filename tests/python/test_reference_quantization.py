"""Quantized linear layers by the names of the reference package, against PyTorch's and ONNX's own arithmetic."""

import argparse
import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

mc = pytest.importorskip("model_compression", exc_type=ImportError)
qat = pytest.importorskip("model_compression.quantization.qat", exc_type=ImportError)


def grid(x, low, high, symmetric):
    """(scale, zero point) of the range of x, as PyTorch's observers have it."""
    if symmetric:
        return (max(-x.min(), x.max()) / ((high - low) / 2)).item(), 0
    least, most = min(x.min().item(), 0.0), max(x.max().item(), 0.0)
    scale = np.float32(most - least) / np.float32(high - low)
    return float(scale), round(float(low - np.float32(least) / scale))


def rounded(x, low, high, symmetric):
    return torch.fake_quantize_per_tensor_affine(x, *grid(x, low, high, symmetric), low, high)


def activations(x):
    return rounded(x, 0, 255, symmetric=False)


def weights(x):
    return rounded(x, -128, 127, symmetric=True)


def layer(seed=0, **kwargs):
    torch.manual_seed(seed)
    return mc.QuantizedLinear(10, 6, **kwargs)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("requantize", [True, False])
def test_training_sees_inputs_weights_and_outputs_on_grids(bias, requantize):
    linear = layer(bias=bias, **({} if requantize else {"output_fake_quant": None}))
    x = torch.randn(5, 10) + 1
    expected = F.linear(activations(x), weights(linear.weight), linear.bias)
    expected = activations(expected) if requantize else expected
    torch.testing.assert_close(linear(x), expected, rtol=0, atol=1e-6)


def test_gradients_pass_straight_through():
    linear, x = layer(output_fake_quant=None), torch.randn(5, 10, requires_grad=True)
    gradient = torch.randn(5, 6)
    linear(x).backward(gradient)
    # The largest magnitude lies half a step beyond the last level where it is positive: clamped, no gradient.
    within = (linear.weight / grid(linear.weight, -128, 127, True)[0]).round() <= 127
    torch.testing.assert_close(linear.weight.grad, gradient.t() @ activations(x.detach()) * within)
    torch.testing.assert_close(x.grad, gradient @ weights(linear.weight.detach()))
    torch.testing.assert_close(linear.bias.grad, gradient.sum(0))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("requantize", [True, False])
def test_eval_computes_with_integers(bias, requantize):
    linear = layer(bias=bias, **({} if requantize else {"output_fake_quant": None}))
    x = torch.randn(5, 10) + 1
    trained = linear(x).detach()
    linear.eval()
    (x_scale, x_zero), (w_scale, _) = grid(x, 0, 255, False), grid(linear.weight, -128, 127, True)
    levels = torch.clamp((x / x_scale).round() + x_zero, 0, 255).long()
    weight = torch.clamp((linear.weight / w_scale).round(), -128, 127).long()
    sums = (levels - x_zero) @ weight.t()
    if bias:
        sums = sums + (linear.bias / (x_scale * w_scale)).round().long()
    expected = sums.double() * x_scale * w_scale
    if requantize:
        y_scale, y_zero = linear.output_fake_quant.scale.item(), linear.output_fake_quant.zero_point.item()
        expected = (torch.clamp((expected / y_scale).round() + y_zero, 0, 255) - y_zero) * y_scale
    found = linear(x)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(found, trained, rtol=0, atol=0.02)
    assert torch.equal(linear.quantized_weight, weight.float())


def test_ranges_of_inputs_are_moving_averages_and_rest_in_eval():
    linear = layer()
    xs = [torch.randn(5, 10) for _ in range(4)]
    for x in xs[:3]:
        linear(x)
    low, high = xs[0].min(), xs[0].max()
    for x in xs[1:3]:
        low, high = low + 0.01 * (x.min() - low), high + 0.01 * (x.max() - high)
    observer = linear.input_fake_quant.activation_post_process
    torch.testing.assert_close((observer.min_val, observer.max_val), (low, high))
    linear.eval()
    linear(100 * xs[3])
    torch.testing.assert_close((observer.min_val, observer.max_val), (low, high))


def test_quantization_begins_late_and_can_be_turned_off():
    linear, x = layer(start_step=2), torch.randn(5, 10)
    plain = F.linear(x, linear.weight, linear.bias)
    assert torch.equal(linear(x), plain) and torch.equal(linear(x), plain)
    assert not torch.equal(linear(x), plain)
    linear.disable_fake_quant().disable_observer()
    assert torch.equal(linear(x), plain) and torch.equal(linear.eval()(x), plain)
    linear.enable_fake_quant()
    assert not torch.equal(linear(x), plain)


def test_the_scale_decomposition_is_what_integer_hardware_multiplies_by():
    scales = torch.tensor([3e-4, 0.02, 0.4999, 0.5, 0.99])
    places, factor = qat._get_a_n_scale_decomposition(scales)
    assert torch.equal(factor, factor.round()) and factor.min() > 2**14 and factor.max() <= 2**15
    torch.testing.assert_close(factor / 2**places, scales, rtol=2**-15, atol=0)
    sums = torch.tensor([1000.0, -777.0, 31.0, 8.0, 5.0])
    assert torch.equal((sums * factor) >> places, sums * factor / 2**places)
    levels = qat._requantize(sums, scales, 0, torch.tensor(1.0), 3)
    assert torch.equal(levels, ((sums * scales).round() + 3).clamp(0, 255))
    with pytest.raises(NotImplementedError, match="zero point is 0"):
        qat._requantize(sums, scales, 1)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 12), nn.ReLU(), nn.Sequential(nn.Linear(12, 12)), nn.Linear(12, 3))


def test_quantizer_exchanges_the_layers_that_it_shall():
    model = network()
    before = dict(model.named_parameters())
    config = mc.QuantizerConfig(not_to_quantize=["3"], not_to_requantize_output=["2."], quantization_begin=4)
    assert mc.Quantizer(model, config).quantize() is model
    assert [type(m).__name__ for m in (model[0], model[2][0], model[3])] == 2 * ["QuantizedLinear"] + [
        "Linear"
    ]
    assert {id(p) for p in model.parameters()} == {id(p) for p in before.values()}
    assert model[0].start_step == 4 and model[0].output_fake_quant.requantize == 1
    assert model[2][0].output_fake_quant.requantize == 0
    assert type(mc.Quantizer(nn.Linear(2, 2), mc.QuantizerConfig()).quantize()) is mc.QuantizedLinear


def test_tied_layers_stay_tied():
    shared = nn.Linear(4, 4)
    model = mc.convert_model_for_qat(nn.Sequential(shared, shared), mc.QuantizerConfig())
    assert model[0] is model[1] and type(model[0]) is mc.QuantizedLinear


def test_a_trained_state_is_saved_and_loaded():
    model = mc.convert_model_for_qat(network(), mc.QuantizerConfig())
    x = torch.randn(5, 10)
    model(x)
    loaded = mc.convert_model_for_qat(network(), mc.QuantizerConfig())
    loaded.load_state_dict(model.state_dict())
    for other in (loaded, copy.deepcopy(model)):
        assert torch.equal(other.eval()(x), model.eval()(x))
    loaded[0].disable_fake_quant()
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*size mismatch|Missing key"):
        loaded.load_state_dict(network().state_dict())


def test_pruned_layers_train_quantized():
    model = mc.convert_model_for_qat(network(), mc.QuantizerConfig())
    config = mc.OneShotPruningConfig(
        pruning_fn="unstructured_magnitude",
        pruning_fn_default_kwargs={"initial_sparsity": 0.5},
        prune_layer_types={"QuantizedLinear": {"name": "weight"}},
    )
    scheduler = mc.OneShotPruningScheduler(model, config)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(5, 10)).square().sum().backward()
        optimizer.step()
        scheduler.step()
    scheduler.remove_pruning()
    for module in (model[0], model[2][0], model[3]):
        assert mc.get_tensor_sparsity_ratio(module.weight) == pytest.approx(0.5, abs=0.03)
        assert mc.get_tensor_sparsity_ratio(module.eval().quantized_weight) >= 0.5


def test_options_make_configurations_models_and_classes(tmp_path):
    path = tmp_path / "quantization.json"
    path.write_text(json.dumps({"not_to_quantize": ["3"], "quantization_begin": 5}))
    parser = mc.add_quantization_arguments_to_parser(argparse.ArgumentParser())
    args = parser.parse_args(
        ["--do_quantization", "--quantization_config", str(path), "--quantization_override"]
        + ["quantization_begin:2", "not_to_requantize_output:2,head"]
    )
    config = mc.quantization_config_factory(args)
    assert config.to_dict() == {
        "not_to_quantize": ["3"],
        "quantization_begin": 2,
        "not_to_requantize_output": ["2", "head"],
    }
    model = mc.quantization_model_or_class_factory(args, model=network())
    assert type(model[0]) is mc.QuantizedLinear and type(model[3]) is nn.Linear

    class Net(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.fc = nn.Linear(inputs, 2)

    made = mc.quantization_model_or_class_factory(args, cls=Net)(3)
    assert isinstance(made, Net) and type(made.fc) is mc.QuantizedLinear
    args.do_quantization = False
    assert mc.quantization_model_or_class_factory(args, cls=Net) is Net
    with pytest.raises(AttributeError, match="either a model or a class"):
        mc.quantization_model_or_class_factory(args)
    args.quantization_override = ["quantization_begn:2"]
    with pytest.raises(ValueError, match="did you mean 'quantization_begin'"):
        mc.quantization_config_factory(args)


def test_exported_layers_are_onnx_quantization_that_computes_the_same(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = mc.convert_model_for_qat(network(), mc.QuantizerConfig(not_to_requantize_output=["3"]))
    x = torch.randn(64, 10)
    model(x)
    model.eval()
    program = torch.onnx.export(model, (x,), dynamo=True, optimize=False, verbose=False)
    program.save(tmp_path / "model.onnx")
    operators = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert operators.count("QuantizeLinear") == operators.count("DequantizeLinear") == 8
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), model(x), rtol=0, atol=0.01)
    plain = torch.export.export(model, (x,)).module()(x)
    torch.testing.assert_close(plain, model(x), rtol=0, atol=0.01)
    for module in (model[0], model[2][0], model[3]):
        module.disable_fake_quant()
    program = torch.onnx.export(model, (x,), dynamo=True, optimize=False, verbose=False)
    assert all(node.op_type != "QuantizeLinear" for node in program.model.graph)


def test_bad_models_and_configurations_are_refused(caplog):
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        mc.Quantizer("model", mc.QuantizerConfig())
    with pytest.raises(TypeError, match="takes a QuantizerConfig"):
        mc.Quantizer(network(), mc.OneShotPruningConfig())
    with pytest.raises(TypeError, match="list of parts"):
        mc.Quantizer(network(), mc.QuantizerConfig(not_to_quantize="head"))
    mc.Quantizer(network(), mc.QuantizerConfig(not_to_quantize=["head"])).quantize()
    assert "'head' is part of no linear layer's name" in caplog.text
    model = network()
    mc.unstructured_magnitude_pruning(model[2][0])
    with pytest.raises(ValueError, match=r"layer '2.0'.*being pruned"):
        mc.convert_model_for_qat(model, mc.QuantizerConfig())
    assert type(model[0]) is nn.Linear
