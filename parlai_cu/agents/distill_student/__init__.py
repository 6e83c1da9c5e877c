"""``-m distill_student``."""

from parlai_cu.agents.distill_student.distill_student import DistillStudentAgent

__all__ = ["DistillStudentAgent"]
