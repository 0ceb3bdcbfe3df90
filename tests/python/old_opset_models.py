"""Small models in the forms that operators had in opsets 7 to 12, and some newer ones that changed again."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(opset, nodes, inputs, outputs, constants=(), domains=()):
    """`inputs`: {name: array}; `outputs`: names; `constants`: {name: array}."""
    graph = helper.make_graph(
        nodes,
        "old",
        [value(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in inputs.items()],
        [value(n, dtype, None) for n, dtype in (o if isinstance(o, tuple) else (o, FLOAT) for o in outputs)],
        [numpy_helper.from_array(a, n) for n, a in dict(constants).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    built = helper.make_model(
        graph,
        opset_imports=imports,
        ir_version=max(4, helper.find_min_ir_version_for(imports, ignore_unknown=True)),
    )
    # The checker wants shapes of outputs.
    for output, inferred in zip(
        built.graph.output, onnx.shape_inference.infer_shapes(built).graph.output, strict=True
    ):
        output.CopyFrom(inferred)
    return built


def simple(op, opset, shape=(2, 3, 4), outputs=("y",), constants=(), more=(), dtype=np.float32, **attributes):
    """One node on x (and further inputs: constants in their order)."""
    rng = np.random.default_rng(len(op) + opset)
    x = (rng.standard_normal(shape) * 3).astype(dtype)
    names = ["x", *dict(constants), *more]
    node = helper.make_node(
        op, names, [o[0] if isinstance(o, tuple) else o for o in outputs], name=op, **attributes
    )
    return model(opset, [node], {"x": x}, outputs, constants), {"x": x}


def batch_norm(opset, shape, per_element, **attributes):
    rng = np.random.default_rng(1)
    size = shape[1:] if per_element else shape[1:2]
    statistics = {n: rng.standard_normal(size).astype(np.float32) for n in ("scale", "bias", "mean")}
    statistics["var"] = rng.random(size).astype(np.float32) + 0.5
    return simple("BatchNormalization", opset, shape, constants=statistics, **attributes)


def scan_of_batch():
    body = helper.make_graph(
        [helper.make_node("Add", ["state", "item"], ["sum"]), helper.make_node("Relu", ["sum"], ["out"])],
        "body",
        [value("state", FLOAT, [3]), value("item", FLOAT, [3])],
        [value("sum", FLOAT, [3]), value("out", FLOAT, [3])],
    )
    node = helper.make_node(
        "Scan", ["", "start", "x"], ["last", "all"], name="scan", body=body, num_scan_inputs=1, directions=[1]
    )
    rng = np.random.default_rng(3)
    feeds = {
        "start": rng.standard_normal((2, 3)).astype(np.float32),
        "x": rng.standard_normal((2, 5, 3)).astype(np.float32),
    }
    return model(8, [node], feeds, ["last", "all"]), feeds


def branches():
    """Old forms in the branches of an If, with values of the graph around them."""
    clip = helper.make_graph(
        [helper.make_node("Clip", ["x"], ["a"], min=-1.0, max=0.5)], "then", [], [value("a", FLOAT, [2, 3])]
    )
    squeeze = helper.make_graph(
        [
            helper.make_node("Unsqueeze", ["x"], ["u"], axes=[0]),
            helper.make_node("ReduceSum", ["u"], ["b"], axes=[0], keepdims=0),
        ],
        "else",
        [],
        [value("b", FLOAT, [2, 3])],
    )
    node = helper.make_node("If", ["c"], ["y"], name="if", then_branch=clip, else_branch=squeeze)
    feeds = {"c": np.array(False), "x": np.arange(-3, 3, dtype=np.float32).reshape(2, 3)}
    return model(10, [node], feeds, ["y"]), feeds


def in_a_row():
    """A small network whose every node changes."""
    rng = np.random.default_rng(5)
    weight = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Pad", ["x"], ["p"], name="pad", pads=[0, 0, 1, 1, 0, 0, 1, 1], value=0.25),
        helper.make_node("Conv", ["p", "w"], ["c"], name="conv"),
        helper.make_node("Clip", ["c"], ["r"], name="clip", min=0.0, max=6.0),
        helper.make_node("Upsample", ["r", "scales"], ["u"], name="up", mode="nearest"),
        helper.make_node("Slice", ["u"], ["s"], name="slice", starts=[1, 1], ends=[5, 100], axes=[2, 3]),
        helper.make_node("Dropout", ["s"], ["d"], name="drop", ratio=0.3),
        helper.make_node("Softmax", ["d"], ["y"], name="softmax"),
    ]
    feeds = {"x": rng.standard_normal((1, 3, 6, 6)).astype(np.float32)}
    constants = {"w": weight, "scales": np.array([1, 1, 2, 2], np.float32)}
    return model(9, nodes, feeds, ["y"], constants), feeds


def old_models():
    """{name: (model, feeds)}"""
    i64 = lambda *values: np.array(values, np.int64)
    f32 = lambda *values: np.array(values, np.float32)
    positive = {"x": np.random.default_rng(7).random((2, 3, 4)).astype(np.float32)}
    rnn = {
        "w": np.random.default_rng(8).standard_normal((1, 20, 4)).astype(np.float32),
        "r": np.random.default_rng(9).standard_normal((1, 20, 5)).astype(np.float32),
    }
    models = {
        "clip": simple("Clip", 7, min=-1.0, max=1.5),
        "clip_min": simple("Clip", 10, min=-0.5),
        "dropout_7": simple("Dropout", 7, ratio=0.4),
        "pad_constant": simple("Pad", 7, pads=[0, 1, 0, 1, 0, 2], value=-2.0),
        "pad_reflect": simple("Pad", 10, mode="reflect", pads=[0, 1, 1, 0, 1, 2]),
        "slice": simple("Slice", 7, starts=[0, 1], ends=[2, -1], axes=[1, 2]),
        "slice_all_axes": simple("Slice", 9, starts=[0, 1, 1], ends=[1, 100, 3]),
        "top_k_1": simple("TopK", 7, outputs=["y", ("i", INT64)], k=2, axis=1),
        "top_k_10": simple("TopK", 10, outputs=["y", ("i", INT64)], constants={"k": i64(3)}),
        "upsample_7": simple("Upsample", 7, (1, 2, 3, 4), mode="nearest", scales=[1.0, 1.0, 2.0, 3.0]),
        "upsample_7_linear": simple("Upsample", 7, (1, 2, 3, 4), mode="linear", scales=[1.0, 1.0, 2.0, 2.0]),
        "upsample_9": simple("Upsample", 9, (1, 2, 3, 4), constants={"s": f32(1, 1, 2, 2)}, mode="linear"),
        "resize_10_up": simple("Resize", 10, (1, 2, 3, 4), constants={"s": f32(1, 1, 2, 1.5)}),
        "resize_10_down": simple("Resize", 10, (1, 1, 2, 4), constants={"s": f32(1, 1, 0.6, 0.6)}),
        "resize_10_linear": simple(
            "Resize", 10, (1, 2, 3, 4), constants={"s": f32(1, 1, 2, 2)}, mode="linear"
        ),
        "softmax_default": simple("Softmax", 7),
        "softmax_axis_0": simple("Softmax", 9, axis=0),
        "softmax_last": simple("Softmax", 11, axis=-1),
        "log_softmax": simple("LogSoftmax", 12, axis=1),
        "hardmax": simple("Hardmax", 7, axis=1),
        "squeeze": simple("Squeeze", 7, (1, 3, 1), axes=[0]),
        "squeeze_all": simple("Squeeze", 11, (1, 3, 1)),
        "unsqueeze": simple("Unsqueeze", 11, axes=[0, -1]),
        "split": simple("Split", 7, (2, 6), outputs=["a", "b"], axis=1, split=[2, 4]),
        "split_equal": simple("Split", 11, (2, 6), outputs=["a", "b", "c"], axis=-1),
        "batch_norm": batch_norm(7, (2, 3, 4), False),
        "batch_norm_spatial": batch_norm(7, (2, 3, 4), False, spatial=1),
        "batch_norm_elements": batch_norm(7, (2, 3, 4), True, spatial=0),
        "batch_norm_9": batch_norm(9, (2, 3, 4, 4), False, epsilon=0.01),
        "sum_broadcast": simple("Sum", 8, constants={"b": f32(1, 2, 3, 4)}),
        "max_broadcast": simple("Max", 8, constants={"b": f32(0, 1, 2, 3)}),
        "greater": simple("Greater", 7, outputs=[("y", BOOL)], constants={"b": f32(0)}),
        "gemm": simple(
            "Gemm", 7, (2, 3), constants={"b": np.ones((3, 4), np.float32), "c": f32(1, 2, 3, 4)}, alpha=0.5
        ),
        "max_pool": simple("MaxPool", 7, (1, 2, 6, 6), kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        "max_pool_indices": simple("MaxPool", 8, (1, 2, 6), outputs=["y", ("i", INT64)], kernel_shape=[2]),
        "average_pool": simple(
            "AveragePool", 10, (1, 2, 7), kernel_shape=[3], strides=[2], ceil_mode=1, pads=[1, 0]
        ),
        "conv_transpose_shape": simple(
            "ConvTranspose",
            7,
            (1, 1, 3, 3),
            constants={"w": np.ones((1, 2, 3, 3), np.float32)},
            strides=[3, 2],
            output_shape=[10, 8],
        ),
        "lstm": simple("LSTM", 7, (3, 2, 4), outputs=["y", "h", "c"], constants=rnn, hidden_size=5),
        "gather": simple("Gather", 7, constants={"i": i64(0, 2)}, axis=1),
        "scatter": simple(
            "Scatter", 9, (3, 3), constants={"i": i64(1, 0, 2).reshape(1, 3), "u": f32(9, 8, 7).reshape(1, 3)}
        ),
        "scan_of_batch": scan_of_batch(),
        "branches": branches(),
        "in_a_row": in_a_row(),
        "arg_max": simple("ArgMax", 7, outputs=[("y", INT64)], axis=1, keepdims=0),
        "flatten": simple("Flatten", 7, axis=2),
        "depth_to_space": simple("DepthToSpace", 7, (1, 8, 2, 3), blocksize=2),
        "cast": simple("Cast", 7, outputs=[("y", INT64)], to=INT64),
        "p_relu": simple("PRelu", 7, (2, 3), constants={"s": f32(0.1, 0.2, 0.3)}),
        "quantize": simple(
            "QuantizeLinear",
            10,
            outputs=[("y", TensorProto.UINT8)],
            constants={"s": np.array(0.1, np.float32), "z": np.array(128, np.uint8)},
        ),
        "group_norm": simple(
            "GroupNormalization", 18, (2, 4, 3), constants={"s": f32(1.5, -2), "b": f32(1, 3)}, num_groups=2
        ),
        "grid_sample": simple(
            "GridSample",
            16,
            (1, 1, 3, 3),
            constants={"g": f32(*np.linspace(-1, 1, 8)).reshape(1, 2, 2, 2)},
            mode="bicubic",
        ),
        "roi_align": simple(
            "RoiAlign",
            10,
            (1, 1, 6, 6),
            constants={"rois": f32(0, 0, 4, 5).reshape(1, 4), "batch": i64(0)},
            output_height=2,
            output_width=2,
        ),
        "dft": simple("DFT", 17, (1, 5, 4, 1), axis=2),
        "split_13": simple("Split", 13, (2, 6), outputs=["a", "b", "c"], axis=1),
    }
    for op in ("Sum", "Mean", "L1", "L2", "LogSum", "LogSumExp", "Max", "Min", "Prod", "SumSquare"):
        for opset, axes in ((7, [1]), (11, [-1, 0]), (13, None)):
            if op == "Sum" and opset == 13:
                continue
            attributes = {} if axes is None else {"axes": axes}
            built, _ = simple(f"Reduce{op}", opset, keepdims=opset % 2, **attributes)
            models[f"reduce_{op}_{opset}"] = (built, positive)
    return models
