"""The state that a module is in while it is captured, and what capturing would otherwise lose."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

import torch

_CHANNEL_DROPOUT = (torch.nn.Dropout1d, torch.nn.Dropout2d, torch.nn.Dropout3d)


@contextlib.contextmanager
def unnoticed(model: torch.nn.Module, training: bool) -> Iterator[None]:
    """The whole model in train() or eval(), without autocast, with nothing that the caller could notice afterwards."""
    modes = {module: module.training for module in model.modules()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    kinds = {"cpu", "cuda"} if torch.cuda.is_available() else {"cpu"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.enter_context(torch.set_grad_enabled(training))
        for kind in kinds:
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        log = logging.getLogger("torch.onnx")
        stack.callback(log.setLevel, log.level)
        log.setLevel(logging.ERROR)
        for module in modes:
            module.training = training
        try:
            yield
        finally:
            for module, before in modes.items():
                module.training = before
            with torch.no_grad():
                for name, buffer in model.named_buffers():
                    if name in buffers and not torch.equal(buffer, buffers[name]):
                        buffer.copy_(buffers[name])


@contextlib.contextmanager
def plain_dropout(model: torch.nn.Module) -> Iterator[None]:
    """Dropout of channels as Dropout of a mask: the exporter makes it of random numbers, which eval() would draw too."""
    changed = [module for module in model.modules() if type(module) in _CHANNEL_DROPOUT]
    for module in changed:
        module.forward = _mask_channels(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _mask_channels(module: torch.nn.Module):
    spatial = {torch.nn.Dropout1d: 1, torch.nn.Dropout2d: 2, torch.nn.Dropout3d: 3}[type(module)]

    def forward(x: torch.Tensor) -> torch.Tensor:
        mask = torch.ones_like(x[(..., *[slice(0, 1)] * spatial)])
        return x * torch.nn.functional.dropout(mask, module.p, module.training)

    return forward


def share_statistics(graph) -> None:
    """A batch norm that is called again goes on with its own statistics, of which the exporter gives it copies."""
    for node in graph:
        if node.op_type != "BatchNormalization":
            continue
        for index in (3, 4):
            copy = node.inputs[index].producer()
            if copy is not None and copy.op_type == "Identity":
                node.replace_input_with(index, copy.inputs[0])


def difference(own: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    """The largest distance of floats, as a part of the largest value; infinite where the shapes differ."""
    largest = 0.0
    for a, b in zip(own, theirs, strict=False):
        if a.shape != b.shape:
            return float("inf")
        if b.numel() and b.is_floating_point() and b.isfinite().all():
            distance = (a.double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1e-6)
            largest = max(largest, distance.item())
    return largest if len(own) == len(theirs) else float("inf")
