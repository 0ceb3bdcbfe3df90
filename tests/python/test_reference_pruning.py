"""Pruning methods by the names of the reference package: masks against closed forms, gradients, removal."""

import copy
import io
import math

import pytest
import torch
from torch import nn

mc = pytest.importorskip("model_compression", exc_type=ImportError)
pruning = pytest.importorskip("model_compression.pruning", exc_type=ImportError)


def linear(outputs=12, inputs=16, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs)


def smallest_are_zero(weight, dropped):
    """The mask that keeps all but the `dropped` smallest magnitudes, by sorting."""
    mask = torch.ones(weight.numel())
    mask[weight.abs().flatten().argsort()[:dropped]] = 0
    return mask.reshape(weight.shape)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("prune", [mc.unstructured_magnitude_pruning, mc.unstructured_neural_wiring_pruning])
def test_unstructured_masks_drop_the_smallest(prune, sparsity):
    layer = linear()
    weight = layer.weight.detach().clone()
    _, method = prune(layer, initial_sparsity=sparsity)
    expected = smallest_are_zero(weight, int(sparsity * weight.numel()))
    assert torch.equal(method.get_parameters("mask"), expected)
    assert torch.equal(layer.weight, weight * expected)


def test_a_pruned_module_has_the_parts_of_its_method():
    layer = linear()
    weight = layer.weight
    _, method = mc.unstructured_magnitude_pruning(layer, initial_sparsity=0.5)
    assert layer.weight_original is weight
    assert set(dict(layer.named_parameters())) == {"weight_original", "bias"}
    assert set(layer.state_dict()) == {"weight_original", "bias", "weight_mask"}
    assert layer.get_pruning_parameters("method") is method
    original, mask = layer.get_pruning_parameters("original", "mask", name="weight")
    assert original is weight and mask is layer.weight_mask and mask.dtype == weight.dtype
    assert "UnstructuredMagnitude" in repr(layer)


def test_masked_weights_get_no_gradient_but_those_of_neural_wiring_do():
    x = torch.randn(4, 16)
    for prune, passes in (
        (mc.unstructured_magnitude_pruning, False),
        (mc.unstructured_neural_wiring_pruning, True),
    ):
        layer, dense = linear(), linear()
        _, method = prune(layer, initial_sparsity=0.5)
        dense.weight.data.copy_(layer.weight)
        layer(x).square().sum().backward()
        dense(x).square().sum().backward()
        gradient = dense.weight.grad if passes else dense.weight.grad * method.get_parameters("mask")
        torch.testing.assert_close(layer.weight_original.grad, gradient)


def test_removal_leaves_a_plain_module():
    layer, x = linear(), torch.randn(2, 16)
    mc.unstructured_magnitude_pruning(layer, initial_sparsity=0.75)
    before = layer(x)
    assert mc.remove_pruning(layer) is layer
    assert torch.equal(layer(x), before)
    assert set(layer.state_dict()) == {"weight", "bias"} == set(dict(layer.named_parameters()))
    assert mc.get_tensor_sparsity_ratio(layer.weight) == 0.75
    assert not layer._forward_pre_hooks and repr(layer) == repr(linear())
    with pytest.raises(AttributeError):
        mc.remove_pruning(layer)


