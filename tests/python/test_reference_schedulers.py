"""When weights are pruned and which: schedulers, configurations and factories of the reference package."""

import argparse
import json

import pytest
import torch
from torch import nn

mc = pytest.importorskip("model_compression", exc_type=ImportError)
pruning = pytest.importorskip("model_compression.pruning", exc_type=ImportError)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10), nn.Linear(10, 10))


def iterative(**kwargs):
    entries = {
        "pruning_fn": "unstructured_magnitude",
        "pruning_fn_default_kwargs": {"target_sparsity": 0.9},
        **kwargs,
    }
    return mc.IterativePruningConfig(**entries)


def sparsities(model):
    return {
        name: round(mc.get_tensor_sparsity_ratio(module.weight), 3)
        for name, module in model.named_modules()
        if hasattr(module, "weight")
    }


def test_sparsity_grows_as_a_cubic_polynomial_while_masks_are_due():
    model = nn.Sequential(nn.Linear(100, 100))
    config = iterative(
        pruning_fn_default_kwargs={"target_sparsity": 0.9, "initial_sparsity": 0.1},
        pruning_frequency=2,
        begin_pruning_step=4,
        end_pruning_step=12,
        policy_begin_step=2,
        policy_end_step=10,
    )
    scheduler = mc.IterativePruningScheduler(model, config)
    expected = 0.1
    for step in range(16):
        if 4 <= step <= 12 and step % 2 == 0:
            way = min((step - 2) / 8, 1)
            expected = 0.1 + 0.8 * (1 - (1 - way) ** 3)
        assert scheduler.global_step == step
        scheduler.step()
        assert mc.get_tensor_sparsity_ratio(model[0].weight) == pytest.approx(expected, abs=1.1e-4), step
    scheduler.remove_pruning()
    scheduler.remove_pruning()
    assert isinstance(model[0].weight, nn.Parameter)
    assert mc.get_tensor_sparsity_ratio(model[0].weight) == pytest.approx(0.9)


def test_which_layers_are_pruned_and_how_much():
    model = network()
    config = iterative(
        not_to_prune=["^4$"],
        weight_sparsity_map={"^3": {"target_sparsity": 0.5}},
        explicit_prune={"4": {"name": "bias", "target_sparsity": 0.2}},
        policy_end_step=0,
        pruning_frequency=1,
    )
    scheduler = mc.IterativePruningScheduler(model, config)
    scheduler.step()
    assert sparsities(model) == {"0": round(64 / 72, 3), "3": 0.5, "4": 0}
    assert mc.get_tensor_sparsity_ratio(model[4].bias) == pytest.approx(0.2)
    assert [each["name"] for each in scheduler.method_dicts] == ["0", "3", "4"]


def test_layers_are_pruned_by_their_class():
    model = network()
    config = mc.OneShotPruningConfig(
        pruning_fn="unstructured_magnitude",
        pruning_fn_default_kwargs={"initial_sparsity": 0.5},
        prune_layer_types={"Linear": {"initial_sparsity": 0.25}},
    )
    scheduler = mc.OneShotPruningScheduler(model, config)
    scheduler.step()
    assert sparsities(model) == {"0": 0, "3": 0.25, "4": 0.25} and scheduler.global_step == 1


@pytest.mark.parametrize("strategy", ["er", "erk"])
def test_erdos_renyi_spreads_the_target(strategy):
    model = network()
    config = iterative(
        init_strategy=strategy,
        pruning_fn_default_kwargs={"target_sparsity": 0.6},
        policy_end_step=0,
        pruning_frequency=1,
    )
    mc.IterativePruningScheduler(model, config).step()
    # Evci et al. 2020: densities proportional to (sum of dims) / (product of dims), capped at 1, total kept.
    raw = {
        "0": (8 + 1 + (6 if strategy == "erk" else 0)) / (8 * (9 if strategy == "erk" else 1)),
        "3": 42 / 320,
        "4": 20 / 100,
    }
    sizes = {"0": 72, "3": 320, "4": 100}
    dense = set()
    while True:
        rest = [name for name in raw if name not in dense]
        budget = 0.4 * sum(sizes.values()) - sum(sizes[name] for name in dense)
        factor = budget / sum(raw[name] * sizes[name] for name in rest)
        over = [name for name in rest if factor * raw[name] > 1]
        if not over:
            break
        dense.add(max(over, key=raw.get))
    for name, found in sparsities(model).items():
        expected = 0 if name in dense else 1 - factor * raw[name]
        assert found == pytest.approx(expected, abs=1.5 / sizes[name]), name


def test_a_function_may_be_the_method():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    config = mc.OneShotPruningConfig(pruning_fn_default_kwargs={"initial_sparsity": 0.5})
    mc.OneShotPruningScheduler(model, config, pruning_fn=mc.unstructured_magnitude_pruning)
    assert sparsities(model) == {"0": 0.5, "1": 0.5}


def test_training_with_a_scheduler_recovers_the_task():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 2))
    scheduler = mc.IterativePruningScheduler(
        model, iterative(pruning_frequency=5, policy_end_step=60, end_pruning_step=60)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(120):
        x = torch.randn(64, 16)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), (x[:, 0] > x[:, 1]).long()).backward()
        optimizer.step()
        scheduler.step()
    scheduler.remove_pruning()
    x = torch.randn(2000, 16)
    assert (model(x).argmax(1) == (x[:, 0] > x[:, 1]).long()).float().mean() > 0.95
    assert all(s == pytest.approx(0.9, abs=0.01) for s in sparsities(model).values())


