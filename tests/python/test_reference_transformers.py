"""Pruning, distillation and quantized layers in real runs of transformers' Trainer. All weights start random."""

import argparse
import copy
import json

import pytest
import torch
from torch import nn

mc = pytest.importorskip("model_compression", exc_type=ImportError)
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def bert(seed=0, **kwargs):
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=40, max_position_embeddings=12, num_labels=2, **{**SIZE, **kwargs}
    )
    return transformers.BertForSequenceClassification(config)


def gpt(seed=0, layers=2):
    torch.manual_seed(seed)
    config = transformers.GPT2Config(vocab_size=40, n_positions=12, n_embd=16, n_layer=layers, n_head=2)
    config.bos_token_id = config.eos_token_id = 0
    return transformers.GPT2LMHeadModel(config)


def sentences(count=64, causal=False):
    """Texts of 8 tokens of which some are padding; the class is whether the first token is above 20."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for _ in range(count):
        ids = torch.randint(1, 40, (8,), generator=generator)
        mask = (torch.arange(8) < torch.randint(4, 9, (), generator=generator)).long()
        labels = ids.masked_fill(mask == 0, -100) if causal else (ids[0] > 20).long()
        rows.append({"input_ids": ids * mask, "attention_mask": mask, "labels": labels})
    return rows


def trainer(model, folder, rows=None, callbacks=(), **kwargs):
    options = {
        "output_dir": str(folder),
        "do_train": True,
        "per_device_train_batch_size": 8,
        "max_steps": 8,
        "learning_rate": 1e-2,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        **kwargs,
    }
    return transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(**options),
        train_dataset=sentences() if rows is None else rows,
        callbacks=list(callbacks),
    )


def pruning(layer="Linear", target=0.75, last_step=4):
    return argparse.Namespace(
        do_prune=True,
        pruning_config={
            "scheduler": "iterative",
            "pruning_fn": "unstructured_magnitude",
            "pruning_fn_default_kwargs": {"target_sparsity": target},
            "prune_layer_types": {layer: {"name": "weight"}},
            "not_to_prune": ["classifier"],
            "pruning_frequency": 1,
            "policy_end_step": last_step,
        },
        pruning_override="",
    )


def test_pruning_distillation_and_quantization_in_one_run(tmp_path):
    student = mc.convert_model_for_qat(bert(), mc.QuantizerConfig(not_to_quantize=["classifier"]))
    names = set(student.state_dict())
    teacher = bert(seed=1)
    teacher_state = copy.deepcopy(teacher.state_dict())
    mc.hf_add_teacher_to_student(student, teacher, teacher_hidden_alpha=[0.0, 0.1, 0.1])
    callback = mc.HFTrainerPruningCallback(pruning("QuantizedLinear"))
    run = trainer(student, tmp_path, callbacks=[callback])
    before = copy.deepcopy(student.classifier.state_dict())
    run.train()
    mc.hf_remove_teacher_from_student(student)

    layers = [m for m in student.modules() if isinstance(m, mc.QuantizedLinear)]
    assert len(layers) == 2 * 6 + 1
    for layer in layers:
        assert isinstance(layer.weight, nn.Parameter)
        assert mc.get_tensor_sparsity_ratio(layer.weight) == pytest.approx(0.75)
        assert layer.input_fake_quant.scale > 0 and layer.input_fake_quant.scale != 1
    assert set(student.state_dict()) == names
    assert not torch.equal(student.classifier.weight, before["weight"])
    assert all(torch.equal(value, teacher_state[name]) for name, value in teacher.state_dict().items())
    raw = torch.load(tmp_path / "raw_pytorch_model.bin")
    assert "bert.encoder.layer.0.attention.self.query.weight_mask" in raw
    assert json.loads((tmp_path / "pruning_config.json").read_text())["policy_end_step"] == 4
    assert run.evaluate(sentences())["eval_loss"] > 0


def test_a_run_goes_on_from_a_checkpoint(tmp_path):
    whole, parts = bert(), bert()
    trainer(whole, tmp_path / "whole", callbacks=[mc.HFTrainerPruningCallback(pruning())]).train()
    options = {"save_strategy": "steps", "save_steps": 2}
    trainer(parts, tmp_path / "parts", callbacks=[mc.HFTrainerPruningCallback(pruning())], **options).train()
    again = bert(seed=5)
    run = trainer(again, tmp_path / "parts", callbacks=[mc.HFTrainerPruningCallback(pruning())], **options)
    run.train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-2"))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, msg=name)
        torch.testing.assert_close(parts.state_dict()[name], value, msg=name)


@pytest.mark.parametrize("causal", [False, True])
def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path, causal):
    """Weights of texts are equal where all have as many tokens that count; SGD's step is then the same."""
    rows = sentences(16, causal)
    for row in rows:
        row["attention_mask"] = torch.ones(8, dtype=torch.long)
        if causal:
            row["labels"] = row["input_ids"]
    found = []
    for size, steps in ((16, 1), (4, 4)):
        student, teacher = (gpt(), gpt(1, layers=1)) if causal else (bert(), bert(1))
        mc.hf_add_teacher_to_student(student, teacher, student_alpha=0.5, teacher_ce_alpha=0.5)
        for module in student.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        options = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps, "max_steps": 1}
        trainer(student, tmp_path, rows, optim="sgd", learning_rate=1.0, **options).train()
        found.append(dict(mc.hf_remove_teacher_from_student(student).named_parameters()))
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_a_language_model_with_tied_weights_is_taught_and_saved(tmp_path):
    student = gpt()
    mc.hf_add_teacher_to_student(student, gpt(1), student_alpha=0.0, teacher_ce_alpha=1.0)
    rows = sentences(causal=True)
    first = student.train()(**{key: torch.stack([row[key] for row in rows]) for key in rows[0]}).loss.item()
    run = trainer(student, tmp_path, rows, max_steps=24, save_strategy="steps", save_steps=12)
    run.train()
    last = student.train()(**{key: torch.stack([row[key] for row in rows]) for key in rows[0]}).loss.item()
    assert last < first
    mc.hf_remove_teacher_from_student(student)
    assert student.lm_head.weight is student.transformer.wte.weight
    student.save_pretrained(tmp_path / "saved")
    loaded = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "saved")
    ids = rows[0]["input_ids"].unsqueeze(0)
    torch.testing.assert_close(loaded.eval()(ids).logits, student.eval()(ids).logits)