def test_uniform_pruning_drops_as_many_of_each_block():
    layer = linear()
    weight = layer.weight.detach().clone()
    _, method = mc.uniform_magnitude_pruning(layer, target_sparsity=0.75, block_size=8)
    mc.uniform_magnitude_pruning(layer, target_sparsity=0.75, block_size=8)
    expected = torch.stack([smallest_are_zero(row, 6) for row in weight.reshape(-1, 8)]).reshape(weight.shape)
    assert torch.equal(method.get_parameters("mask"), expected)


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("block_dims, outputs, inputs", [((4, 2), 2, 4), (4, 4, 4), ((1, 6), 6, 1)])
def test_blocks_are_dropped_as_a_whole(pooling, block_dims, outputs, inputs):
    layer = linear()
    weight = layer.weight.detach().clone()
    _, method = mc.block_structured_magnitude_pruning(
        layer, initial_sparsity=0.5, block_dims=block_dims, pooling_type=pooling
    )
    rows, columns = 12 // outputs, 16 // inputs
    blocks = weight.abs().reshape(rows, outputs, columns, inputs).transpose(1, 2).flatten(2)
    size = blocks.mean(-1) if pooling == "avg" else blocks.amax(-1)
    kept = smallest_are_zero(size, rows * columns // 2)
    expected = kept.repeat_interleave(outputs, 0).repeat_interleave(inputs, 1)
    assert torch.equal(method.get_parameters("mask"), expected)


def test_n_to_m_keeps_the_largest_n_of_each_m():
    layer = linear()
    weight = layer.weight.detach().clone()
    method = mc.NToMMagnitudePruningMethod(layer, n=2, m=4)
    assert method.get_parameters("mask").min() == 1
    method.update_mask(1)
    expected = torch.stack([smallest_are_zero(row, 2) for row in weight.reshape(-1, 4)]).reshape(weight.shape)
    assert torch.equal(method.get_parameters("mask"), expected)


def test_thresholds_of_the_past_decay():
    layer = linear()
    magnitudes = layer.weight.detach().abs().flatten().sort().values
    _, method = mc.unstructured_magnitude_pruning(
        layer, initial_sparsity=0.25, target_sparsity=0.75, threshold_decay=0.5
    )
    first = 0.5 * magnitudes[int(0.25 * 192) - 1].item()
    method.update_mask(1)
    second = 0.5 * first + 0.5 * magnitudes[int(0.75 * 192) - 1].item()
    kept = (layer.weight_original.detach().abs() > second).float()
    assert torch.equal(method.get_parameters("mask"), kept)


def test_weights_of_a_group_compete_with_each_other():
    layers = [linear(seed=seed) for seed in range(3)]
    layers[1].weight.data.mul_(10)
    together = torch.cat([layer.weight.detach().flatten() for layer in layers])
    for layer in layers:
        mc.grouped_unstructured_magnitude_pruning(layer, group="three", group_target_sparsity=0.5)
    assert all(layer.weight_mask.min() == 1 for layer in layers)
    mc.grouped_unstructured_magnitude_pruning(group="three", group_target_sparsity=0.5)
    masks = torch.cat([layer.weight_mask.flatten() for layer in layers])
    assert torch.equal(masks, smallest_are_zero(together, together.numel() // 2))
    mc.remove_pruning(layers[1])
    rest = torch.cat([layers[0].weight_original.flatten(), layers[2].weight_original.flatten()]).detach()
    mc.grouped_unstructured_magnitude_pruning(group="three", group_target_sparsity=0.25)
    masks = torch.cat([layers[0].weight_mask.flatten(), layers[2].weight_mask.flatten()])
    assert torch.equal(masks, smallest_are_zero(rest, rest.numel() // 4))
    for layer in layers[::2]:
        mc.remove_pruning(layer)


def test_global_pruning_of_a_scheduler_is_one_threshold():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Conv2d(2, 3, 3))
    config = mc.OneShotPruningConfig(
        pruning_fn="global_unstructured_magnitude",
        pruning_fn_default_kwargs={"group_initial_sparsity": 0.5, "group_target_sparsity": 0.5},
    )
    together = torch.cat([model[0].weight.flatten(), model[2].weight.flatten()]).detach()
    scheduler = mc.OneShotPruningScheduler(model, config)
    masks = torch.cat([model[0].weight_mask.flatten(), model[2].weight_mask.flatten()])
    assert torch.equal(masks, smallest_are_zero(together, together.numel() // 2))
    scheduler.remove_pruning()
    assert set(model.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_a_given_mask_and_a_locked_pattern_hold():
    layer = linear()
    mask = (torch.rand_like(layer.weight) > 0.5).float()
    weight = layer.weight.detach().clone()
    _, method = mc.custom_mask_pruning(layer, mask=mask)
    assert torch.equal(layer.weight, weight * mask)
    mc.custom_mask_pruning(layer, mask=1 - mask)
    assert torch.equal(layer.weight, weight * (1 - mask))
    method.remove()
    zeros = layer.weight == 0
    mc.lock_tensor_sparsity_pattern(layer)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(4, 16)).square().sum().backward()
        optimizer.step()
    layer(torch.randn(1, 16))
    assert torch.equal(layer.weight == 0, zeros)


def test_pruned_modules_are_copied_saved_and_loaded():
    layer, x = linear(), torch.randn(2, 16)
    mc.unstructured_magnitude_pruning(layer, initial_sparsity=0.5)
    layer(x)
    duplicate = copy.deepcopy(layer)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    fresh = linear(seed=1)
    mc.unstructured_magnitude_pruning(fresh, initial_sparsity=0.5)
    fresh.load_state_dict(layer.state_dict())
    for other in (duplicate, loaded, fresh):
        assert torch.equal(other(x), layer(x))
        assert other.weight_method.module is other
    duplicate.weight_original.data.zero_()
    assert layer.weight_original.abs().sum() > 0


def test_thresholds_and_blocks_are_computed_for_callers_too():
    tensor = torch.arange(1.0, 13.0)[torch.randperm(12)]
    assert pruning.calc_pruning_threshold(tensor, 0.5).item() == 6
    assert pruning.calc_pruning_threshold(tensor, 0.5, 4.0, 0.25).item() == 0.25 * 4 + 0.75 * 6
    assert pruning.calc_pruning_threshold(tensor, 0.0) < 1
    rows = torch.tensor([[4.0, 3.0, 2.0, 1.0], [5.0, 6.0, 7.0, 8.0]])
    assert pruning.calc_pruning_threshold(rows, 0.5, block_size=4).tolist() == [2, 6]
    assert pruning.handle_block_pruning_dims((4, 2), (12, 16)) == ((2, 4), (6, 2, 4, 4), (6, 1, 4, 1))


@pytest.mark.parametrize(
    "prune, kwargs, error, says",
    [
        (mc.unstructured_magnitude_pruning, {"initial_sparsity": 1.5}, ValueError, "from 0 to 1"),
        (mc.unstructured_magnitude_pruning, {"initial_sparsity": "half"}, TypeError, "must be a number"),
        (mc.unstructured_magnitude_pruning, {"initial_sparsity": math.nan}, ValueError, "from 0 to 1"),
        (mc.unstructured_magnitude_pruning, {"name": "wieght"}, AttributeError, "no parameter 'wieght'"),
        (mc.uniform_magnitude_pruning, {"block_size": 7}, ValueError, "do not divide"),
        (mc.uniform_magnitude_pruning, {"block_size": 0}, ValueError, "from 1 on"),
        (mc.block_structured_magnitude_pruning, {"block_dims": 5}, ValueError, "do not divide"),
        (mc.block_structured_magnitude_pruning, {"block_dims": (1, 2, 3)}, ValueError, "3 axes"),
        (mc.block_structured_magnitude_pruning, {"pooling_type": "sum"}, ValueError, "avg or max"),
        (mc.NToMMagnitudePruningMethod, {"n": 4, "m": 4}, ValueError, "at least 1 and fewer"),
        (mc.custom_mask_pruning, {"mask": torch.ones(2)}, ValueError, "not shaped like"),
        (mc.custom_mask_pruning, {"mask": [1]}, TypeError, "must be a tensor"),
    ],
)
def test_bad_arguments_leave_the_module_as_it_was(prune, kwargs, error, says):
    layer = linear()
    with pytest.raises(error, match=says):
        prune(layer, **kwargs)
    assert set(layer.state_dict()) == {"weight", "bias"} and not layer._forward_pre_hooks


def test_a_weight_is_pruned_by_one_method():
    layer = linear()
    mc.unstructured_magnitude_pruning(layer)
    with pytest.raises(RuntimeError, match="is pruned by Unstructured"):
        mc.uniform_magnitude_pruning(layer)
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        mc.UnstructuredMagnitudePruningMethod("layer")
    layer.weight_original.data[0, 0] = math.nan
    with pytest.raises((RuntimeError, ValueError), match="(?i)nan"):
        mc.unstructured_magnitude_pruning(layer, target_sparsity=0.5)