def test_tensorboard_gets_each_layer_and_the_whole():
    class Writer(dict):
        def add_scalar(self, name, value, step):
            self[name, step] = value

    model, writer = network(), Writer()
    config = iterative(policy_end_step=0, pruning_frequency=1)
    scheduler = mc.IterativePruningScheduler(model, config, tb_writer=writer)
    scheduler.step()
    scheduler.tb_log()
    zeros = sum((m.weight == 0).sum().item() for m in (model[0], model[3], model[4]))
    assert writer["pruning/average_model_sparsity", 1] == pytest.approx(zeros / 492)
    assert writer["sparsity_per_layer/3", 1] == pytest.approx(0.9)
    assert writer["pruning/target_sparsity", 1] == 1


def test_configurations_are_written_and_read(tmp_path):
    config = iterative(not_to_prune=["head"], scheduler="iterative")
    path = tmp_path / "pruning.json"
    config.to_json_file(path)
    loaded = mc.IterativePruningConfig.from_json_file(path)
    assert loaded.to_dict() == config.to_dict() == json.loads(path.read_text())
    loaded.update({"pruning_frequency": 7}, '{"policy_end_step": 5}', initial_step=3)
    assert (loaded.pruning_frequency, loaded.policy_end_step, loaded.initial_step) == (7, 5, 3)
    assert loaded.not_to_prune == ["head"]
    loaded.not_to_prune.append("x")
    assert mc.IterativePruningConfig().not_to_prune == []
    assert str(config) == config.to_json_string()
    with pytest.raises(ValueError, match="neither a file that exists nor JSON"):
        config.update("nowhere.json")
    with pytest.raises(TypeError, match=r"did you mean 'pruning_fn'"):
        mc.PruningConfig(pruning_fm="x")


def test_factories_take_files_dictionaries_and_options(tmp_path, caplog):
    path = tmp_path / "pruning.json"
    iterative(scheduler="iterative").to_json_file(path)
    config = mc.pruning_config_factory(str(path), '{"pruning_frequency": 3}', policy_end_step=9)
    assert type(config) is mc.IterativePruningConfig
    assert (config.pruning_frequency, config.policy_end_step) == (3, 9)
    scheduler = mc.pruning_scheduler_factory(network(), config)
    assert type(scheduler) is mc.IterativePruningScheduler
    one_shot = mc.pruning_config_factory({"scheduler": "one_shot", "no such": 1})
    assert type(one_shot) is mc.OneShotPruningConfig and "no such" in caplog.text
    with pytest.raises(KeyError, match="did you mean 'iterative'"):
        mc.pruning_config_factory({"scheduler": "iterativ"})
    with pytest.raises(ValueError, match="names no scheduler"):
        mc.pruning_config_factory({})

    parser = mc.add_pruning_arguments_to_parser(argparse.ArgumentParser())
    options = ["--do_prune", "--pruning_config", str(path), "--pruning_override", '{"initial_step":', "4}"]
    args = parser.parse_args(options)
    config = mc.pruning_config_factory(args.pruning_config, args.pruning_override)
    assert args.do_prune and config.initial_step == 4


def test_methods_and_schedulers_are_listed():
    assert pruning.list_schedulers() == ["iterative", "one_shot"]
    methods = pruning.list_methods()
    assert "unstructured_magnitude" in str(methods) and "pattern_lock" in str(methods)


@pytest.mark.parametrize(
    "entries, error, says",
    [
        (
            {"pruning_fn": "unstructured_magnitud"},
            NotImplementedError,
            "did you mean 'unstructured_magnitude'",
        ),
        ({"pruning_fn": "pattern_lock"}, NotImplementedError, "'one_shot' has it"),
        ({"pruning_fn": None}, AttributeError, "no pruning function"),
        ({"pruning_frequency": 0}, ValueError, "at least 1"),
        ({"pruning_frequency": 1.5}, TypeError, "whole number"),
        ({"policy_begin_step": 5, "policy_end_step": 4}, ValueError, "is before"),
        ({"init_strategy": "erq"}, NotImplementedError, "init_strategy 'erq'"),
        ({"not_to_prune": ["("]}, ValueError, "not a regular expression"),
        ({"not_to_prune": "fc"}, TypeError, "list of patterns"),
        ({"weight_sparsity_map": {"3": {}, "[34]": {}}}, RuntimeError, "one may match"),
        ({"pruning_fn_default_kwargs": {"target": 0.5}}, TypeError, "layer '0'.*target"),
        ({"pruning_fn_default_kwargs": {"initial_sparsity": -1}}, ValueError, "layer '0'.*from 0 to 1"),
    ],
)
def test_bad_configurations_leave_the_model_as_it_was(entries, error, says):
    model = network()
    with pytest.raises(error, match=says):
        mc.IterativePruningScheduler(model, iterative(**entries))
    assert set(model.state_dict()) == set(network().state_dict())


def test_a_scheduler_takes_its_own_configuration_and_a_module():
    with pytest.raises(TypeError, match="takes a OneShotPruningConfig"):
        mc.OneShotPruningScheduler(network(), iterative())
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        mc.IterativePruningScheduler([1], iterative())


def test_patterns_that_find_nothing_are_said(caplog):
    mc.IterativePruningScheduler(network(), iterative(not_to_prune=["classifier"]))
    assert "'classifier' matches no layer" in caplog.text


def test_the_learning_rate_rewinds_while_masks_change():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = mc.get_linear_rewinding_schedule_with_warmup(optimizer, 2, 22, 4, 10, 3)
    rates = []
    for _ in range(22):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()

    def line(passed):  # 16 steps beside the 6 of pruning, 2 of them warm up
        return (16 - passed) / 14

    expected = [0, 0.5, *map(line, (2, 3)), *2 * [line(4), line(5), line(6)], *map(line, range(4, 16))]
    assert rates == pytest.approx(expected)
