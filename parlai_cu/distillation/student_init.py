"""What a student starts from: evenly spaced layers of its teacher, where shapes allow."""

import re
from typing import Dict, List, Tuple

import torch

from parlai_cu.distillation.hidden_states import evenly_spaced

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


def copy_layers(
    student: Dict[str, torch.Tensor], teacher: Dict[str, torch.Tensor]
) -> Tuple[Dict[str, torch.Tensor], List[str]]:
    """
    The student's initial weights.

    A numbered layer is taken from the teacher's evenly spaced one
    (:func:`~parlai_cu.distillation.hidden_states.evenly_spaced`), everything else from what has
    its name. A tensor of another shape, or that the teacher does not have, stays as it is.

    :param student: its freshly initialised state_dict
    :param teacher: the teacher's state_dict
    :return: (a state_dict for the student, the names that were copied)
    """
    numbers = {stack: evenly_spaced(*pair) for stack, pair in _stacks(student, teacher).items()}
    state, copied = dict(student), []
    for name, tensor in student.items():
        source = teacher.get(_renumber(name, numbers))
        if source is not None and source.shape == tensor.shape:
            state[name] = source.detach().clone().to(tensor)
            copied.append(name)
    return state, copied


def _stacks(
    student: Dict[str, torch.Tensor], teacher: Dict[str, torch.Tensor]
) -> Dict[str, Tuple[int, int]]:
    counts = [_count(student), _count(teacher)]
    return {
        stack: (counts[0][stack], counts[1][stack]) for stack in counts[0] if stack in counts[1]
    }


def _count(state: Dict[str, torch.Tensor]) -> Dict[str, int]:
    """Numbered layers by the name of what holds them; of nested ones the outermost."""
    highest: Dict[str, int] = {}
    for name in state:
        match = _NUMBER.search(name)
        if match:
            stack = name[: match.start()]
            highest[stack] = max(highest.get(stack, 0), int(match.group()) + 1)
    return highest


def _renumber(name: str, numbers: Dict[str, List[int]]) -> str:
    match = _NUMBER.search(name)
    if not match or name[: match.start()] not in numbers:
        return name
    number = numbers[name[: match.start()]][int(match.group())]
    return f"{name[: match.start()]}{number}{name[match.end() :]}"
