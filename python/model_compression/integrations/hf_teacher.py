"""Distillation of models that take and give what those of transformers do."""

import functools
import inspect

import torch
from torch.nn import functional as F

from ..distiller import TeacherWrapper
from ..utils import unknown_name

_SIMILARITY_LOSSES = ("mse", "l1", "smooth_l1", "huber", "cosine_embedding")


def _similarity_loss(name):
    if name not in _SIMILARITY_LOSSES:
        raise ValueError(unknown_name("similarity loss", name, _SIMILARITY_LOSSES))
    if name == "cosine_embedding":
        return lambda x, y: F.cosine_embedding_loss(x, y, torch.ones(1, device=x.device))
    return getattr(F, f"{name}_loss")


class HFTeacherWrapper(TeacherWrapper):
    """A teacher whose outputs have names.

    logit_names: of the outputs that are compared by cross entropy, one or a list.
    ce_weight: their shares; equal ones where left out.
    hidden_alpha, attention_alpha: weights of the losses between `hidden_states` and `attentions`, one for each that the
        student has, as a list or by index (0: none); the models must be asked for these outputs.
    similarity_loss: of these, a name of torch.nn.functional's without "_loss".
    Tokens that `attention_mask` hides do not count, in hidden states and in logits of a vocabulary.
    """

    def __init__(
        self,
        *args,
        logit_names,
        ce_weight=None,
        hidden_alpha=None,
        attention_alpha=None,
        similarity_loss="mse",
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.logit_names = logit_names if isinstance(logit_names, list) else [logit_names]
        self.weight = ce_weight
        if ce_weight is None:
            self.weight = [1 / len(self.logit_names)] * len(self.logit_names)
        self.alphas = {"hidden_states": hidden_alpha, "attentions": attention_alpha}
        self.similarity_loss_fn = _similarity_loss(similarity_loss)
        self._input = None

    hidden_alpha = property(lambda self: self.alphas["hidden_states"])
    attention_alpha = property(lambda self: self.alphas["attentions"])

    def forward(self, **inputs):
        """The teacher's outputs for the inputs without `labels`: logits, not a loss."""
        for key, alphas in self.alphas.items():
            if alphas is not None and not inputs.get(f"output_{key}", False):
                raise ValueError(f"{key} are compared, so the model must be called with output_{key}=True")
        self._input = inputs
        detached = {
            key: value.detach() if isinstance(value, torch.Tensor) else value
            for key, value in inputs.items()
            if key != "labels"
        }
        return super().forward(**detached)

    def compute_distill_loss_callback(self, student_outputs, teacher_outputs):
        """The weighted sum of all losses between these outputs."""
        loss = 0.0
        if self.ce_alpha != 0:
            loss = self.ce_alpha * self._logit_loss(student_outputs, teacher_outputs)
        for key, alphas in self.alphas.items():
            if alphas is not None:
                loss = loss + self._state_loss(key, alphas, student_outputs, teacher_outputs)
        return loss

    def compute_distill_loss(self, student_outputs, teacher_outputs=None):
        """Also lets the inputs go."""
        loss = super().compute_distill_loss(student_outputs, teacher_outputs)
        self._input = None
        return loss

    def _logit_loss(self, student_outputs, teacher_outputs):
        vocabulary = getattr(getattr(self.teacher, "config", None), "vocab_size", None)
        loss = 0.0
        for name, weight in zip(self.logit_names, self.weight, strict=True):
            student, teacher = (_output(each, name) for each in (student_outputs, teacher_outputs))
            if teacher.dim() > 2 and teacher.size(-1) == vocabulary:  # each token is an example
                student, teacher = self._unhidden(student), self._unhidden(teacher)
            loss = loss + weight * self.compute_cross_entropy_loss(student, teacher)
        return loss

    def _state_loss(self, key, alphas, student_outputs, teacher_outputs):
        students, teachers = _output(student_outputs, key), _output(teacher_outputs, key)
        by_layer = alphas if isinstance(alphas, dict) else dict(enumerate(alphas))
        if set(by_layer) != set(range(len(students))):
            raise ValueError(
                f"{key}: weights for {list(by_layer)}, and the student has {len(students)} of them"
            )
        loss = 0.0
        for i, student in enumerate(students):
            alpha = by_layer[i]
            if alpha == 0:
                continue
            if i >= len(teachers):
                raise ValueError(f"{key}[{i}]: the teacher has only {len(teachers)} of them")
            teacher = teachers[i]
            if student.shape != teacher.shape:
                raise ValueError(
                    f"{key}[{i}]: {tuple(student.shape)} of the student, {tuple(teacher.shape)} of the teacher"
                )
            if key == "hidden_states":
                student, teacher = self._unhidden(student), self._unhidden(teacher)
            loss = loss + alpha * self.similarity_loss_fn(student, teacher)
        return loss

    def _unhidden(self, states):
        """The last axis of the tokens that count: [tokens, size]."""
        mask = (self._input or {}).get("attention_mask")
        return states.flatten(0, -2) if mask is None else states[mask.bool()]


def _output(outputs, name):
    value = outputs.get(name) if hasattr(outputs, "get") else None
    if value is None:
        known = list(outputs) if hasattr(outputs, "keys") else []
        raise KeyError(unknown_name("output", name, known))
    return value


class _StudentForward:
    """A student's forward() that also runs the teacher and adds its loss, in training."""

    def __init__(self, student, student_alpha, asks):
        self.student = student
        self.student_alpha = student_alpha
        self.asks = asks  # outputs that the losses need
        own = inspect.signature(student.forward)
        of_teacher = inspect.signature(student._teacher.teacher.forward)
        self.only_teacher = _names(of_teacher) - _names(own)
        self.only_student = _names(own) - _names(of_teacher)
        self.teacher_takes = None if _takes_any(of_teacher) else _names(of_teacher)
        self.__signature__ = _joined(own, [of_teacher.parameters[name] for name in sorted(self.only_teacher)])
        functools.update_wrapper(self, student.forward, assigned=("__doc__", "__name__"), updated=())

    def __call__(self, *args, **kwargs):
        student = self.student
        kwargs = {**dict(zip(self.__signature__.parameters, args, strict=False)), **kwargs}
        if student.training:
            kwargs.update(self.asks)
        output = student._forward(**{k: v for k, v in kwargs.items() if k not in self.only_teacher})
        if not student.training:
            return output
        if getattr(output, "loss", None) is None:
            raise ValueError("the student gives no loss: call it with labels and return_dict=True")
        student._teacher(**{k: v for k, v in kwargs.items() if self._is_for_teacher(k)})
        output.loss = output.loss * self.student_alpha + student._teacher.compute_distill_loss(output)
        return output

    def _is_for_teacher(self, name):
        return name not in self.only_student and (self.teacher_takes is None or name in self.teacher_takes)


def _takes_any(signature):
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())


