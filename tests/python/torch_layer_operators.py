"""Normalizations and attention of torch_operators.REFERENCES."""

import torch
import torch.nn.functional as F
from torch_operators import reference

EPSILON = float(torch.tensor(1e-5))  # ONNX's attributes are float


@reference("BatchNormalization")
def batch_norm(inputs, attributes):
    x, scale, bias, mean, variance = inputs
    return F.batch_norm(x, mean.clone(), variance.clone(), scale, bias, attributes["training"], 0.1, EPSILON)


@reference("InstanceNormalization")
def instance_norm(inputs, attributes):
    x, scale, bias = inputs
    return F.instance_norm(x, None, None, scale, bias, True, 0.1, EPSILON)


@reference("LayerNormalization")
def layer_norm(inputs, attributes):
    x, scale, *bias = inputs
    return F.layer_norm(x, scale.shape, scale, bias[0] if bias else None, EPSILON)


@reference("GroupNormalization")
def group_norm(inputs, attributes):
    x, scale, bias = inputs
    groups = attributes["num_groups"]
    if attributes["opset"] < 21:
        scale, bias = (v.repeat_interleave(x.shape[1] // groups) for v in (scale, bias))
    return F.group_norm(x, groups, scale, bias, EPSILON)


@reference("RMSNormalization", "SimplifiedLayerNormalization", "com.microsoft.SimplifiedLayerNormalization")
def rms_norm(inputs, attributes):
    return F.rms_norm(inputs[0], inputs[1].shape, inputs[1], EPSILON)


@reference("com.microsoft.SkipLayerNormalization")
def skip_layer_norm(inputs, attributes):
    x, skip, gamma, beta, bias = inputs
    total = x + skip + bias
    epsilon = float(torch.tensor(1e-12))
    centred = total - total.mean(-1, keepdim=True)
    inverse = 1 / (centred.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()
    y = F.layer_norm(total, gamma.shape, gamma, beta, epsilon)
    # The statistics are for reading: no gradient goes through them.
    return y, total.mean(-1, keepdim=True).detach(), inverse.detach(), total


@reference("com.microsoft.SkipSimplifiedLayerNormalization")
def skip_rms_norm(inputs, attributes):
    x, skip, gamma, bias = inputs
    return F.rms_norm(x + skip + bias, gamma.shape, gamma, float(torch.tensor(1e-12)))


@reference("com.microsoft.EmbedLayerNormalization")
def embed_layer_norm(inputs, attributes):
    ids, segments, words, positions, kinds, gamma, beta = inputs
    total = words[ids.long()] + positions[: ids.shape[1]] + kinds[segments.long()]
    return F.layer_norm(total, gamma.shape, gamma, beta, float(torch.tensor(1e-12)))


@reference("com.microsoft.GroupNorm")
def group_norm_last(inputs, attributes):
    x, gamma, beta = inputs
    y = F.group_norm(x.permute(0, 3, 1, 2), attributes["groups"], gamma, beta, EPSILON)
    return F.silu(y).permute(0, 2, 3, 1)


@reference("com.microsoft.SkipGroupNorm")
def skip_group_norm(inputs, attributes):
    x, gamma, beta, skip, bias = inputs
    total = x + skip[:, None, None, :] + bias
    y = F.group_norm(total.permute(0, 3, 1, 2), attributes["groups"], gamma, beta, EPSILON)
    return y.permute(0, 2, 3, 1), total


@reference("LpNormalization")
def lp_normalization(inputs, attributes):
    return F.normalize(inputs[0], attributes.get("p", 2), attributes.get("axis", -1))


@reference("LRN")
def local_response_norm(inputs, attributes):
    return F.local_response_norm(inputs[0], attributes["size"], attributes["alpha"], 0.75, 1.0)


@reference("Attention")
def attention(inputs, attributes):
    if len(inputs) > 4:
        q, k, v, mask, past_k, past_v = inputs
        k, v = torch.cat([past_k, k], 2), torch.cat([past_v, v], 2)
        return F.scaled_dot_product_attention(q, k, v, mask), k, v
    if "softcap" in attributes:
        return None
    return F.scaled_dot_product_attention(*inputs)


def heads_of(x, count):
    return x.unflatten(2, (count, -1)).swapaxes(1, 2)


@reference("com.microsoft.Attention")
def unfused_attention(inputs, attributes):
    x, w, bias, _, past, extra = [*inputs, None][:6]
    q, k, v = (heads_of(part, 2) for part in (x @ w + bias).chunk(3, -1))
    if past is not None:
        k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        extra = torch.ones(2, 3, dtype=torch.bool).tril(1)
    y = F.scaled_dot_product_attention(q, k, v, extra).swapaxes(1, 2).flatten(2)
    return (y, torch.stack([k, v])) if past is not None else y
