"""One-node models of Microsoft's operators, several for each: (name, node attributes, inputs, outputs, tolerance).

An input is an array, None where it is omitted, or Fixed(array) where the model holds it as an initializer.
"""

import dataclasses

import ml_dtypes
import numpy as np

MICROSOFT = "com.microsoft"


@dataclasses.dataclass
class Fixed:
    array: np.ndarray


@dataclasses.dataclass
class Case:
    name: str
    op_type: str
    inputs: list
    attributes: dict
    outputs: int = 1
    atol: float = 1e-5
    domain: str = MICROSOFT
    skipped_outputs: tuple = ()


class Cases:
    def __init__(self):
        self.all = []
        self.random = np.random.default_rng(11)

    def add(self, op_type, tag, inputs, *, outputs=1, atol=1e-5, domain=MICROSOFT, skip=(), **attributes):
        name = f"{op_type}_{tag}" if domain else f"{op_type}_{tag}_ai_onnx"
        assert name not in {case.name for case in self.all}, name
        self.all.append(Case(name, op_type, inputs, attributes, outputs, atol, domain, skip))

    def real(self, *dims):
        return self.random.standard_normal(dims).astype(np.float32)

    def codes(self, dtype, *dims):
        info = np.iinfo(dtype)
        return self.random.integers(info.min, info.max + 1, dims).astype(dtype)


def scalar(value, dtype=np.float32):
    return np.array(value, dtype)


def activations(c):
    x, bias = c.real(2, 3, 8), c.real(8)
    c.add("Gelu", "plain", [x])
    c.add("FastGelu", "plain", [x])
    c.add("FastGelu", "bias", [x, bias])
    c.add("BiasGelu", "plain", [x, bias])
    c.add("QuickGelu", "default", [x])
    c.add("QuickGelu", "alpha", [x], alpha=0.7)


def norms(c):
    x, skip, gamma, beta, bias = c.real(2, 3, 8), c.real(2, 3, 8), c.real(8), c.real(8), c.real(8)
    c.add("SkipLayerNormalization", "plain", [x, skip, gamma], epsilon=1e-5)
    c.add("SkipLayerNormalization", "all", [x, skip, gamma, beta, bias], outputs=4, skip=(1, 2), epsilon=1e-3)
    c.add("SkipLayerNormalization", "bias", [x, skip, gamma, None, bias])
    c.add("SkipLayerNormalization", "one_skip", [x, skip[:1], gamma, beta])
    c.add("SkipLayerNormalization", "matrix_skip", [x, skip[0], gamma, beta])
    c.add("SkipLayerNormalization", "flat", [x[0], skip[0], gamma, beta])
    c.add("SkipSimplifiedLayerNormalization", "plain", [x, skip, gamma], epsilon=1e-5)
    c.add("SkipSimplifiedLayerNormalization", "all", [x, skip, gamma, bias], outputs=4, skip=(1, 2))
    simplified = {"domain": "", "epsilon": 1e-3}
    c.add("SimplifiedLayerNormalization", "plain", [x, gamma], axis=-1, **simplified)
    c.add("SimplifiedLayerNormalization", "axis", [x, c.real(3, 8)], axis=1, **simplified)
    c.add("LayerNormalization", "old", [x, gamma, beta], domain="", axis=-1)
    ids, segments = np.array([[1, 4, 0], [2, 2, 3]], np.int32), np.array([[0, 0, 1], [1, 1, 1]], np.int32)
    words, positions, kinds = c.real(6, 8), c.real(5, 8), c.real(2, 8)
    mask = np.array([[1, 1, 0], [1, 1, 1]], np.int32)
    embed = "EmbedLayerNormalization"
    c.add(embed, "plain", [ids, segments, words, positions, kinds, gamma, beta], outputs=2)
    c.add(embed, "mask", [ids, segments, words, positions, kinds, gamma, beta, mask], outputs=2, epsilon=1e-3)
    c.add(embed, "no_segments", [ids, None, words, positions, None, gamma, beta, mask], outputs=2)
    places = np.array([[4, 0, 1], [1, 1, 2]], np.int32)
    c.add(embed, "sum", [ids, segments, words, positions, kinds, gamma, beta, mask, places], outputs=3)


