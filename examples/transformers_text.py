"""Pruning, distillation and quantization of a BERT-like text classifier in one run of transformers' Trainer.

PYTHONPATH=python python examples/transformers_text.py [--epochs N] [--lines N] [--output FOLDER]

The task: is a line of this project's own files C++, Python or English? The teacher and the student, which is a
quarter of its size, start from random weights. The student's run is the Trainer's own; the package adds quantized
layers before it, a teacher inside the model, and a callback that prunes. Then the student goes to an ONNX file,
which ONNX Runtime runs. Exits with 0 only when the file has the zeros, and classifies as the trained student does,
about as well as the teacher.
"""

import argparse
import random
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from datasets import Dataset
from model_compression import (
    HFTrainerPruningCallback,
    QuantizerConfig,
    convert_model_for_qat,
    hf_add_teacher_to_student,
    hf_remove_teacher_from_student,
)
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

ROOT = Path(__file__).resolve().parents[1]
LANGUAGES = {
    "C++": ["mc/**/*.cpp"],
    "Python": ["python/**/*.py", "tests/**/*.py"],
    "English": ["docs/*.md", "*.md"],
}
LENGTH = 24  # tokens
SPARSITY = 0.8


def lines_of_files(limit: int, seed: int = 0) -> dict[str, list]:
    """`limit` lines of at least 20 characters, in a fixed random order, as many of each language."""
    texts, labels = [], []
    for label, patterns in enumerate(LANGUAGES.values()):
        files = sorted(file for pattern in patterns for file in ROOT.glob(pattern) if "zh" not in file.name)
        lines = {line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()}
        lines = sorted(line for line in lines if len(line) >= 20)
        random.Random(seed).shuffle(lines)
        lines = lines[: limit // len(LANGUAGES)]
        texts += lines
        labels += [label] * len(lines)
    order = list(range(len(texts)))
    random.Random(seed).shuffle(order)
    return {"text": [texts[i] for i in order], "labels": [labels[i] for i in order]}


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=1500, special_tokens=special))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")


def classifier(tokenizer, width: int) -> BertForSequenceClassification:
    """A BERT of two layers with random weights."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=2 * width,
            max_position_embeddings=LENGTH,
            num_labels=len(LANGUAGES),
        )
    )


def make_trainer(model, data: dict[str, Dataset], folder: str, epochs: float, callbacks=()) -> Trainer:
    arguments = TrainingArguments(
        output_dir=folder,
        do_train=True,
        num_train_epochs=epochs,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=256,
        learning_rate=2e-3,
        warmup_steps=20,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=data["train"],
        eval_dataset=data["test"],
        compute_metrics=lambda found: {"accuracy": (found.predictions.argmax(-1) == found.label_ids).mean()},
        callbacks=list(callbacks),
    )


def accuracy(trainer: Trainer) -> float:
    return trainer.evaluate()["eval_accuracy"]


def export(model, inputs: dict[str, torch.Tensor], path: Path) -> None:
    """An ONNX file for batches of any size."""
    sizes = {name: {0: torch.export.Dim("batch")} for name in inputs}
    program = torch.onnx.export(
        model.eval(),
        kwargs=inputs,
        dynamo=True,
        input_names=list(inputs),
        dynamic_shapes=sizes,
        verbose=False,
    )
    program.save(path)


def zeros_of_file(path: Path) -> float:
    """The part of the weights behind QuantizeLinear that is zero."""
    graph = onnx.load(path).graph
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    quantized = [
        weights[n.input[0]] for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] in weights
    ]
    return sum((w == 0).sum() for w in quantized) / sum(w.size for w in quantized)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--lines", type=int, default=9000)
    parser.add_argument("--output", type=Path, help="folder of the ONNX file")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    scratch = tempfile.TemporaryDirectory()
    folder = arguments.output or Path(scratch.name)

    lines = lines_of_files(arguments.lines)
    tokenizer = make_tokenizer(lines["text"])
    data = Dataset.from_dict(lines).map(
        lambda rows: tokenizer(
            rows["text"],
            truncation=True,
            padding="max_length",
            max_length=LENGTH,
            return_token_type_ids=False,
        ),
        batched=True,
    )
    data = data.train_test_split(test_size=0.2, seed=0)

    teacher = classifier(tokenizer, width=128)
    trainer = make_trainer(teacher, data, scratch.name, arguments.epochs)
    trainer.train()
    teacher_accuracy = accuracy(trainer)

    # The student: quantized layers, a teacher and pruning, then one run of the Trainer.
    student = convert_model_for_qat(
        classifier(tokenizer, width=64), QuantizerConfig(not_to_quantize=["pooler", "classifier"])
    )
    hf_add_teacher_to_student(
        student, teacher, student_alpha=0.5, teacher_ce_alpha=0.5, teacher_ce_temperature=2.0
    )
    epochs = 2 * arguments.epochs
    steps = int(epochs * len(data["train"]) / 32)
    pruning = argparse.Namespace(  # as add_pruning_arguments_to_parser(parser) gives it
        do_prune=True,
        pruning_config={
            "scheduler": "iterative",
            "pruning_fn": "unstructured_magnitude",
            "pruning_fn_default_kwargs": {"target_sparsity": SPARSITY},
            "prune_layer_types": {"QuantizedLinear": {"name": "weight"}},
            "pruning_frequency": 10,
            "policy_end_step": steps * 2 // 3,
        },
        pruning_override="",
    )
    trainer = make_trainer(student, data, scratch.name, epochs, [HFTrainerPruningCallback(pruning)])
    trainer.train()
    hf_remove_teacher_from_student(student)
    student_accuracy = accuracy(trainer)

    path = folder / "student.onnx"
    columns = ["input_ids", "attention_mask"]
    test = data["test"].with_format("numpy")
    inputs = {name: np.asarray(test[name], dtype=np.int64) for name in columns}
    export(student, {name: torch.from_numpy(value[:2]) for name, value in inputs.items()}, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answers = session.run(None, inputs)[0].argmax(1)
    trained = trainer.predict(data["test"]).predictions.argmax(1)
    onnx_accuracy = (answers == np.asarray(test["labels"])).mean()
    agreement, zeros = (answers == trained).mean(), zeros_of_file(path)
    print(f"teacher {teacher_accuracy:.4f}, student {student_accuracy:.4f}, ONNX Runtime {onnx_accuracy:.4f}")
    print(
        f"the file agrees with the student on {agreement:.2%} of lines, {zeros:.1%} of its int8 weights are zero"
    )
    as_good = teacher_accuracy > 0.8 and onnx_accuracy > teacher_accuracy - 0.05
    return 0 if as_good and agreement > 0.99 and abs(zeros - SPARSITY) < 0.01 else 1


if __name__ == "__main__":
    raise SystemExit(main())
