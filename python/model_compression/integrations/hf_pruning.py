"""Pruning in a Trainer of transformers."""

import logging
import os

import torch
from transformers import TrainerCallback

from ..command_line import pruning_config_factory, pruning_scheduler_factory

logger = logging.getLogger(__name__)


def _writer(folder):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            return None
    return SummaryWriter(folder)


class HFTrainerPruningCallback(TrainerCallback):
    """Prunes the model that a Trainer trains (with `do_train`), and at the end leaves it without the pruning parts.

    `pruning_args` has do_prune, pruning_config and pruning_override, as `add_pruning_arguments_to_parser` gives
    them. The folder `output_dir` gets raw_pytorch_model.bin, which has latent weights and masks, and
    pruning_config.json.
    """

    def __init__(self, pruning_args):
        self.args = pruning_args
        self.scheduler = None
        self.config = None
        if pruning_args.do_prune:
            self.config = pruning_config_factory(pruning_args.pruning_config, pruning_args.pruning_override)

    def on_init_end(self, args, state, control, model=None, **kwargs):
        """Prunes, before the Trainer makes the optimizer."""
        if self.config is None or not args.do_train:
            return
        if kwargs.get("optimizer") is not None:
            raise ValueError("the optimizer must be made after the pruning: let the Trainer make it")
        self.scheduler = pruning_scheduler_factory(model, self.config)
        if state.is_world_process_zero:
            logger.info("pruning: %s", self.scheduler)
            self.scheduler.writer = _writer(getattr(args, "logging_dir", None) or args.output_dir)

    def on_train_begin(self, args, state, control, **kwargs):
        """Goes on from the step of a checkpoint, whose masks have been loaded with the weights."""
        if self.scheduler is not None:
            self.scheduler.global_step = self.config.initial_step + state.global_step

    def on_step_end(self, args, state, control, **kwargs):
        """After each step of the optimizer."""
        if self.scheduler is not None:
            self.scheduler.step()

    def on_log(self, args, state, control, **kwargs):
        """Logs the sparsities."""
        if self.scheduler is not None:
            self.scheduler.tb_log()

    def on_train_end(self, args, state, control, model=None, **kwargs):
        """Saves what has been trained as it is, and leaves a pruned model without the pruning parts."""
        if self.scheduler is None:
            return
        if self.scheduler.writer is not None:
            self.scheduler.writer.close()
        model = getattr(model, "module", model)
        if state.is_world_process_zero:
            ignored = getattr(model, "_keys_to_ignore_on_save", None) or ()
            weights = {key: value for key, value in model.state_dict().items() if key not in ignored}
            os.makedirs(args.output_dir, exist_ok=True)
            torch.save(weights, os.path.join(args.output_dir, "raw_pytorch_model.bin"))
            self.config.to_json_file(os.path.join(args.output_dir, "pruning_config.json"))
        self.scheduler.remove_pruning()
        self.scheduler = None
