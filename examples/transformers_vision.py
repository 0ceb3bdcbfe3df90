"""Distillation and quantization-aware training of a vision transformer in transformers' Trainer, on Fashion-MNIST.

PYTHONPATH=python python examples/transformers_vision.py [--epochs N] [--train-images N] [--output FOLDER]

Teacher and student are ViTs that start from random weights; the student has a quarter of the teacher's width. It
learns from the teacher in one run of the Trainer, then in a second, short one it trains with the quantization of
every operator that ONNX Runtime has integers for (`qat_version_model`). `convert_fx` gives the integers, and the
ONNX file runs in ONNX Runtime. Exits with 0 only when the file classifies about as well as the float student.
"""

import argparse
import tempfile
from pathlib import Path

import fashion_mnist
import model_compression as mc
import onnxruntime
import torch
from model_compression import convert_fx, hf_add_teacher_to_student, hf_remove_teacher_from_student
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification


class Images(Dataset):
    """Samples as models of transformers take them."""

    def __init__(self, part: str, limit: int):
        self.pixel_values, self.labels = fashion_mnist.read(part, limit).tensors

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index):
        return {"pixel_values": self.pixel_values[index], "labels": self.labels[index]}


def vision_transformer(width: int) -> ViTForImageClassification:
    return ViTForImageClassification(
        ViTConfig(
            image_size=28,
            patch_size=7,
            num_channels=1,
            num_labels=10,
            hidden_size=width,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=2 * width,
        )
    )


def cross_entropy(outputs, labels, num_items_in_batch=None) -> torch.Tensor:
    """The loss outside of the model, so that the graph that is deployed has no labels."""
    return torch.nn.functional.cross_entropy(outputs.logits, labels)


def train(model, data: Images, folder: str, epochs: float, learning_rate: float, loss=None) -> None:
    arguments = TrainingArguments(
        output_dir=folder,
        num_train_epochs=epochs,
        per_device_train_batch_size=64,
        learning_rate=learning_rate,
        warmup_steps=20,
        remove_unused_columns=False,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        dataloader_drop_last=True,
        seed=0,
    )
    Trainer(model=model, args=arguments, train_dataset=data, compute_loss_func=loss).train()


@torch.no_grad()
def accuracy(model, data: Images) -> float:
    model.eval()
    outputs = model(pixel_values=data.pixel_values)
    return (outputs.logits.argmax(1) == data.labels).float().mean().item()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--train-images", type=int, default=12800)
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--output", type=Path, help="folder of the ONNX file")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    scratch = tempfile.TemporaryDirectory()
    path = (arguments.output or Path(scratch.name)) / "vit.int8.onnx"
    train_set, test_set = Images("train", arguments.train_images), Images("t10k", arguments.test_images)

    teacher, student = vision_transformer(96), vision_transformer(24)
    train(teacher, train_set, scratch.name, arguments.epochs, 2e-3)
    teacher_accuracy = accuracy(teacher, test_set)

    hf_add_teacher_to_student(
        student, teacher, student_alpha=0.5, teacher_ce_alpha=0.5, teacher_ce_temperature=2.0
    )
    train(student, train_set, scratch.name, arguments.epochs, 4e-3)
    hf_remove_teacher_from_student(student)
    student_accuracy = accuracy(student, test_set)

    qat_model = mc.qat_version_model(student)
    train(qat_model, train_set, scratch.name, arguments.epochs / 4, 4e-4, cross_entropy)
    quantized_model = convert_fx(qat_model)
    quantized_accuracy = accuracy(quantized_model, test_set)
    mc.save_onnx(quantized_model, path)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {"pixel_values": test_set.pixel_values.numpy()})
    answers = torch.from_numpy(outputs).argmax(1)
    onnx_accuracy = (answers == test_set.labels).float().mean().item()
    layers = sum(quantized for _, _, quantized, _ in qat_model.layers)
    print(f"teacher {teacher_accuracy:.4f}, student {student_accuracy:.4f}, {layers} layers quantized")
    print(f"int8 {quantized_accuracy:.4f}, the file in ONNX Runtime {onnx_accuracy:.4f}")
    as_good = teacher_accuracy > 0.7 and onnx_accuracy > student_accuracy - 0.02
    return 0 if as_good and abs(onnx_accuracy - quantized_accuracy) < 0.01 and layers >= 14 else 1


if __name__ == "__main__":
    raise SystemExit(main())
