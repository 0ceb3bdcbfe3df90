"""Structured pruning of networks as people export them: random cuts run here and on ONNX Runtime, and equal the
masked network (tests/tools/channel_cuts.cpp)."""

import json
import subprocess

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")  # what torch.onnx.export needs
transformers = pytest.importorskip("transformers")

from models.cases import CASES, Case, Input, image
from models.export import WAYS
from models.running import BUILD
from torch import nn

PROGRAM = BUILD / "tests" / "channel_cuts"
CUTS = 12

pytestmark = [
    pytest.mark.skipif(not PROGRAM.exists(), reason=f"{PROGRAM} is not built"),
    pytest.mark.filterwarnings("ignore"),  # torch.onnx.export deprecates what people still use
]


class DenseNet(nn.Module):
    """Huang et al. 2017: every layer reads all before it."""

    def __init__(self, growth=6, depth=3, classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.blocks = nn.ModuleList()
        self.transitions = nn.ModuleList()
        channels = 8
        for _ in range(2):
            layers = nn.ModuleList()
            for _ in range(depth):
                layers.append(
                    nn.Sequential(
                        nn.BatchNorm2d(channels),
                        nn.ReLU(),
                        nn.Conv2d(channels, 4 * growth, 1, bias=False),
                        nn.BatchNorm2d(4 * growth),
                        nn.ReLU(),
                        nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
                    )
                )
                channels += growth
            self.blocks.append(layers)
            self.transitions.append(nn.Conv2d(channels, channels // 2, 1, bias=False))
            channels //= 2
        self.classifier = nn.Linear(channels, classes)

    def forward(self, image):
        x = self.stem(image)
        for block, transition in zip(self.blocks, self.transitions, strict=True):
            for layer in block:
                x = torch.cat([x, layer(x)], 1)
            x = nn.functional.avg_pool2d(transition(x), 2)
        return self.classifier(x.mean((2, 3)))


class GroupNet(nn.Module):
    """Grouped convolution (Xie et al. 2017) between group norms (Wu and He 2018)."""

    def __init__(self, channels=24, groups=6, classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, 2, 1)
        self.norm1 = nn.GroupNorm(groups, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=groups)
        self.norm2 = nn.GroupNorm(groups, channels)
        self.up = nn.Conv2d(channels, 16, 1)
        self.classifier = nn.Conv2d(4, classes, 1)

    def forward(self, image):
        x = torch.relu(self.norm1(self.stem(image)))
        x = x + torch.relu(self.norm2(self.conv(x)))
        return self.classifier(nn.functional.pixel_shuffle(self.up(x), 2))


class Llama(nn.Module):
    """Rotary positions, RMS norm, gated feed-forward, and two heads of queries for one of keys."""

    def __init__(self):
        super().__init__()
        config = transformers.LlamaConfig(
            vocab_size=60,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=8,
            num_key_value_heads=4,
            max_position_embeddings=32,
            tie_word_embeddings=False,
            attn_implementation="eager",
        )
        self.model = transformers.LlamaForCausalLM(config)

    def forward(self, input_ids):
        mask = torch.ones_like(input_ids)
        return self.model(input_ids=input_ids, attention_mask=mask, use_cache=False).logits


WORDS = {"input_ids": Input(("batch", 9), words=60)}
OWN = {
    "densenet": Case(DenseNet, image()),
    "groupnet": Case(GroupNet, image()),
    "llama": Case(Llama, WORDS),
}
# Groups that can be cut, and how many of them are exact (no normalization over their channels).
EXPECTED = {
    "mobilenet_v3-preserving": (13, 13),
    "unet-folded": (12, 12),
    "yolo-preserving": (13, 13),
    "swin-folded": (10, 8),
    "bert-folded": (6, 5),  # the last: the pooler
    # Shapes are computed in the graph; its mask may have as many heads, so each head loses elements instead.
    "bert-torchscript": (8, 5),
    "hf_vit-torchscript": (4, 4),
    "gpt2-preserving": (5, 4),
    "tagger-preserving": (2, 2),  # both layers share the zeros that they begin with
    "densenet-preserving": (15, 15),
    "groupnet-preserving": (2, 2),
    "llama-preserving": (5, 4),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_cuts(name, tmp_path):
    case_name, way = name.split("-")
    case = (CASES | OWN)[case_name]
    torch.manual_seed(0)
    model = case.build()
    for parameter in model.parameters():  # equal tensors would be merged in the file
        nn.init.normal_(parameter, parameter.mean().item(), parameter.std(correction=0).item() + 0.02)
    generator = torch.Generator().manual_seed(0)
    example = tuple(spec.sample({"batch": 2} | case.sizes, generator) for spec in case.inputs.values())
    WAYS[way](case, model, example, tmp_path / "model.onnx")
    arrays = {key: np.asarray(value) for key, value in zip(case.inputs, example, strict=True)}
    np.savez(tmp_path / "data.npz", **arrays)
    command = [PROGRAM, tmp_path / "model.onnx", tmp_path / "data.npz", CUTS, 7, tmp_path]
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    free = [group for group in result["groups"] if not group["obstacle"]]
    assert (len(free), sum(group["exact"] for group in free)) == EXPECTED[name], result["groups"]
    assert result["exact_cuts"] >= 1
    assert result["worst"] < 1e-5
    assert result["worst_engine"] < 1e-4
    assert result["parameters"][1] < result["parameters"][0]
