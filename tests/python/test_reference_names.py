"""The names that users of the reference package import, and methods of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

mc = pytest.importorskip("model_compression", exc_type=ImportError)
pruning = pytest.importorskip("model_compression.pruning", exc_type=ImportError)

PACKAGE = Path(mc.__file__).resolve().parents[1]


@pytest.mark.parametrize("module", ["pruning", "quantization", "distiller"])
def test_names_of_submodules_are_those_of_the_package(module):
    loaded = __import__(f"model_compression.{module}", fromlist=["x"])
    names = [name for name in dir(loaded) if name in mc._MODULE_OF]
    assert len(names) >= 2
    assert all(getattr(mc, name) is getattr(loaded, name) for name in names)


def test_every_public_name_can_be_had():
    for name in mc.__all__:
        assert getattr(mc, name) is not None, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mc.nonsense  # noqa: B018


def test_submodules_are_attributes_and_transformers_is_loaded_only_for_the_callback():
    code = """
import sys
import model_compression as mc
mc.pruning.list_methods, mc.quantization.QuantizedLinear, mc.distiller.TeacherWrapper, mc.utils.Config
mc.api_utils.HFTeacherWrapper
assert "transformers" not in sys.modules
sys.modules["transformers"] = None  # as where it is not installed
try:
    mc.HFTrainerPruningCallback(None)
except ImportError as error:
    assert "transformers" in str(error)
else:
    raise AssertionError("there is no transformers")
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr


def test_methods_and_schedulers_of_ones_own_are_registered():
    @mc.register_method("iterative", name="drop_first_columns")
    class DropFirstColumns(mc.PruningMethod):
        def _init(self, target_sparsity=0.0):
            self.target_sparsity = target_sparsity
            self.columns = 0
            self.hold(torch.ones_like(getattr(self.module, self.name)))

        def _update_mask(self, schedule):
            original = self.get_parameters("original")
            self.columns = round(self.target_sparsity * schedule * original.shape[1])

        def _compute_mask(self):
            mask = torch.ones_like(self.get_parameters("original"))
            mask[:, : self.columns] = 0
            self.set_parameter("mask", mask)

        def masked_weight(self, module):
            original, mask = self.get_parameters("original", "mask", module=module)
            return original * mask

    try:
        assert "drop_first_columns" in pruning.list_methods()
        model = nn.Sequential(nn.Linear(8, 4))
        config = mc.IterativePruningConfig(
            pruning_fn="drop_first_columns",
            pruning_fn_default_kwargs={"target_sparsity": 0.5},
            pruning_frequency=1,
            policy_end_step=1,
        )
        scheduler = mc.IterativePruningScheduler(model, config)
        scheduler.step()
        assert (model[0].weight != 0).all()
        scheduler.step()
        assert (model[0].weight[:, :4] == 0).all() and (model[0].weight[:, 4:] != 0).all()
        scheduler.remove_pruning()
        assert isinstance(model[0].weight, nn.Parameter)
    finally:
        del mc.IterativePruningScheduler.PRUNING_FN_DICT["drop_first_columns"]