def products(c):
    a, b = c.real(2, 3, 4), c.real(2, 4, 5)
    for op in ("FusedMatMul", "TransposeMatMul"):
        c.add(op, "plain", [a, b], alpha=0.5)
        c.add(op, "turned", [a.swapaxes(1, 2).copy(), b.swapaxes(1, 2).copy()], transA=1, transB=1)
        c.add(op, "shared", [a, Fixed(c.real(5, 4))], transB=1)
    c.add("FusedMatMul", "batch", [c.real(3, 2, 4), c.real(4, 2, 5)], transBatchA=1, transBatchB=1)
    both = {"transBatchA": 1, "transA": 1, "alpha": 2.0}
    c.add("FusedMatMul", "batch_turned", [c.real(4, 2, 3), c.real(2, 4, 5)], **both)
    m, n, bias = c.real(3, 4), c.real(4, 5), c.real(5)
    for name in ("Relu", "Tanh", "Sigmoid", "Softplus", "Softsign"):
        c.add("FusedGemm", name.lower(), [m, n, bias], activation=name)
    c.add("FusedGemm", "leaky", [m, n], activation="LeakyRelu", activation_alpha=0.3, alpha=0.5)
    scaled = {"activation_alpha": 0.3, "activation_beta": 0.4, "beta": 0.5, "transB": 1}
    c.add("FusedGemm", "hard_sigmoid", [m, n.T.copy(), bias], activation="HardSigmoid", **scaled)
    x, w, cb = c.real(1, 4, 6, 6), c.real(4, 4, 3, 3), c.real(4)
    same = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    c.add("FusedConv", "relu", [x, w, cb], activation="Relu", **same)
    c.add("FusedConv", "residual", [x, w, cb, c.real(1, 4, 6, 6)], activation="Relu", **same)
    c.add("FusedConv", "clip", [x, w, None], activation="Clip", activation_params=[-0.5, 1.0], strides=[2, 2])
    c.add("FusedConv", "leaky", [x, w], activation="LeakyRelu", activation_params=[0.2])
    c.add("FusedConv", "group", [x, c.real(4, 2, 3, 3), cb], activation="Tanh", group=2)
    hard = {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]}
    c.add("FusedConv", "hard_sigmoid", [x, w, cb], **hard)


