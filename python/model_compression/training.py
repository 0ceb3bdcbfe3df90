"""Small helpers of training loops that prune."""

import torch


def remove_pruning(module, name="weight"):
    """Makes a pruned weight of a module an ordinary parameter again, with zeros. Gives the module."""
    module.get_pruning_parameters("method", name=name).remove()
    return module


def get_tensor_sparsity_ratio(tensor):
    """The part of a tensor's elements that is zero, from 0 to 1."""
    if tensor.numel() == 0:
        raise ValueError("an empty tensor has no sparsity")
    return (1 - tensor.detach().count_nonzero() / tensor.numel()).item()


def get_linear_rewinding_schedule_with_warmup(
    optimizer,
    num_warmup_steps,
    num_training_steps,
    prune_start_step,
    prune_end_step,
    rewind_interval,
    last_epoch=-1,
):
    """A learning rate that rises, falls on a line to 0, and while pruning returns every `rewind_interval` steps.

    While masks change (from prune_start_step to prune_end_step) each interval begins at the rate that the first one
    began at, so that the network recovers at a high rate; the line goes on from there afterwards.
    """
    pruning_steps = prune_end_step - prune_start_step
    steps_on_the_line = num_training_steps - pruning_steps

    def factor(step):
        if step < num_warmup_steps:
            return step / max(1, num_warmup_steps)
        if step < prune_start_step:
            passed = step
        elif step < prune_end_step:
            passed = prune_start_step + (step - prune_start_step) % rewind_interval
        else:
            passed = step - pruning_steps
        return max(0.0, (steps_on_the_line - passed) / max(1, steps_on_the_line - num_warmup_steps))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor, last_epoch)