def _names(signature):
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {name for name, parameter in signature.parameters.items() if parameter.kind not in kinds}


def _joined(signature, others):
    """A signature with further parameters, by keyword only, before its **kwargs."""
    own = list(signature.parameters.values())
    rest = [parameter for parameter in own if parameter.kind is inspect.Parameter.VAR_KEYWORD]
    own = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    added = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in others]
    return signature.replace(parameters=own + added + rest)


def hf_add_teacher_to_student(
    student,
    teacher,
    *,
    student_alpha=0.5,
    teacher_ce_alpha=0.5,
    teacher_hidden_alpha=None,
    teacher_attention_alpha=None,
    teacher_ce_temperature=1.0,
    teacher_similarity_loss="mse",
    teacher_logit_names="logits",
    teacher_ce_weights=None,
    teacher_convert_parameters=True,
):
    """Lets a student learn from a teacher in any training loop: the loss that it gives holds both.

    The student's forward() is replaced until `hf_remove_teacher_from_student`. Gives the student.
    """
    if hasattr(student, "_teacher"):
        raise RuntimeError(
            "the student has a teacher: hf_remove_teacher_from_student() comes before a new one"
        )
    student._teacher = HFTeacherWrapper(
        teacher,
        ce_alpha=teacher_ce_alpha,
        ce_temperature=teacher_ce_temperature,
        logit_names=teacher_logit_names,
        ce_weight=teacher_ce_weights,
        hidden_alpha=teacher_hidden_alpha,
        attention_alpha=teacher_attention_alpha,
        similarity_loss=teacher_similarity_loss,
        convert_parameters=teacher_convert_parameters,
    )
    asks = {f"output_{key}": True for key, alphas in student._teacher.alphas.items() if alphas is not None}
    student._forward = student.forward
    student.forward = _StudentForward(student, student_alpha, asks)
    # Means over a batch: a Trainer that accumulates gradients divides them itself, instead of having the student's
    # own loss alone counted over several batches.
    student.accepts_loss_kwargs = False
    return student


def hf_remove_teacher_from_student(student):
    """Takes the teacher away and gives the student its own forward() back. Gives the student."""
    if not hasattr(student, "_teacher"):
        raise RuntimeError("the student has no teacher")
    forward = student._forward
    del student._teacher, student._forward, student.forward, student.accepts_loss_kwargs
    if student.forward != forward:  # it was not the class's own
        student.forward = forward
    return student
