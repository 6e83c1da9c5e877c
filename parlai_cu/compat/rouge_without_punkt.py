"""
nltk 3.8.2 (2024) reads its sentence splitter from ``punkt_tab``; before it was ``punkt``.

Seen: with py-rouge installed but nltk's data not, or only the ``punkt`` that ParlAI's hint
names, ``--metrics rouge`` and ``--metrics all`` report no ROUGE at all: every score ends in a
LookupError, of which one warning tells (``parlai/core/metrics.py``, line 784).
Goes when: py-rouge tokenizes without downloaded data.

ParlAI scores text without punctuation. That is always one sentence, which nltk splits into
words without data, to the same words: exact, not an approximation. Text with sentence ends
still needs the data and still says so.
"""

import importlib.util
import re
from types import ModuleType
from typing import Any

# where the Punkt splitter may end a sentence (nltk's PunktLanguageVars.sent_end_chars)
_SENTENCE_END = re.compile(r"[.?!]")


def needed() -> str | None:
    """Why the repair is active, or None."""
    if importlib.util.find_spec("rouge") is None or importlib.util.find_spec("nltk") is None:
        return None
    import nltk  # type: ignore[import-untyped]

    try:
        nltk.sent_tokenize("a")
    except LookupError:
        return "nltk's punkt_tab is not downloaded, without which py-rouge scores nothing"
    return None


def after(module: ModuleType) -> None:
    """Let py-rouge split a single sentence without nltk's data."""
    import nltk

    rouge: Any = getattr(module, "Rouge", None)
    if rouge is None or not hasattr(rouge, "tokenize_text"):
        return  # the other package that is called rouge on PyPI; it does without nltk

    stock_words, stock_sentences = rouge.tokenize_text, rouge.split_into_sentences

    def tokenize_text(text: str, language: str = "english") -> list[str]:
        try:
            return stock_words(text, language)
        except LookupError:
            if _SENTENCE_END.search(text):
                raise
            return nltk.word_tokenize(text, language, preserve_line=True)

    def split_into_sentences(
        text: str, ensure_compatibility: bool, language: str = "english"
    ) -> list[str]:
        try:
            return stock_sentences(text, ensure_compatibility, language)
        except LookupError:
            if _SENTENCE_END.search(text):
                raise
            return [text]

    rouge.tokenize_text = staticmethod(tokenize_text)
    rouge.split_into_sentences = staticmethod(split_into_sentences)
