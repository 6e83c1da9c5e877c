"""Words as searches see them: without case, accents, endings, and what every sentence has."""

import functools
import importlib
import importlib.util
import os
import re
import sys
import unicodedata
from types import ModuleType
from typing import Any

_WORD = re.compile(r"[^\W_]+")
# Thai, Lao, Burmese, Khmer, Japanese, Chinese
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)
# no word of more letters is kept whole: nobody types it, and an index must stay small
_LONGEST = 40
# what says nothing of the subject
STOP_WORDS = frozenset(
    """
    a about actually all also am an and any anything are as at be been but by can could d did do
    does doing for from get give go going good got had has have hello help here hey hi how i if in
    into is it its just know let like ll look looking m make many may me might mine more most much
    must my need no not of off oh ok okay on one or our out please re s shall she should so some
    something sure t tell than thank thanks that the their them then there these they thing this
    those to too up us ve very want was we well were what when where which while who whose why will
    with would yes you your
    """.split()
)


@functools.lru_cache(maxsize=1)
def _stemmer() -> Any:
    return _without_the_rest_of_nltk()("english")


def _without_the_rest_of_nltk() -> Any:
    """
    NLTK's SnowballStemmer, without all else that ``import nltk`` brings: SciPy, scikit-learn and
    pandas, four seconds of them.

    snowballstemmer would be a package of its own, but gives some words other stems than are kept
    in indexes already.
    """
    spec = importlib.util.find_spec("nltk")
    if "nltk" not in sys.modules and spec is not None:
        bare, stems = ModuleType("nltk"), ModuleType("nltk.stem")
        corpus = ModuleType("nltk.corpus")
        bare.__path__ = list(spec.submodule_search_locations or ())
        stems.__path__ = [os.path.join(folder, "stem") for folder in bare.__path__]
        corpus.stopwords = None  # type: ignore[attr-defined]  # only for a stemmer that leaves them out
        sys.modules.update({"nltk": bare, "nltk.stem": stems, "nltk.corpus": corpus})
        try:
            return importlib.import_module("nltk.stem.snowball").SnowballStemmer
        finally:
            # who imports nltk gets it whole
            for name in [name for name in sys.modules if name.partition(".")[0] == "nltk"]:
                del sys.modules[name]
    return importlib.import_module("nltk.stem.snowball").SnowballStemmer


@functools.lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """A word without its ending: ``charges`` and ``charged`` are both ``charg``."""
    return str(_stemmer().stem(word))


def words(text: str) -> list[str]:
    """
    The words of a text, lower case and without accents; letters and digits only.

    Of what is written without blanks (Chinese, Japanese, Thai ...) each two letters in a row.

    >>> words("The Café's wi-fi?")
    ['the', 'cafe', 's', 'wi', 'fi']
    >>> words("图书馆几点开")
    ['图书', '书馆', '馆几', '几点', '点开']
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    if not _UNSPACED.search(plain):
        return [word[:_LONGEST] for word in _WORD.findall(plain)]
    found: list[str] = []
    for word in _WORD.findall(_UNSPACED.sub(r" \g<0> ", plain)):
        pairs = [word[i : i + 2] for i in range(max(len(word) - 1, 1))]
        found += pairs if _UNSPACED.match(word) else [word[:_LONGEST]]
    return found


def terms(text: str) -> list[str]:
    """The stems of the words that say something of the subject, in order."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]
