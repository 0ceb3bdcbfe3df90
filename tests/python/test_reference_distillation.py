"""Distillation in an ordinary loop by the names of the reference package, against the formula of the paper."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

mc = pytest.importorskip("model_compression", exc_type=ImportError)


def divergence(student, teacher, temperature):
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), mean over rows (Hinton et al. 2015), by its definition."""
    p = torch.exp(teacher / temperature) / torch.exp(teacher / temperature).sum(-1, keepdim=True)
    q = torch.exp(student / temperature) / torch.exp(student / temperature).sum(-1, keepdim=True)
    return temperature**2 * (p * (p.log() - q.log())).sum(-1).mean()


def pair():
    torch.manual_seed(0)
    return nn.Linear(6, 4), nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 4))


def test_the_loss_is_the_weighted_sum():
    student, teacher = pair()
    second = copy.deepcopy(teacher)
    second[0].weight.data.mul_(2)
    x, labels = torch.randn(5, 6), torch.tensor([0, 1, 2, 3, 0])
    expected_teachers = [teacher.eval()(x).detach(), second.eval()(x).detach()]
    teachers = [
        mc.TeacherWrapper(teacher, ce_alpha=0.5, ce_temperature=2.0),
        mc.TeacherWrapper(second, ce_alpha=0.25, ce_temperature=3.0),
    ]
    model = mc.DistillationModelWrapper(student, teachers, alpha_student=0.3)
    outputs = model.train()(x)
    assert torch.equal(outputs, student(x))
    own = nn.functional.cross_entropy(outputs, labels)
    expected = 0.3 * own + 0.5 * divergence(outputs, expected_teachers[0], 2.0)
    expected = expected + 0.25 * divergence(outputs, expected_teachers[1], 3.0)
    torch.testing.assert_close(model.compute_loss(own, outputs), expected)
    with pytest.raises(RuntimeError, match="no outputs"):
        model.compute_loss(own, outputs)
    assert model.eval().compute_loss(own, outputs) is own


