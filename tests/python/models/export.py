"""The usual ways from PyTorch to ONNX."""

import copy

import torch
from torch.fx.experimental.optimization import fuse


def _dynamic_shapes(case):
    shapes = []
    dims = {}
    for spec in case.inputs.values():
        axes = {}
        for axis, name in spec.dynamic().items():
            step = case.multiples.get(name, 1)
            if name not in dims:
                dims[name] = (
                    torch.export.Dim(f"{name}_{step}", min=1) * step if step > 1 else torch.export.Dim(name)
                )
            axes[axis] = dims[name]
        shapes.append(axes)
    return tuple(shapes)


def _dynamo(case, model, example, path, **options):
    torch.onnx.export(
        model,
        example,
        path,
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=list(case.inputs),
        output_names=list(case.outputs),
        dynamic_shapes=_dynamic_shapes(case),
        **options,
    )


def preserving(case, model, example, path):
    """Keeps batch norm, dropout and the module's own names."""
    _dynamo(case, model.train(), example, path, optimize=False)
    return model


def folded(case, model, example, path):
    """As most people do: batch norm is folded into convolutions, and a tied matrix that is used transposed becomes
    another one. PyTorch must do the same to follow."""
    _dynamo(case, model.eval(), example, path)
    if case.tied:
        head = model.model.lm_head
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
    return fuse(copy.deepcopy(model)) if case.norm else model


def torchscript(case, model, example, path):
    """The older exporter, which merges initializers that are equal when the file is written."""
    torch.onnx.export(
        model.train(),
        example,
        path,
        dynamo=False,
        training=torch.onnx.TrainingMode.TRAINING,
        do_constant_folding=False,
        input_names=list(case.inputs),
        output_names=list(case.outputs),
        dynamic_axes={name: spec.dynamic() for name, spec in case.inputs.items()},
        opset_version=17,
    )
    return model


WAYS = {"preserving": preserving, "folded": folded, "torchscript": torchscript}