def test_the_callback_prunes_only_when_asked(tmp_path):
    options = pruning()
    options.do_prune = False
    run = trainer(bert(), tmp_path, callbacks=[mc.HFTrainerPruningCallback(options)], max_steps=2)
    run.train()
    assert mc.get_tensor_sparsity_ratio(run.model.bert.pooler.dense.weight) == 0
    assert not (tmp_path / "pruning_config.json").exists()
    model = bert()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="optimizer must be made after"):
        transformers.Trainer(
            model=model,
            args=transformers.TrainingArguments(output_dir=str(tmp_path), do_train=True, report_to=[]),
            train_dataset=sentences(),
            optimizers=(optimizer, None),
            callbacks=[mc.HFTrainerPruningCallback(pruning())],
        )


def vit():
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=8, patch_size=4, num_channels=1, num_labels=3, **{**SIZE, "num_hidden_layers": 1}
    )
    return transformers.ViTForImageClassification(config), {"pixel_values": torch.randn(4, 1, 8, 8)}


def distilbert():
    torch.manual_seed(0)
    config = transformers.DistilBertConfig(
        vocab_size=40, max_position_embeddings=12, dim=16, n_layers=1, n_heads=2, hidden_dim=32
    )
    return transformers.DistilBertForSequenceClassification(config), texts()


def texts():
    rows = sentences(4)
    return {key: torch.stack([row[key] for row in rows]) for key in ("input_ids", "attention_mask")}


