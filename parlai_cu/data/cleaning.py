"""Texts as people read them: markup taken off, marks of direction and of width gone."""

import html
import re
from html.parser import HTMLParser

_MARKUP = re.compile(
    r"</?(?:p|br|div|span|a|b|i|ul|li|table|td|html|body|strong|em|font|img)\b[^<>]*>", re.I
)
_ENTITY = re.compile(r"&(?:nbsp|amp|lt|gt|quot|#\d+|#x[0-9a-fA-F]+|[a-zA-Z]{3,8});")
# marks that exports put around names and numbers; joiners within words and emoji stay
INVISIBLE = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_ENDS_LINE = frozenset("p br div li tr h1 h2 h3 h4 blockquote".split())
_HIDDEN = frozenset(("style", "script", "head"))


def has_markup(text: str) -> bool:
    """Whether there are tags of HTML, or its entities, in a text."""
    return bool(_MARKUP.search(text) or _ENTITY.search(text))


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.hidden += tag in _HIDDEN
        if tag in _ENDS_LINE:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in _HIDDEN and self.hidden > 0
        if tag in _ENDS_LINE:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)


def without_markup(text: str) -> str:
    """A text without HTML; lines stay lines."""
    if _MARKUP.search(text):
        parser = _Words()
        parser.feed(text)
        parser.close()
        text = "".join(parser.parts)
    elif _ENTITY.search(text):
        text = html.unescape(text)
    return tidy(text)


def tidy(text: str) -> str:
    """A text without invisible marks, blank lines, and space at its lines' ends."""
    lines = (" ".join(line.split()) for line in INVISIBLE.sub("", text).split("\n"))
    return "\n".join(line for line in lines if line)
