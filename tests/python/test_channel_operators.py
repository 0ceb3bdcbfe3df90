"""Structured pruning operator by operator: small graphs as text are cut at random, run here and on ONNX Runtime, and
equal the masked graph (tests/tools/channel_cuts.cpp)."""

import json
import subprocess

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from models.running import BUILD

PROGRAM = BUILD / "tests" / "channel_cuts"
CUTS = 16

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built")

# Name: signature, body, shapes of weights (or their values), the members that each group's channels own as
# "weight:axis*positions", and whether the groups are exact. `x` and other float inputs are random, `ids` whole numbers.
TOKENS = "(float[n,3,8] x) => (float[n,3,5] y)"
IMAGE = "(float[n,3,6,6] x) => (float[n,2,6,6] y)"
IDS = "(int32[n,3] ids) => (float[n,3,2] y)"
QKV = """
    q = MatMul (x, wq)
    k = MatMul (x, wk)
    v = MatMul (x, wv)"""

CASES = {
    "attention": (
        TOKENS,
        QKV + "a = Attention <q_num_heads = 4, kv_num_heads = 2> (q, k, v) y = MatMul (a, wo)",
        {"wq": (8, 8), "wk": (8, 4), "wv": (8, 4), "wo": (8, 5)},
        [["wq:1*4", "wk:1*2", "wv:1*2", "wo:0*4"]],
        True,
    ),
    "multi_head_attention": (
        TOKENS,
        QKV + "a = com.microsoft.MultiHeadAttention <num_heads = 4> (q, k, v, bias) y = MatMul (a, wo)",
        {"wq": (8, 8), "wk": (8, 8), "wv": (8, 12), "bias": (28,), "wo": (12, 5)},
        [["wq:1*2", "wk:1*2", "wv:1*3", "bias:0*7", "wo:0*3"]],
        True,
    ),
    "packed_attention": (
        TOKENS,
        "a = com.microsoft.Attention <num_heads = 3> (x, w, bias) y = MatMul (a, wo)",
        {"w": (8, 18), "bias": (18,), "wo": (6, 5)},
        [["w:1*6", "bias:0*6", "wo:0*2"]],
        True,
    ),
    "packed_attention_of_other_values": (
        TOKENS,
        """h = MatMul (x, stem)
        a = com.microsoft.Attention <num_heads = 2, qkv_hidden_sizes = [6, 6, 8]> (h, w, bias)
        y = MatMul (a, wo)""",
        {"stem": (8, 5), "w": (5, 20), "bias": (20,), "wo": (8, 5)},
        [["stem:1*1", "w:0*1"], ["w:1*10", "bias:0*10", "wo:0*4"]],
        True,
    ),
    "group_query_attention": (
        "(float[n,3,8] x, int32[n] lengths, int32 total) => (float[n,3,5] y)",
        QKV
        + """a, pk, pv = com.microsoft.GroupQueryAttention <num_heads = 4, kv_num_heads = 2>
            (q, k, v, , , lengths, total)
        y = MatMul (a, wo)""",
        {"wq": (8, 32), "wk": (8, 16), "wv": (8, 16), "wo": (32, 5)},
        [["wq:1*16", "wk:1*8", "wv:1*8", "wo:0*16"]],
        True,
    ),
    "packed_group_query_attention": (
        "(float[n,3,8] x, int32[n] lengths, int32 total) => (float[n,3,5] y)",
        """q = MatMul (x, w)
        a, pk, pv = com.microsoft.GroupQueryAttention <num_heads = 6, kv_num_heads = 3> (q, , , , , lengths, total)
        y = MatMul (a, wo)""",
        {"w": (8, 96), "wo": (48, 5)},
        [["w:1*32", "wo:0*16"]],
        True,
    ),
    "skip_layer_norm": (
        TOKENS,
        """a = MatMul (x, wa)
        b = MatMul (x, wb)
        s, , , sum = com.microsoft.SkipLayerNormalization (a, b, scale, shift, bias)
        r = Add (s, sum)
        y = MatMul (r, wo)""",
        {"wa": (8, 6), "wb": (8, 6), "scale": (6,), "shift": (6,), "bias": (6,), "wo": (6, 5)},
        [["wa:1*1", "wb:1*1", "scale:0*1", "shift:0*1", "bias:0*1", "wo:0*1"]],
        False,
    ),
    "skip_simplified_layer_norm": (
        TOKENS,
        """a = MatMul (x, wa)
        b = MatMul (x, wb)
        s = com.microsoft.SkipSimplifiedLayerNormalization (a, b, scale)
        y = MatMul (s, wo)""",
        {"wa": (8, 6), "wb": (8, 6), "scale": (6,), "wo": (6, 5)},
        [["wa:1*1", "wb:1*1", "scale:0*1", "wo:0*1"]],
        False,
    ),
    "embed_layer_norm": (
        IDS,
        """e, mask = com.microsoft.EmbedLayerNormalization (ids, , words, places, , scale, shift)
        y = MatMul (e, wo)""",
        {"words": (9, 6), "places": (4, 6), "scale": (6,), "shift": (6,), "wo": (6, 2)},
        [["words:1*1", "places:1*1", "scale:0*1", "shift:0*1", "wo:0*1"]],
        False,
    ),
    "biased_activations": (
        TOKENS,
        """a = MatMul (x, wa)
        g = com.microsoft.BiasGelu (a, bias)
        b = MatMul (g, wb)
        f = com.microsoft.FastGelu (b, shift)
        y = MatMul (f, wo)""",
        {"wa": (8, 6), "bias": (6,), "wb": (6, 4), "shift": (4,), "wo": (4, 5)},
        [["wa:1*1", "bias:0*1", "wb:0*1"], ["wb:1*1", "shift:0*1", "wo:0*1"]],
        True,
    ),
    "fused_products": (
        "(float[n,8] x) => (float[n,5] y)",
        """a = com.microsoft.FusedMatMul <transB = 1, alpha = 0.5> (x, wa)
        b = com.microsoft.FusedGemm <activation = "Relu", transB = 1> (a, wb, bias)
        y = MatMul (b, wo)""",
        {"wa": (6, 8), "wb": (4, 6), "bias": (4,), "wo": (4, 5)},
        [["wa:0*1", "wb:1*1"], ["wb:0*1", "bias:0*1", "wo:0*1"]],
        True,
    ),
    "grouped_and_transposed_convolution": (
        "(float[n,3,6,6] x) => (float[n,2,12,12] y)",
        """a = Conv <kernel_shape = [1,1]> (x, wa)
        g = Conv <kernel_shape = [3,3], pads = [1,1,1,1], group = 4> (a, wg, bias)
        t = ConvTranspose <kernel_shape = [2,2], strides = [2,2]> (g, wt, shift)
        y = Conv <kernel_shape = [1,1]> (t, wo)""",
        {
            "wa": (8, 3, 1, 1),
            "wg": (12, 2, 3, 3),
            "bias": (12,),
            "wt": (12, 5, 2, 2),
            "shift": (5,),
            "wo": (2, 5, 1, 1),
        },
        [["wa:0*2", "wg:0*3", "bias:0*3", "wt:0*3"], ["wt:1*1", "shift:0*1", "wo:1*1"]],
        True,
    ),
    "norms_of_images": (
        IMAGE,
        """a = Conv <kernel_shape = [1,1]> (x, wa)
        i = InstanceNormalization (a, iscale, ishift)
        p = PRelu (i, slope)
        b = Conv <kernel_shape = [1,1]> (p, wb)
        g = GroupNormalization <num_groups = 4> (b, gscale, gshift)
        y = Conv <kernel_shape = [1,1]> (g, wo)""",
        {
            "wa": (6, 3, 1, 1),
            "iscale": (6,),
            "ishift": (6,),
            "slope": (6, 1, 1),
            "wb": (8, 6, 1, 1),
            "gscale": (8,),
            "gshift": (8,),
            "wo": (2, 8, 1, 1),
        },
        [
            ["wa:0*1", "iscale:0*1", "ishift:0*1", "slope:0*1", "wb:1*1"],
            ["wb:0*2", "gscale:0*2", "gshift:0*2", "wo:1*2"],
        ],
        True,
    ),
    "split_slice_and_concat": (
        IMAGE,
        """a = Conv <kernel_shape = [1,1]> (x, wa)
        p, q = Split <axis = 1> (a, sizes)
        l = Slice (a, first, last, axis)
        r = Concat <axis = 1> (q, p, l)
        y = Conv <kernel_shape = [1,1]> (r, wo)""",
        {
            "wa": (7, 3, 1, 1),
            "sizes": np.array([3, 4]),
            "first": np.array([1]),
            "last": np.array([6]),
            "axis": np.array([1]),
            "wo": (2, 12, 1, 1),
        },
        [["wa:0*1", "wo:1*1"], ["wa:0*1", "wo:1*2"]],  # the outer two are not in the slice
        True,
    ),
    "tied_embedding": (
        "(int32[n,3] ids) => (float[n,3,9] y)",
        """e = Gather (table, ids)
        h = MatMul (e, up)
        r = Relu (h)
        d = MatMul (r, down)
        s = Add (e, d)
        t = Transpose <perm = [1,0]> (table)
        y = MatMul (s, t)""",
        {"table": (9, 6), "up": (6, 10), "down": (10, 6)},
        [["table:1*1", "up:0*1", "down:1*1"], ["up:1*1", "down:0*1"]],
        True,
    ),
    "reductions": (
        "(float[n,3,6,6] x) => (float[n,2] y)",
        """a = Conv <kernel_shape = [1,1]> (x, wa)
        m = ReduceMean <keepdims = 1> (a, space)
        s = Squeeze (m, space)
        u = Unsqueeze (s, behind)
        t = ReduceMax <keepdims = 0> (u, behind)
        y = MatMul (t, wo)""",
        {"wa": (6, 3, 1, 1), "space": np.array([2, 3]), "behind": np.array([2]), "wo": (6, 2)},
        [["wa:0*1", "wo:0*1"]],
        True,
    ),
    "lstm": (
        "(float[5,n,3] x) => (float[5,n,2] y)",
        """h, hl, cl = LSTM <hidden_size = 4> (x, w, r, b)
        s = Squeeze (h, one)
        y = MatMul (s, wo)""",
        {"w": (1, 16, 3), "r": (1, 16, 4), "b": (1, 32), "one": np.array([1]), "wo": (4, 2)},
        [["w:1*4", "r:1*4", "r:2*1", "b:1*8", "wo:0*1"]],
        True,
    ),
    "gru": (
        "(float[5,n,3] x) => (float[5,n,2] y)",
        """h = GRU <hidden_size = 4, linear_before_reset = 1> (x, w, r, b)
        s = Squeeze (h, one)
        y = MatMul (s, wo)""",
        {"w": (1, 12, 3), "r": (1, 12, 4), "b": (1, 24), "one": np.array([1]), "wo": (4, 2)},
        [["w:1*3", "r:1*3", "r:2*1", "b:1*6", "wo:0*1"]],
        True,
    ),
    "rotary_and_rms_norm": (
        "(float[n,4,3,8] x) => (float[n,4,3,5] y)",
        """a = MatMul (x, wa)
        m = RMSNormalization <axis = -1> (a, scale)
        y = MatMul (m, wo)""",
        {"wa": (8, 6), "scale": (6,), "wo": (6, 5)},
        [["wa:1*1", "scale:0*1", "wo:0*1"]],
        False,
    ),
}
OPSETS = {"attention": 23, "rotary_and_rms_norm": 23, "norms_of_images": 21}


