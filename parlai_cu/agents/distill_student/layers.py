"""Hidden states and attention of ParlAI's transformers, for matching student and teacher."""

from typing import Any

import torch
from parlai.agents.transformer.modules import (
    MultiHeadAttention,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)
from torch import nn

from parlai_cu.distillation.attention import attention_loss
from parlai_cu.distillation.hidden_states import HiddenStateLoss, matched_layers
from parlai_cu.errors import UsageError

_LAYERS = (TransformerEncoderLayer, TransformerDecoderLayer)


class LayerRecorder:
    """
    Remembers what each transformer layer of a model put out in its last forward pass.

    :param model: the bare model
    """

    def __init__(self, model: nn.Module) -> None:
        self.stacks: dict[str, int] = {}
        self.widths: dict[str, int] = {}
        self.heads: dict[str, int] = {}
        self.states: dict[tuple[str, int], torch.Tensor] = {}
        self.masks: dict[tuple[str, int], torch.Tensor] = {}
        self.attention: dict[tuple[str, int], list[Any]] = {}
        self.active = False
        for name, module in model.named_modules():
            if isinstance(module, _LAYERS):
                stack, _, number = name.rpartition(".")
                self.stacks[stack] = max(self.stacks.get(stack, 0), int(number) + 1)
                self._watch(module, stack, int(number))

    def _watch(self, layer: nn.Module, stack: str, number: int) -> None:
        place = (stack, number)

        def keep_states(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
        ) -> None:
            if self.active:
                self.states[place] = output[0] if isinstance(output, tuple) else output
                if isinstance(module, TransformerEncoderLayer):
                    self.masks[place] = args[1] if len(args) > 1 else kwargs["mask"]

        layer.register_forward_hook(keep_states, with_kwargs=True)
        for module in layer.modules():
            if isinstance(module, MultiHeadAttention):
                self.heads[stack] = module.n_heads
                self.widths[stack] = module.dim

                def keep_attention(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
                    if self.active:
                        scores = output[2]
                        shape = (-1, module.n_heads, scores.size(-2), scores.size(-1))
                        self.attention.setdefault(place, []).append(scores.view(shape).softmax(-1))

                module.register_forward_hook(keep_attention)

    def clear(self) -> None:
        """Forget, and let go of the graph."""
        self.states, self.masks, self.attention = {}, {}, {}


class LayerMatching:
    """
    The losses on hidden states and attention between two models.

    :param student: the student's bare model
    :param teacher: the teacher's
    :raises UsageError: when they have no stack of transformer layers in common
    """

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        self.student, self.teacher = LayerRecorder(student), LayerRecorder(teacher)
        self.pairs = matched_layers(self.student.stacks, self.teacher.stacks)
        if not self.pairs:
            raise UsageError(
                "--distill-hidden-weight and --distill-attention-weight match layers of ParlAI's "
                f"transformers; the student has {sorted(self.student.stacks) or 'none'}, the "
                f"teacher {sorted(self.teacher.stacks) or 'none'}"
            )
        self.hidden_loss = HiddenStateLoss(
            [(self.student.widths[stack], self.teacher.widths[stack]) for stack, _, _ in self.pairs]
        )

    def record(self, active: bool) -> None:
        """Start afresh (``active``), or stop."""
        for recorder in (self.student, self.teacher):
            recorder.active = active
            recorder.clear()

    def losses(
        self, which: torch.Tensor, label_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        After a forward pass of both.

        :param which: LongTensor[examples chosen], indices of the student's examples that the
            teacher saw
        :param label_mask: BoolTensor[len(which), length], False for padding of the replies
        :return: scalars: the loss on hidden states and that on attention, means over the matched
            layers
        """
        hidden, attention = [], []
        for stack, i, j in self.pairs:
            if (stack, i) not in self.student.states:
                continue
            of_student = self.student.states[stack, i]
            of_teacher = self.teacher.states[stack, j]
            # candidates are the same for all examples: nothing to choose from
            some = which if of_student.size(0) != of_teacher.size(0) else slice(None)
            mask = self.student.masks.get((stack, i))
            mask = label_mask if mask is None else mask[some].bool()
            length = mask.size(1)
            hidden.append(
                self.hidden_loss(of_student[some][:, -length:], of_teacher[:, -length:], mask)
            )
            ours, theirs = self.student.attention[stack, i], self.teacher.attention[stack, j]
            for one, other in zip(ours, theirs):
                one, other = one[some][:, :, -length:], other[:, :, -length:]
                attention.append(attention_loss(one, other, mask))
        return torch.stack(hidden).mean(), torch.stack(attention).mean()
