"""ParlAI's text format: a turn a line, ``text:...<tab>labels:...<tab>episode_done:True``."""

import re

from parlai_cu.data.base import (
    REJECTED,
    SERVICE,
    USER,
    Conversation,
    Reading,
    ReadOptions,
    Utterance,
)
from parlai_cu.data.source import Source

_FIELD = re.compile(r"(?:^|\t)text:")


class ParlAIText:
    """Read by ParlAI's ``fromfile`` as well."""

    title = "ParlAI's text format"

    def recognises(self, source: Source) -> bool:
        """Whether the first lines have text and labels."""
        first = [line for line in source.text[:20_000].split("\n")[:20] if line.strip()]
        held = sum(bool(_FIELD.search(line)) and "\tlabels:" in line for line in first)
        return bool(first) and 2 * held > len(first)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All episodes."""
        reading = Reading(stock="fromfile", counted="episode")
        said: list[Utterance] = []
        begins = 0
        for number, line in enumerate(source.text.split("\n"), 1):
            if not line.strip():
                continue
            fields = dict(part.split(":", 1) for part in line.split("\t") if ":" in part)
            text, labels = fields.get("text"), fields.get("labels") or fields.get("eval_labels")
            begins = begins or number
            if text is None or labels is None:
                reading.leave_out("no text or no labels", [number])
            else:
                label = _plain(re.split(r"(?<!\\)\|", labels)[0])
                said.append(Utterance("user", _plain(text), number, USER))
                wrong = tuple(map(_plain, filter(None, fields.get(REJECTED, "").split("|"))))
                said.append(Utterance("service", label, number, SERVICE, rejected=wrong))
            if fields.get("episode_done", "").strip() == "True" and said:
                reading.conversations.append(Conversation(str(begins), said, begins))
                said, begins = [], 0
        if said:
            reading.conversations.append(Conversation(str(begins), said, begins))
        return reading


def _plain(text: str) -> str:
    """As ParlAI writes it, line ends and bars are escaped."""
    return text.replace("\\n", "\n").replace("__PIPE__", "|")
