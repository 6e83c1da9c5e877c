"""
The diagrams of the docs: boxes and arrows, as SVG files beside the pages.

    python docs/draw.py

They are pictures that need nothing else, legible on a phone; the words on them are text, so that
they can be searched and read aloud.
"""

from html import escape
from pathlib import Path

HERE = Path(__file__).parent
WIDTH, LINE, SIZE = 540, 19, 14
# fill and stroke of what a box stands for
COLOURS = {
    "theirs": ("#f3f4f6", "#6b7280"),
    "ours": ("#e0ecff", "#2b5fb4"),
    "kept": ("#e7f5e8", "#2e7d32"),
    "stop": ("#fdecea", "#b3261e"),
}


class Drawing:
    """
    A picture of boxes on a grid of pixels.

    :param height: px
    :param says: what it shows, for who cannot see it
    """

    def __init__(self, height: int, says: str) -> None:
        self.height, self.says = height, says
        self.parts: list[str] = []

    def box(self, x: int, y: int, width: int, words: str, kind: str = "ours") -> tuple[int, int]:
        """
        A box with a line of text for each line of ``words``, the first in bold.

        :return: where it ends: right, bottom
        """
        lines = words.split("\n")
        height = LINE * len(lines) + 14
        fill, stroke = COLOURS[kind]
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" '
            f'stroke="{stroke}" stroke-width="1.5"/>'
        )
        for number, line in enumerate(lines):
            weight = ' font-weight="600"' if number == 0 else ""
            self.text(x + 10, y + 7 + LINE * number + SIZE, line, weight)
        return x + width, y + height

    def text(self, x: int, y: int, words: str, more: str = "") -> None:
        """A line of text, its baseline at ``y``."""
        self.parts.append(f'<text x="{x}" y="{y}"{more}>{escape(words)}</text>')

    def arrow(self, *points: tuple[int, int], words: str | None = None) -> None:
        """An arrow along some points; its words stand beside the middle of its first part."""
        path = " L".join(f"{x} {y}" for x, y in points)
        self.parts.append(
            f'<path d="M{path}" fill="none" stroke="#374151" stroke-width="1.5" '
            'marker-end="url(#tip)"/>'
        )
        if words:
            (x, y), (to_x, to_y) = points[:2]
            across = y == to_y
            shift = ' text-anchor="middle"' if across else ""
            at = ((x + to_x) // 2, y - 5) if across else (x + 8, (y + to_y) // 2 + 5)
            self.text(*at, words, f' font-size="13" fill="#374151"{shift}')

    def svg(self) -> str:
        """The file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" '
            f'width="{WIDTH}" height="{self.height}" role="img" '
            f'font-family="system-ui, Helvetica, Arial, sans-serif" font-size="{SIZE}" '
            'fill="#111827">\n'
            f"<title>{escape(self.says)}</title>\n"
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" '
            'markerHeight="8" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="#374151"/>'
            "</marker></defs>\n"
            f'<rect width="{WIDTH}" height="{self.height}" rx="8" fill="#ffffff"/>\n'
        )
        return head + "\n".join(self.parts) + "\n</svg>\n"


def decision() -> Drawing:
    """Which way for which update."""
    questions = [
        ("Does the live model know it already?", "nothing", "stop"),
        ("Another style, the content as it was?", "distill_student\nlittle replay", "kept"),
        ("New values, asked and told as ever?", "kb_augmented\nno training", "kept"),
        ("New values, and new ways to talk?", "distill_student\n+ kb_augmented", "kept"),
        ("New words: a subject of its own?", "distill_student\nor isolated sets", "kept"),
    ]
    drawn = Drawing(472, "Questions from top to bottom; the first yes decides the way")
    y = 16
    for asked, way, kind in questions:
        _, bottom = drawn.box(16, y, 312, asked, "theirs")
        drawn.box(376, y if "\n" not in way else y - 9, 148, way, kind)
        drawn.arrow((328, y + 16), (376, y + 16), words="yes")
        drawn.arrow((150, bottom), (150, y + 78), words="no")
        y += 78
    drawn.box(
        16, y, 508, "frozen_layer: some answers change\n--tune @ffn, and old data replayed", "kept"
    )
    return drawn


def activation() -> Drawing:
    """How every parlai command comes to know the plugin."""
    drawn = Drawing(442, "From the start of Python to a parlai command that knows the plugin")
    steps = [
        ("Python starts\nreads parlai_cu.pth, beside the package", "theirs"),
        ("parlai_cu/activation.py\nputs a hook on imports, and does nothing more", "ours"),
        ("import parlai\nby any command, script or notebook", "theirs"),
        (
            "the hook acts\nnames of agents, tasks, commands and zoo models are\nregistered "
            "from parlai_cu/plugin.py; nothing is loaded yet",
            "ours",
        ),
    ]
    y = 14
    for words, kind in steps:
        _, bottom = drawn.box(16, y, 508, words, kind)
        drawn.arrow((120, bottom), (120, bottom + 24))
        y = bottom + 24
    right, bottom = drawn.box(
        16, y, 246, "-m frozen_layer\nthe agent's module is\nloaded now", "ours"
    )
    drawn.box(
        278,
        y,
        246,
        "a module that broke is\nimported: its repair in\ncompat/ runs, if needed",
        "ours",
    )
    drawn.arrow((400, y - 24), (400, y))
    words = "If a part cannot be loaded, one line says so, and ParlAI works without it."
    drawn.text(16, bottom + 26, words)
    return drawn


def agents() -> Drawing:
    """What an agent of ours is."""
    drawn = Drawing(322, "An agent of ours on top of the deployed model's own agent")
    drawn.box(
        16, 14, 240, "deployed/model\n.opt: agent, sizes, tokenizer\n.dict, weights", "theirs"
    )
    drawn.text(20, 112, "only read, never written", ' font-size="13"')
    right, bottom = drawn.box(290, 14, 234, "-m frozen_layer\nwhich tensors learn", "ours")
    _, next_bottom = drawn.box(
        290, bottom + 8, 234, "UpdatingAgent\nreplay, penalties, resuming", "ours"
    )
    _, last = drawn.box(
        290,
        next_bottom + 8,
        234,
        "the model's own agent\nany ParlAI agent: loss, search,\nvectors",
        "theirs",
    )
    drawn.arrow((256, 40), (290, 40))
    drawn.arrow((400, last), (400, last + 34))
    drawn.text(20, last + 18, "the three are one class, composed for this model", ' font-size="13"')
    y = last + 34
    drawn.box(
        16,
        y,
        508,
        "candidate/model\nan ordinary ParlAI model: the same agent's file, with the changed\n"
        "tensors; what was not chosen is bit-identical, checked at each save",
        "kept",
    )
    return drawn


def update() -> Drawing:
    """The life of an update."""
    drawn = Drawing(560, "The life of an update, from data to the live version")
    steps = [
        ("data\nsplit, leaks found; held-out examples are set aside", "theirs"),
        ("diagnosis\nhow new, which wording, which facts, what is contradicted", "ours"),
        ("choice\nthe first way that fits, with its reasons; --mode overrules", "ours"),
        ("training\nthe stock train_model, beside replay; Ctrl-C and go on", "theirs"),
        (
            "gate\nboth models answer the same held-out examples:\ngain, loss, safety, "
            "latency, size, your own checks",
            "ours",
        ),
    ]
    y = 14
    for words, kind in steps:
        _, bottom = drawn.box(16, y, 508, words, kind)
        drawn.arrow((90, bottom), (90, bottom + 22))
        y = bottom + 22
    _, bottom = drawn.box(16, y, 200, "accepted\na new version", "kept")
    drawn.box(250, y, 274, "refused, or not enough data\nkept with its verdict, not served", "stop")
    drawn.arrow((380, y - 22), (380, y))
    drawn.arrow((90, bottom), (90, bottom + 30), words="promote: one atomic step")
    _, last = drawn.box(
        16,
        bottom + 30,
        508,
        "channel live\nservices change over between turns; rollback is a step back",
        "kept",
    )
    drawn.height = last + 16
    return drawn


def serving() -> Drawing:
    """A turn, and a change of version under it."""
    drawn = Drawing(520, "A turn through the service, and a new version that comes in beside it")
    drawn.box(16, 14, 508, "users\nwebsocket, HTTP, browser page", "theirs")
    drawn.arrow((120, 66), (120, 90))
    drawn.box(
        16,
        90,
        508,
        "socket thread\nlimits, tokens, who is where; nobody else touches sockets",
        "ours",
    )
    drawn.arrow((120, 142), (120, 166))
    drawn.box(
        16,
        166,
        508,
        "worlds\nchat_service's own, each in a greenlet: they wait, not a thread",
        "theirs",
    )
    drawn.arrow((120, 218), (120, 242), words="turns that wait, as one batch")
    drawn.box(
        16,
        242,
        508,
        "model thread: -m deployed\neach conversation on its version; replies are finished",
        "ours",
    )
    drawn.arrow((120, 294), (120, 340))
    drawn.arrow((400, 340), (400, 294), words="next turn")
    drawn.box(16, 340, 230, "version 1\nloaded, live", "kept")
    drawn.box(290, 340, 234, "version 2\nloaded in the background,\nasked once, checked", "kept")
    drawn.arrow((320, 436), (320, 411), words="seen within half a second")
    drawn.box(
        16,
        436,
        508,
        "versions directory\nparlai versions promote, rollback: moves the channel live",
        "ours",
    )
    drawn.height = 436 + 52 + 16
    return drawn


DRAWINGS = {
    "decision": decision,
    "activation": activation,
    "agents": agents,
    "update": update,
    "serving": serving,
}


def files() -> dict[Path, str]:
    """What the files have to hold."""
    return {HERE / f"{name}.svg": draw().svg() for name, draw in DRAWINGS.items()}


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content)