def test_no_optimizer_finds_the_teacher():
    student, teacher = pair()
    state = copy.deepcopy(teacher.state_dict())
    model = mc.DistillationModelWrapper(student, mc.TeacherWrapper(teacher, ce_alpha=1.0))
    assert {id(p) for p in model.parameters()} == {id(p) for p in student.parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(64, 6)
    first = last = None
    for _ in range(60):
        optimizer.zero_grad()
        outputs = model(x)
        last = model.compute_loss(0 * outputs.sum(), outputs)
        first = last.item() if first is None else first
        last.backward()
        optimizer.step()
    assert last.item() < 0.5 * first
    assert all(torch.equal(value, state[name]) for name, value in teacher.state_dict().items())
    assert not teacher.training and not list(teacher.parameters())


def test_tied_parameters_of_a_teacher_stay_tied():
    teacher = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    teacher[1].weight = teacher[0].weight
    mc.TeacherWrapper(teacher)
    assert teacher[0].weight is teacher[1].weight


def test_gradients_reach_the_inputs_of_a_teacher_only_when_asked():
    for keep in (False, True):
        _, teacher = pair()
        x = torch.randn(2, 6, requires_grad=True)
        outputs = mc.TeacherWrapper(teacher, keep_gradients=keep)(x)
        assert outputs.requires_grad == keep
    _, teacher = pair()
    mc.TeacherWrapper(teacher, convert_parameters=False)
    assert len(list(teacher.parameters())) == 4


def test_bad_teachers_are_refused():
    student, teacher = pair()
    with pytest.raises(RuntimeError, match="must be in a TeacherWrapper"):
        mc.DistillationModelWrapper(student, teacher)
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        mc.TeacherWrapper(lambda x: x)
    with pytest.raises(ValueError, match="above 0"):
        mc.TeacherWrapper(teacher, ce_temperature=0)


class Outputs(dict):
    """What models of transformers give: a dictionary with attributes, in order."""

    __getattr__ = dict.get
    __setattr__ = dict.__setitem__


class Tagger(nn.Module):
    """A model called as those of transformers are."""

    def __init__(self, width=6, layers=2, extra=False):
        super().__init__()
        self.config = SimpleNamespace(vocab_size=9)
        self.table = nn.Embedding(9, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.head = nn.Linear(width, 9)

    def forward(self, ids, attention_mask=None, labels=None, output_hidden_states=False):
        hidden = [self.table(ids)]
        for layer in self.layers:
            hidden.append(torch.tanh(layer(hidden[-1])))
        outputs = Outputs(logits=self.head(hidden[-1]))
        if output_hidden_states:
            outputs.hidden_states = tuple(hidden)
        if labels is not None:
            outputs.loss = nn.functional.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten())
        return outputs


def batch():
    torch.manual_seed(1)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    return {
        "ids": torch.randint(9, (2, 4)),
        "attention_mask": mask,
        "labels": torch.randint(9, (2, 4)),
    }


def test_named_outputs_and_states_are_compared_where_nothing_is_hidden():
    student, teacher, inputs = Tagger(), Tagger(), batch()
    keep = inputs["attention_mask"].bool()
    own, of_teacher = (
        model(**inputs, output_hidden_states=True) for model in (student, copy.deepcopy(teacher))
    )
    mc.hf_add_teacher_to_student(
        student,
        teacher,
        student_alpha=0.4,
        teacher_ce_alpha=0.6,
        teacher_ce_temperature=2.0,
        teacher_hidden_alpha=[0.0, 0.1, 0.2],
    )
    expected = 0.4 * own.loss + 0.6 * divergence(own.logits[keep], of_teacher.logits[keep], 2.0)
    for alpha, i in ((0.1, 1), (0.2, 2)):
        a, b = own.hidden_states[i][keep], of_teacher.hidden_states[i][keep]
        expected = expected + alpha * (a - b).square().mean()
    found = student.train()(**inputs)
    torch.testing.assert_close(found.loss, expected)
    torch.testing.assert_close(student.eval()(**inputs).loss, own.loss)
    found.loss.backward()
    assert student.head.weight.grad is not None
    assert mc.hf_remove_teacher_from_student(student) is student
    torch.testing.assert_close(student.train()(**inputs).loss, own.loss)
    assert set(student.state_dict()) == set(Tagger().state_dict())


def test_a_deeper_teacher_is_compared_by_index():
    student, teacher, inputs = Tagger(), Tagger(layers=4), batch()
    of_both = [model(**inputs, output_hidden_states=True).hidden_states[1] for model in (student, teacher)]
    alphas = {0: 0.0, 1: 0.5, 2: 0.0}
    mc.hf_add_teacher_to_student(
        student, teacher, student_alpha=0.0, teacher_ce_alpha=0.0, teacher_hidden_alpha=alphas
    )
    a, b = (states[inputs["attention_mask"].bool()] for states in of_both)
    torch.testing.assert_close(student.train()(**inputs).loss, 0.5 * (a - b).square().mean())


def test_a_teacher_may_take_other_inputs_than_the_student():
    class OfTypes(Tagger):
        def forward(self, ids, token_types, attention_mask=None, labels=None):
            return super().forward(ids + token_types, attention_mask, labels)

    student, teacher, inputs = Tagger(), OfTypes(), batch()
    inputs["token_types"] = torch.zeros_like(inputs["ids"])
    mc.hf_add_teacher_to_student(student, teacher, student_alpha=0.0, teacher_ce_alpha=1.0)
    loss = student.train()(**inputs).loss
    keep = inputs["attention_mask"].bool()
    del inputs["token_types"]
    logits = [Tagger.forward(model, **inputs).logits[keep] for model in (student, teacher)]
    torch.testing.assert_close(loss, divergence(*logits, 1.0))


def test_what_does_not_fit_is_said():
    inputs = batch()
    student = mc.hf_add_teacher_to_student(Tagger(), Tagger())
    with pytest.raises(RuntimeError, match="has a teacher"):
        mc.hf_add_teacher_to_student(student, Tagger())
    with pytest.raises(ValueError, match="gives no loss"):
        student(ids=inputs["ids"])
    with pytest.raises(RuntimeError, match="no teacher"):
        mc.hf_remove_teacher_from_student(Tagger())
    with pytest.raises(ValueError, match="did you mean 'smooth_l1'"):
        mc.HFTeacherWrapper(Tagger(), logit_names="logits", similarity_loss="smoth_l1")
    student = mc.hf_add_teacher_to_student(Tagger(), Tagger(), teacher_logit_names="logit")
    with pytest.raises(KeyError, match="did you mean 'logits'"):
        student(**inputs)
    student = mc.hf_add_teacher_to_student(Tagger(), Tagger(), teacher_hidden_alpha=[1, 1])
    with pytest.raises(ValueError, match=r"weights for \[0, 1\], and the student has 3"):
        student(**inputs)
    student = mc.hf_add_teacher_to_student(Tagger(), Tagger(layers=1), teacher_hidden_alpha=[1, 1, 1])
    with pytest.raises(ValueError, match=r"hidden_states\[2\]: the teacher has only 2"):
        student(**inputs)
    student = mc.hf_add_teacher_to_student(Tagger(), Tagger(width=8), teacher_hidden_alpha=[1, 1, 1])
    with pytest.raises(ValueError, match=r"hidden_states\[0\]"):
        student(**inputs)