def blocks(c):
    k, n, size = 40, 6, 16
    count = -(-k // size)
    a, bias = c.real(2, 3, k), c.real(n)
    for bits in (2, 4, 8):
        b, scales = c.codes(np.uint8, n, count, size * bits // 8), c.real(n, count)
        row = -(-count * bits // 8)
        shape = {"K": k, "N": n, "bits": bits, "block_size": size}
        c.add("MatMulNBits", f"bits{bits}", [a, Fixed(b), Fixed(scales)], atol=1e-4, **shape)
        zero = Fixed(c.codes(np.uint8, n, row))
        c.add("MatMulNBits", f"bits{bits}_zero", [a, Fixed(b), Fixed(scales), zero], atol=1e-4, **shape)
        with_bias = [a, Fixed(b), Fixed(scales), None, None, Fixed(bias)]
        c.add("MatMulNBits", f"bits{bits}_bias", with_bias, atol=1e-4, **shape)
    shape = {"K": k, "N": n, "bits": 4, "block_size": size}
    b, scales = c.codes(np.uint8, n, count, size // 2), c.real(n, count)
    c.add("MatMulNBits", "fed", [a, b, scales], atol=1e-4, **shape)
    c.add("MatMulNBits", "flat_scales", [a, Fixed(b), Fixed(scales.reshape(-1))], atol=1e-4, **shape)
    group = (np.arange(k) % count).astype(np.int32)
    c.add("MatMulNBits", "g_idx", [a, Fixed(b), Fixed(scales), None, Fixed(group)], atol=1e-4, **shape)
    zero = c.random.integers(0, 16, (n, count)).astype(np.float32)
    c.add("MatMulNBits", "float_zero", [a, Fixed(b), Fixed(scales), Fixed(zero)], atol=1e-4, **shape)
    gather = "GatherBlockQuantized"
    index = np.array([[3, 0], [2, -1]], np.int64)
    scale = c.real(5, 3)
    for bits in (4, 8):
        data = c.codes(np.uint8, 5, 48 * bits // 8)
        common = {"block_size": 16, "bits": bits, "gather_axis": 0, "quantize_axis": 1}
        c.add(gather, f"bytes{bits}", [Fixed(data), index, Fixed(scale)], **common)
        zero = Fixed(c.codes(np.uint8, 5, -(-3 * bits // 8)))
        c.add(gather, f"bytes{bits}_zero", [Fixed(data), index, Fixed(scale), zero], **common)
    for dtype in (ml_dtypes.int4, ml_dtypes.uint4):
        low = -8 if dtype == ml_dtypes.int4 else 0
        data = c.random.integers(low, low + 16, (5, 4, 32)).astype(dtype)
        scale = c.real(5, 4, 2)
        zero = c.random.integers(low, low + 16, (5, 4, 2)).astype(dtype)
        name = np.dtype(dtype).name
        common = {"block_size": 16, "gather_axis": 0, "quantize_axis": 2}
        c.add(gather, name, [Fixed(data), index, Fixed(scale)], **common)
        c.add(gather, f"{name}_zero", [Fixed(data), index, Fixed(scale), Fixed(zero)], **common)


def quantized(c):
    for dtype in (np.uint8, np.int8):
        name = np.dtype(dtype).name
        zero = [scalar(v, dtype) for v in ((120, 3, 131) if dtype == np.uint8 else (-3, 20, 5))]
        sa, sb, sy = scalar(0.02), scalar(0.03), scalar(0.05)
        a, b = c.codes(dtype, 2, 4, 6, 6), c.codes(dtype, 4, 1, 6)
        for op in ("QLinearAdd", "QLinearMul"):
            c.add(op, name, [a, sa, zero[0], b, sb, zero[1], sy, zero[2]], atol=1)
        c.add(
            "QLinearSigmoid",
            name,
            [a, Fixed(sa), Fixed(zero[0]), Fixed(scalar(1 / 256)), Fixed(zero[1])],
            atol=1,
        )
        one = [a, Fixed(sa), Fixed(zero[0]), Fixed(sy), Fixed(zero[2])]
        c.add("QLinearLeakyRelu", name, one, atol=1, alpha=0.2)
        soft = [a, Fixed(sa), Fixed(zero[0]), Fixed(scalar(1 / 128)), Fixed(zero[1])]
        c.add("QLinearSoftmax", f"{name}_new", soft, atol=1, axis=-1, opset=13)
        c.add("QLinearSoftmax", f"{name}_old", soft, atol=1, axis=1, opset=11)
        c.add("QLinearGlobalAveragePool", name, one, atol=1)
        c.add("QLinearGlobalAveragePool", f"{name}_last", one, atol=1, channels_last=1)
        window = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
        c.add("QLinearAveragePool", name, one, atol=1, **window)
        c.add("QLinearAveragePool", f"{name}_counted", one, atol=1, count_include_pad=1, **window)
        c.add("QLinearAveragePool", f"{name}_last", one, atol=1, channels_last=1, **window)
        parts = [
            Fixed(sy),
            Fixed(zero[2]),
            a,
            Fixed(sa),
            Fixed(zero[0]),
            c.codes(dtype, 2, 3, 6, 6),
            Fixed(sb),
            Fixed(zero[1]),
        ]
        c.add("QLinearConcat", name, parts, atol=1, axis=1)
        choice = c.codes(np.uint8, 2, 1, 6, 6) > 127
        where = [choice, a, sa, zero[0], c.codes(dtype, 2, 4, 6, 6), sb, zero[1], sy, zero[2]]
        c.add("QLinearWhere", name, where, atol=1)
        m, n = c.codes(dtype, 5, 8), c.codes(dtype, 8, 3)
        bias = c.random.integers(-500, 500, 3).astype(np.int32)
        gemm = [m, sa, zero[0], Fixed(n), Fixed(sb), Fixed(zero[1]), Fixed(bias), scalar(0.3), zero[2]]
        c.add("QGemm", name, gemm, atol=1)
        c.add("QGemm", f"{name}_float", gemm[:7], atol=1e-4)
        c.add(
            "QGemm",
            f"{name}_turned",
            [m.T.copy(), *gemm[1:3], Fixed(n.T.copy()), *gemm[4:6], None, *gemm[7:]],
            atol=1,
            transA=1,
            transB=1,
            alpha=0.5,
        )
        per_column = [
            m,
            sa,
            zero[0],
            Fixed(c.codes(np.int8, 8, 3)),
            Fixed(np.abs(c.real(3)) / 50),
            Fixed(np.zeros(3, np.int8)),
        ]
        c.add("QGemm", f"{name}_columns", [*per_column, Fixed(bias), scalar(0.3), zero[2]], atol=1)
        both = [m, Fixed(n), scalar(0.02), scalar(0.03), zero[0], Fixed(zero[1]), Fixed(c.real(3))]
        c.add("MatMulIntegerToFloat", name, both, atol=1e-4)
        c.add("MatMulIntegerToFloat", f"{name}_plain", both[:4], atol=1e-4)
        columns = [m, Fixed(n), scalar(0.02), Fixed(np.abs(c.real(3))), zero[0], Fixed(c.codes(dtype, 3))]
        c.add("MatMulIntegerToFloat", f"{name}_columns", columns, atol=1e-3)
        dynamic = [c.real(2, 5, 8), Fixed(n), Fixed(scalar(0.03)), Fixed(zero[1]), Fixed(c.real(3))]
        c.add("DynamicQuantizeMatMul", name, dynamic, atol=1e-4)
        c.add("DynamicQuantizeMatMul", f"{name}_plain", dynamic[:3], atol=1e-4)
        conv = [
            a,
            sa,
            zero[0],
            Fixed(c.codes(np.int8, 2, 4, 3, 3)),
            Fixed(scalar(0.01)),
            Fixed(scalar(0, np.int8)),
            scalar(0.4),
            zero[2],
        ]
        c.add("QLinearConv", name, conv, atol=1, kernel_shape=[3, 3])
    x = c.real(3, 4) * 3
    for dtype, zero in ((np.uint16, 30000), (np.int16, 5), (np.int8, 3), (np.uint8, 130)):
        name, scale = np.dtype(dtype).name, scalar(0.01 if np.dtype(dtype).itemsize == 1 else 0.0005)
        c.add("QuantizeLinear", name, [x, scale, scalar(zero, dtype)])
        c.add("DequantizeLinear", name, [c.codes(dtype, 3, 4), scale, scalar(zero, dtype)])
        scales, zeros = np.abs(c.real(4)) + np.float32(0.05), np.full(4, zero, dtype)
        c.add("QuantizeLinear", f"{name}_axis", [x, scales, zeros], axis=1)
        c.add("DequantizeLinear", f"{name}_axis", [c.codes(dtype, 3, 4), scales, zeros], axis=1)
    wide = [
        c.random.integers(-300, 300, (3, 4)).astype(np.int16),
        c.random.integers(-300, 300, (4, 2)).astype(np.int16),
    ]
    c.add("MatMulInteger16", "plain", wide)


def attention(c):
    b, s, h, d = 2, 4, 2, 4
    x, w, bias = c.real(b, s, 6), c.real(6, 3 * h * d), c.real(3 * h * d)
    op = "Attention"
    c.add(op, "plain", [x, w, bias], num_heads=h)
    c.add(op, "no_bias", [x, w], num_heads=h)
    c.add(op, "causal", [x, w, bias], num_heads=h, unidirectional=1)
    c.add(op, "scale", [x, w, bias], num_heads=h, scale=0.2)
    flags = np.array([[1, 1, 0, 1], [1, 0, 0, 0]], np.int32)
    c.add(op, "mask_flags", [x, w, bias, flags], num_heads=h)
    c.add(op, "mask_filter", [x, w, bias, flags], num_heads=h, mask_filter_value=-2.0)
    c.add(op, "mask_lengths", [x, w, bias, np.array([3, 2], np.int32)], num_heads=h)
    c.add(op, "mask_ranges", [x, w, bias, np.array([4, 3, 1, 2], np.int32)], num_heads=h)
    each = (c.codes(np.uint8, b, s, s) > 90).astype(np.int32)
    c.add(op, "mask_queries", [x, w, bias, each], num_heads=h)
    c.add(op, "causal_mask", [x, w, bias, flags], num_heads=h, unidirectional=1)
    extra = c.real(b, h, s, s)
    c.add(op, "bias_of_scores", [x, w, bias, None, None, extra], num_heads=h)
    c.add(op, "bias_and_mask", [x, w, bias, flags, None, extra[:1]], num_heads=h)
    c.add(op, "sizes", [x, c.real(6, 2 * 8 + 4), c.real(20)], num_heads=h, qkv_hidden_sizes=[8, 8, 4])
    past = c.real(2, b, h, 3, d)
    c.add(op, "present", [x, w, bias], outputs=2, num_heads=h)
    c.add(op, "past", [x, w, bias, None, past], outputs=2, num_heads=h)
    c.add(op, "past_causal", [x, w, bias, None, past], outputs=2, num_heads=h, unidirectional=1)
    longer = np.array([[1] * 5 + [0, 1], [0, 1, 1, 1, 1, 1, 0]], np.int32)
    c.add(op, "past_mask", [x, w, bias, longer, past], outputs=2, num_heads=h, unidirectional=1)

    op, t = "MultiHeadAttention", 5
    q, k, v, three = c.real(b, s, h * d), c.real(b, t, h * d), c.real(b, t, h * d), c.real(3 * h * d)
    c.add(op, "plain", [q, k, v], num_heads=h)
    c.add(op, "bias", [q, k, v, three], num_heads=h, scale=0.3)
    c.add(op, "value_size", [q, k, c.real(b, t, h * 3)], num_heads=h)
    c.add(op, "packed", [c.real(b, s, h, 3, d)], num_heads=h)
    c.add(op, "packed_keys", [q, c.real(b, t, h, 2, d)], num_heads=h)
    c.add(op, "heads", [q, c.real(b, h, t, d), c.real(b, h, t, d)], num_heads=h)
    c.add(op, "heads_bias", [q, c.real(b, h, t, d), c.real(b, h, t, d), three], num_heads=h)
    seen = np.array([[1, 1, 1, 0, 1], [0, 1, 1, 0, 0]], np.int32)
    c.add(op, "padding_flags", [q, k, v, three, seen], num_heads=h)
    c.add(op, "padding_lengths", [q, k, v, None, np.array([5, 2], np.int32)], num_heads=h)
    queries = (c.codes(np.uint8, b, s, t) > 90).astype(np.int32)
    c.add(op, "padding_queries", [q, k, v, None, queries], num_heads=h)
    c.add(op, "score_bias", [q, k, v, None, None, c.real(b, h, s, t)], num_heads=h)
    c.add(op, "score_bias_shared", [q, k, v, None, seen, c.real(1, 1, s, t)], num_heads=h)
    same = [c.real(b, s, h * d) for _ in range(3)]
    c.add(op, "causal", same, num_heads=h, unidirectional=1)
    c.add(op, "present", same, num_heads=h, outputs=3)
    pasts = [c.real(b, h, 3, d), c.real(b, h, 3, d)]
    c.add(op, "past", [*same, three, None, None, *pasts], num_heads=h, outputs=3)
    c.add(op, "past_causal", [*same, None, None, None, *pasts], num_heads=h, outputs=3, unidirectional=1)

    op = "RotaryEmbedding"
    cosine, sine = c.real(10, d // 2), c.real(10, d // 2)
    flat, split = c.real(b, s, h * d), c.real(b, h, s, d)
    places = np.array([[0, 3, 2, 1], [9, 8, 1, 0]], np.int64)
    for interleaved in (0, 1):
        c.add(op, f"flat{interleaved}", [flat, places, cosine, sine], interleaved=interleaved)
        c.add(
            op, f"offset{interleaved}", [flat, np.array([4], np.int64), cosine, sine], interleaved=interleaved
        )
        c.add(op, f"heads{interleaved}", [split, places, cosine, sine], interleaved=interleaved)
    part = {"rotary_embedding_dim": 2, "num_heads": h}
    c.add(op, "part", [flat, places, cosine[:, :1].copy(), sine[:, :1].copy()], **part)
    group_query(c, b, s, 16)


def group_query(c, b, s, d):
    op, h, g = "GroupQueryAttention", 4, 2
    q, k, v = c.real(b, s, h * d), c.real(b, s, g * d), c.real(b, s, g * d)
    heads = {"num_heads": h, "kv_num_heads": g}
    full = [np.full(b, s - 1, np.int32), scalar(s, np.int32)]
    c.add(op, "prompt", [q, k, v, None, None, *full], outputs=3, **heads)
    c.add(op, "packed", [c.real(b, s, (h + 2 * g) * d), None, None, None, None, *full], outputs=3, **heads)
    c.add(op, "scale", [q, k, v, None, None, *full], outputs=3, scale=0.2, **heads)
    c.add(op, "window", [q, k, v, None, None, *full], outputs=3, local_window_size=2, **heads)
    c.add(op, "softcap", [q, k, v, None, None, *full], outputs=3, softcap=1.5, **heads)
    c.add(op, "smooth", [q, k, v, None, None, *full], outputs=3, smooth_softmax=1, **heads)
    sink = [None, None, None, None, c.real(h)]
    c.add(op, "sink", [q, k, v, None, None, *full, *sink], outputs=3, **heads)
    cosine, sine = c.real(12, d // 2), c.real(12, d // 2)
    for interleaved in (0, 1):
        turn = {"do_rotary": 1, "rotary_interleaved": interleaved}
        c.add(
            op, f"rotary{interleaved}", [q, k, v, None, None, *full, cosine, sine], outputs=3, **turn, **heads
        )
    bias = [None, None, None, c.real(b, h, s, s)]
    c.add(op, "bias", [q, k, v, None, None, *full, *bias], outputs=3, **heads)
    past = [c.real(b, g, 5, d), c.real(b, g, 5, d)]
    one = [c.real(b, 1, h * d), c.real(b, 1, g * d), c.real(b, 1, g * d)]
    grown = [np.full(b, 5, np.int32), scalar(6, np.int32)]
    c.add(op, "token", [*one, *past, *grown], outputs=3, **heads)
    c.add(op, "token_rotary", [*one, *past, *grown, cosine, sine], outputs=3, do_rotary=1, **heads)
    c.add(op, "token_window", [*one, *past, *grown], outputs=3, local_window_size=3, **heads)
    several = [np.full(1, 4 + s, np.int32), scalar(5 + s, np.int32)]
    c.add(op, "continued", [a[:1] for a in (q, k, v, *past)] + several, outputs=3, **heads)
    uneven = [np.array([5, 3], np.int32), scalar(6, np.int32)]
    c.add(op, "token_uneven", [*one, *past, *uneven], outputs=3, **heads)


def tensors(c):
    square = c.real(2, 3, 3) + 3 * np.eye(3, dtype=np.float32)
    c.add("Inverse", "batch", [square], atol=1e-4)
    c.add("Inverse", "one", [square[0]], atol=1e-4)
    for upper in (0, 1):
        c.add("Trilu", f"upper{upper}", [c.real(2, 3, 4)], upper=upper)
        c.add("Trilu", f"shifted{upper}", [c.real(3, 4), scalar(-1, np.int64)], upper=upper)
    for axis in (0, 2, -1):
        c.add("ExpandDims", f"axis{axis}".replace("-", "m"), [c.real(2, 3), Fixed(scalar(axis, np.int32))])
    c.add("ExpandDims", "fed", [c.real(2, 3), scalar(1, np.int32)])
    pads = np.array([1, 0, 2, 1], np.int64)
    c.add("Pad", "constant", [c.real(2, 3), Fixed(pads), Fixed(np.array([1.5], np.float32))])
    for mode in ("reflect", "edge"):
        c.add("Pad", mode, [c.real(3, 4), pads], mode=mode)
    c.add("Unique", "plain", [np.array([2, 1, 1, 3, 4, 3, 2], np.float32)], outputs=3)
    c.add("GatherND", "plain", [c.real(3, 4, 2), np.array([[0, 1], [2, -1]], np.int64)])
    c.add("CDist", "squared", [c.real(4, 3), c.real(5, 3)], atol=1e-4, metric="sqeuclidean")
    c.add("CDist", "euclidean", [c.real(4, 3), c.real(5, 3)], atol=1e-4, metric="euclidean")
    for dtype in (np.uint8, np.int8):
        x = c.codes(dtype, 1, 6, 7, 3)
        window = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
        c.add("NhwcMaxPool", np.dtype(dtype).name, [x], **window)


def other_types(c):
    for dtype, atol in ((np.float16, 4e-3), (np.float64, 1e-7)):
        name = np.dtype(dtype).name

        def real(*dims, dtype=dtype):
            return c.real(*dims).astype(dtype)

        x, gamma = real(2, 3, 8), real(8)
        c.add("SimplifiedLayerNormalization", name, [x, gamma], atol=atol, domain="", axis=-1)
        if dtype == np.float64:
            c.add("FusedMatMul", name, [x, real(2, 8, 3)], atol=atol, alpha=0.5)
            c.add("Inverse", name, [real(3, 3)], atol=1e-5)
            c.add("CDist", name, [real(4, 3), real(5, 3)], atol=atol, metric="sqeuclidean")
            continue
        for op in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"):
            c.add(op, name, [x, real(2, 3, 8), gamma], atol=atol, epsilon=1e-5)
        c.add("QuickGelu", name, [x], atol=atol)
        c.add("RotaryEmbedding", name, [x, np.array([1], np.int64), real(6, 4), real(6, 4)], atol=atol)
        codes, shape = Fixed(c.codes(np.uint8, 6, 2, 8)), {"K": 32, "N": 6, "bits": 4, "block_size": 16}
        c.add("MatMulNBits", name, [real(3, 32), codes, Fixed(real(6, 2))], atol=0.1, **shape)
        index = np.array([2, 0], np.int64)
        gather = {"bits": 4, "block_size": 16}
        c.add(
            "GatherBlockQuantized",
            name,
            [Fixed(codes.array[:, 0]), index, Fixed(real(6, 1))],
            atol=atol,
            **gather,
        )
        lengths = [np.full(2, 2, np.int32), scalar(3, np.int32)]
        qkv = [real(2, 3, 32), real(2, 3, 16), real(2, 3, 16)]
        heads = {"num_heads": 4, "kv_num_heads": 2}
        c.add("GroupQueryAttention", name, [*qkv, None, None, *lengths], outputs=3, atol=atol, **heads)


def contrib_cases():
    cases = Cases()
    for family in (activations, norms, products, blocks, quantized, attention, tensors, other_types):
        family(cases)
    return cases.all