MODELS = [lambda: (bert(num_hidden_layers=1), texts()), distilbert, vit, lambda: (gpt(layers=1), texts())]
MODEL_NAMES = ["bert", "distilbert", "vit", "gpt"]


def run_in_onnxruntime(path, inputs):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feeds = {each.name: inputs[each.name].numpy() for each in session.get_inputs()}
    return torch.from_numpy(session.run(None, feeds)[-1])


def operators_of(path):
    onnx = pytest.importorskip("onnx")
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("made", MODELS, ids=MODEL_NAMES)
def test_models_and_their_quantized_layers_are_captured_and_exported(tmp_path, made):
    pytest.importorskip("onnxscript")
    model, inputs = made()
    model.config.use_cache = False
    model = mc.convert_model_for_qat(model, mc.QuantizerConfig())
    model.train()(**inputs)
    with torch.no_grad():
        expected = model.eval()(**inputs)
    module = mc.from_torch(model, (), inputs)
    found = module(**inputs)
    assert type(found) is type(expected)
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=0.02)
    path = tmp_path / "model.onnx"
    mc.save_onnx(module, path)
    operators = operators_of(path)
    assert operators.count("QuantizeLinear") == operators.count("DequantizeLinear") > 0
    torch.testing.assert_close(run_in_onnxruntime(path, inputs), expected.logits, rtol=0, atol=0.02)
    two = {key: value[:2] for key, value in inputs.items()}
    torch.testing.assert_close(module(**two).logits, expected.logits[:2], rtol=0, atol=0.02)


@pytest.mark.parametrize(("made", "layers"), list(zip(MODELS, [8, 8, 8, 4], strict=True)), ids=MODEL_NAMES)
def test_models_train_quantized_and_become_integers(tmp_path, made, layers):
    pytest.importorskip("onnxscript")
    model, inputs = made()
    model.config.use_cache = False
    if not isinstance(model, transformers.GPT2LMHeadModel):  # whose loss fixes the batch
        inputs["labels"] = torch.tensor([0, 1, 0, 1])
    qat_model = mc.qat_version_model(model).train()
    optimizer = torch.optim.SGD(qat_model.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        outputs = qat_model(**inputs)
        (outputs.loss if "labels" in inputs else outputs.logits.square().mean()).backward()
        optimizer.step()
    quantized = [name for name, _, is_quantized, _ in qat_model.layers if is_quantized]
    assert len(quantized) == layers
    converted = mc.convert_fx(qat_model)
    path = tmp_path / "model.onnx"
    mc.save_onnx(converted, path)
    with torch.no_grad():
        expected = converted(**inputs).logits
        trained = qat_model.eval()(**inputs).logits
    torch.testing.assert_close(expected, trained, rtol=0, atol=0.02)
    torch.testing.assert_close(run_in_onnxruntime(path, inputs), expected, rtol=0, atol=0.02)
    onnx = pytest.importorskip("onnx")
    integers = {
        each.name for each in onnx.load(path).graph.initializer if each.data_type == onnx.TensorProto.INT8
    }
    products = [node for node in onnx.load(path).graph.node if node.op_type in ("MatMul", "Gemm")]
    made_by = {node.output[0]: node for node in onnx.load(path).graph.node}
    stored = [node for node in products if made_by[node.input[1]].input[0] in integers]
    assert len(stored) >= layers - 1  # all but the convolution of images


def test_a_trainer_trains_what_qat_version_model_gives(tmp_path):
    pytest.importorskip("onnxscript")
    model = bert()
    qat_model = mc.qat_version_model(model)
    run = trainer(qat_model, tmp_path, max_steps=16, remove_unused_columns=False)
    rows = sentences()
    batch = {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
    before = qat_model.eval()(**batch).loss.item()
    run.train()
    assert qat_model.eval()(**batch).loss.item() < before
    assert qat_model.bert.pooler.dense.weight is model.bert.pooler.dense.weight
    assert sum(quantized for _, _, quantized, _ in qat_model.layers) == 14