def write_model(path, name, signature, body, weights):
    text = f"""<ir_version: 10, opset_import: ["" : {OPSETS.get(name, 17 if name != "reductions" else 18)},
        "com.microsoft" : 1]> net {signature} {{ {body} }}"""
    model = onnx.parser.parse_model(text)
    random = np.random.default_rng(3)
    for weight, value in weights.items():
        if isinstance(value, tuple):
            value = random.normal(size=value).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, weight))
    onnx.save(model, path)
    return model


def inputs_of(model, rows=2):
    random = np.random.default_rng(5)
    arrays = {}
    for info in model.graph.input:
        shape = [d.dim_value or rows for d in info.type.tensor_type.shape.dim]
        if info.name == "x":
            arrays["x"] = random.normal(size=shape).astype(np.float32)
        elif info.name == "ids":
            arrays["ids"] = random.integers(0, 4, shape).astype(np.int32)
        else:  # all three places, from the first on
            arrays[info.name] = np.full(shape, 2 if info.name == "lengths" else 3, np.int32)
    return arrays


@pytest.mark.parametrize("name", CASES)
def test_cut_equals_masked_and_runs(name, tmp_path):
    signature, body, weights, expected, exact = CASES[name]
    model = write_model(tmp_path / "model.onnx", name, signature, body, weights)
    np.savez(tmp_path / "data.npz", **inputs_of(model))
    command = [PROGRAM, tmp_path / "model.onnx", tmp_path / "data.npz", CUTS, 3, tmp_path]
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    groups = [group for group in result["groups"] if not group["obstacle"]]
    members = [[f"{n}:{axis}*{size}" for n, axis, size in group["members"]] for group in groups]
    assert members == expected
    assert all(group["exact"] == exact for group in groups)
    assert result["worst"] < 1e-5
    assert result["worst_engine"] < 1e-4
    if exact:
        assert result["exact_cuts"] >= CUTS // 2
    assert result["parameters"][1] < result["parameters"][0]
