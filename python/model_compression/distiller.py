"""Knowledge distillation in an ordinary training loop (Hinton et al. 2015)."""

import torch
from torch import nn
from torch.nn import functional as F


class TeacherWrapper(nn.Module):
    """A trained network, and the loss of a student that deviates from it.

    ce_alpha: weight of the loss.
    ce_temperature: of the softmax of both; the loss is multiplied by its square, so that the size of gradients stays.
    convert_parameters: the teacher's parameters become buffers, which no optimizer finds.
    keep_gradients: let gradients pass through the teacher to its inputs.
    """

    def __init__(
        self, teacher, *, ce_alpha=0.0, ce_temperature=1.0, convert_parameters=True, keep_gradients=False
    ):
        super().__init__()
        if not isinstance(teacher, nn.Module):
            raise TypeError(f"a teacher is a torch.nn.Module, not {type(teacher).__name__}")
        if not ce_temperature > 0:
            raise ValueError(f"ce_temperature must be above 0, is {ce_temperature}")
        self.teacher = teacher
        self.ce_alpha = ce_alpha
        self.ce_temperature = ce_temperature
        self.keep_gradients = keep_gradients
        self._output = None
        if convert_parameters:
            self.convert_parameters_to_buffers()

    def forward(self, *args, **kwargs):
        """The teacher's outputs, which are kept for the loss. The teacher is always in eval mode."""
        self.teacher.eval()
        self._output = None  # memory of the step before, if that had no loss
        with torch.set_grad_enabled(self.keep_gradients):
            self._output = self.teacher(*args, **kwargs)
        return self._output

    def convert_parameters_to_buffers(self):
        """Makes the teacher's parameters buffers of the same names; tied ones stay tied."""
        buffers = {}
        for module in self.teacher.modules():
            for name, parameter in list(module.named_parameters(recurse=False, remove_duplicate=False)):
                delattr(module, name)
                module.register_buffer(name, buffers.setdefault(id(parameter), parameter.data))

    def compute_cross_entropy_loss(self, student_outputs, teacher_outputs):
        """Kullback-Leibler divergence of the softened outputs, by the last axis, mean over the batch."""
        temperature = self.ce_temperature
        student = F.log_softmax(student_outputs / temperature, dim=-1)
        teacher = F.softmax(teacher_outputs / temperature, dim=-1)
        return F.kl_div(student, teacher, reduction="batchmean") * temperature**2

    def compute_distill_loss_callback(self, student_outputs, teacher_outputs=None):
        """For a subclass: the weighted loss between these outputs."""
        return self.ce_alpha * self.compute_cross_entropy_loss(student_outputs, teacher_outputs)

    def compute_distill_loss(self, student_outputs, teacher_outputs=None):
        """The loss against `teacher_outputs`, or else the outputs of the last forward pass, which are let go then."""
        teacher_outputs = self.get_teachers_outputs(teacher_outputs)
        loss = self.compute_distill_loss_callback(student_outputs, teacher_outputs)
        self._output = None
        return loss

    def get_teachers_outputs(self, teacher_outputs=None):
        """What is given, or else the outputs of the last forward pass."""
        outputs = self._output if teacher_outputs is None else teacher_outputs
        if outputs is None:
            raise RuntimeError(
                "the teacher has no outputs: a forward pass in training mode comes before each distillation loss"
            )
        return outputs


class DistillationModelWrapper(nn.Module):
    """A student that computes as before; in training its teachers see the same inputs.

    The loss is alpha_student times the student's own, plus those of the teachers.
    """

    def __init__(self, student, teachers, *, alpha_student=1.0, **_):
        super().__init__()
        teachers = list(teachers) if isinstance(teachers, list | tuple | nn.ModuleList) else [teachers]
        for teacher in teachers:
            if not isinstance(teacher, TeacherWrapper):
                raise RuntimeError(  # noqa: TRY004, the type that users of the reference package catch
                    f"a teacher must be in a TeacherWrapper; this is a {type(teacher).__name__}"
                )
        self.student = student
        self.teachers = nn.ModuleList(teachers)
        self.alpha_student = alpha_student

    def forward(self, *args, **kwargs):
        """The student's outputs."""
        if self.training:
            for teacher in self.teachers:
                teacher(*args, **kwargs)
        return self.student(*args, **kwargs)

    def compute_loss(self, student_loss, student_outputs):
        """The loss to train with; in eval mode the student's own."""
        if not self.training:
            return student_loss
        loss = student_loss * self.alpha_student
        for teacher in self.teachers:
            loss = loss + teacher.compute_distill_loss(student_outputs)
        return loss
