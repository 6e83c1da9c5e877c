"""What a student starts from: spread layers of its teacher, narrowed where they are too wide."""

import re

import torch

State = dict[str, torch.Tensor]

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


def copy_layers(student: State, teacher: State) -> tuple[State, list[str]]:
    """
    The student's initial weights.

    A numbered layer is taken from one of the teacher's (:func:`spread_layers`), everything else
    from what has its name. Where only the feed-forward layers are narrower, the teacher's most
    active units are taken. A tensor that does not fit, or that the teacher does not have, stays
    as it is.

    :param student: its freshly initialised state_dict
    :param teacher: the teacher's state_dict
    :return: (a state_dict for the student, the names that were copied)
    """
    numbers = {
        stack: spread_layers(count, _count(teacher)[stack])
        for stack, count in _count(student).items()
        if stack in _count(teacher)
    }
    source = {
        name: teacher[_renumber(name, numbers)]
        for name in student
        if _renumber(name, numbers) in teacher
    }
    source.update(_narrowed(student, source))
    state, copied = dict(student), []
    for name, tensor in student.items():
        if name in source and source[name].shape == tensor.shape:
            state[name] = source[name].detach().clone().to(tensor)
            copied.append(name)
    return state, copied


def spread_layers(of_student: int, of_teacher: int) -> list[int]:
    """
    The teacher's layers to start from: spread from the first to the last; a single one is the
    first.

    Shleifer and Rush 2020, https://arxiv.org/abs/2010.13002, section 3.1. Measured here, a
    student of one layer each that starts from its teacher's first ones is ahead of one that
    starts from the last ones.

    :param of_student: number of the student's layers
    :param of_teacher: number of the teacher's layers
    :return: indices of the teacher's layers

    >>> spread_layers(3, 12)
    [0, 6, 11]
    """
    if of_student == 1:
        return [0]
    # round half up: round() would go to the even neighbour
    return [
        int(i * (of_teacher - 1) / (of_student - 1) + 0.5)
        if of_student <= of_teacher
        else i * of_teacher // of_student
        for i in range(of_student)
    ]


def _narrowed(student: State, teacher: State) -> State:
    """
    The teacher's two-layer feed-forward blocks, cut to the student's width.

    :param teacher: by the student's names
    """
    found: State = {}
    for name, first in student.items():
        if not name.endswith(".weight") or first.dim() != 2 or name not in teacher:
            continue
        parent = name.rsplit(".", 2)[0]
        for other, second in student.items():
            if other == name or other.rsplit(".", 2)[0] != parent or other not in teacher:
                continue
            width, wide = first.size(0), teacher[name].size(0)
            shapes = (second.shape, teacher[other].shape, first.size(1), teacher[name].size(1))
            model = first.size(1)
            if shapes != ((model, width), (model, wide), model, model) or width >= wide:
                continue
            # how much a unit can move the output: the norms of its way in and its way out
            weight = teacher[name].float().norm(dim=1) * teacher[other].float().norm(dim=0)
            kept = weight.topk(width).indices.sort().values
            bias = name[: -len("weight")] + "bias"
            found[name], found[other] = teacher[name][kept], teacher[other][:, kept]
            if bias in teacher:
                found[bias] = teacher[bias][kept]
    return found


def _count(state: State) -> dict[str, int]:
    """Numbered layers by the name of what holds them; of nested ones the outermost."""
    highest: dict[str, int] = {}
    for name in state:
        match = _NUMBER.search(name)
        if match:
            stack = name[: match.start()]
            highest[stack] = max(highest.get(stack, 0), int(match.group()) + 1)
    return highest


def _renumber(name: str, numbers: dict[str, list[int]]) -> str:
    match = _NUMBER.search(name)
    if not match or name[: match.start()] not in numbers:
        return name
    number = numbers[name[: match.start()]][int(match.group())]
    return f"{name[: match.start()]}{number}{name[match.end() :]}"
