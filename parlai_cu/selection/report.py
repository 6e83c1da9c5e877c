"""What a selection means in numbers, for the log."""

from parlai_cu.selection.patterns import Selection

# tensors of the parameter's size that an optimizer keeps for it, as ParlAI configures them
# (adam is amsgrad there)
OPTIMIZER_TENSORS = {"adam": 3, "adamw": 2, "adamax": 2, "qhadam": 2, "mem_eff_adam": 2}
_MEGABYTE = 1024 * 1024


def report(
    selection: Selection, optimizer: str, extra: int = 0, adapted: list[str] | None = None
) -> str:
    """
    A table of what learns, block by block, and what that saves.

    :param selection: what learns
    :param optimizer: ParlAI's name of the optimizer, for the estimate of its state
    :param extra: parameters that were added and learn besides (low-rank factors)
    :param adapted: weights that stay frozen but got factors; they are counted by block
    """
    parameters = [t for t in selection.tensors if not t.is_buffer]
    learning = {t.name for t in parameters if t.name in selection.selected}
    if adapted is not None:
        learning = set()
    total = sum(t.numel for t in parameters)
    count = sum(t.numel for t in parameters if t.name in learning)
    marked = learning if adapted is None else set(adapted)
    heading = "learns" if adapted is None else "adapted"
    lines = [
        f"{count + extra:,d} of {total + extra:,d} parameters learn "
        f"({(count + extra) / (total + extra):.2%}), chosen by {selection.describe()}"
    ]
    blocks: dict[str, list[int]] = {}
    for t in parameters:
        row = blocks.setdefault(t.block, [0, 0])
        row[0] += t.numel if t.name in marked else 0
        row[1] += t.numel
    width = max(len(block) for block in blocks)
    lines.append(f"    {'block':<{width}}  {heading:>12}  {'of':>12}")
    for block, (part, whole) in blocks.items():
        share = f"{part / whole:.0%}" if part else "frozen" if adapted is None else "-"
        lines.append(f"    {block:<{width}}  {part:>12,d}  {whole:>12,d}  {share}")
    for t in parameters:
        if t.aliases and (t.name in learning):
            lines.append(f"    tied: {' = '.join(t.names)} is one tensor and learns as one")
    buffers = [t.name for t in selection.learning if t.is_buffer]
    if buffers and adapted is None:
        lines.append(f"    buffers that may change: {', '.join(buffers)}")
    lines.append("    " + _savings(selection, learning, optimizer, extra))
    return "\n".join(lines)


def _savings(selection: Selection, learning: set, optimizer: str, extra: int) -> str:
    frozen = sum(
        t.numel * t.itemsize
        for t in selection.tensors
        if not t.is_buffer and not t.is_fixed and t.name not in learning
    )
    saved = f"{frozen / _MEGABYTE:.1f} MB of gradients"
    if optimizer in OPTIMIZER_TENSORS:
        state = frozen * OPTIMIZER_TENSORS[optimizer] / _MEGABYTE
        saved += f" and {state:.1f} MB of optimizer state"
    return f"saves {saved} against tuning everything"
