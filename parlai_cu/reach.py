"""
What the options of a model would have a process reach: a host, code of a module, a file elsewhere.

A model's ``.opt`` is data of whoever made it. What it names outside the model's folder counts where
this user stands behind it: they name it now (a flag, config.yml), they trained a model with it here
before, they imported it as a version, or they say ``--trust-checkpoint``. ``PARLAI_CU_ALLOW`` is a
list of more, with commas between: beginnings of URIs and modules, files and folders.

Settings that only the training read which made the model (its data, its logs, the model that it
began with) open nothing, and are not asked about.
"""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from parlai_cu import files, named, user_cache
from parlai_cu.errors import ModelFileError
from parlai_cu.trust import FLAG, trusted

ALLOWED = "PARLAI_CU_ALLOW"
HOST, CODE, FILE = "a host", "code of a module", "a file outside its folder"
# flags of the run that made the model, and those with rules of their own
NOT_READ = re.compile(
    r"(model_file|dict_file|init_model|init_opt|init_fairseq_model|load_from_pretrained_ranker"
    r"|teacher_model|student_.*|dict_initpath|embedding_type|datapath|.*_datapath|datafile|outfile"
    r"|output_conversion_path|parlai_home|download_path|world_logs|.*logdir|log.*|.*report.*|save.*"
    r"|final_extra_opt|(sgd|dstc11|corrections|messages|image|yfcc)_path|dump_.*|mturk_.*|partner_.*"
    r"|replay_.*|update_.*|teacher_cache|cache_frozen|tune|freeze|versions|kb|adapters?|task|model"
    r"|base_agent|override|starttime|chatlog|dynamic_batching|image_mode|loglevel|.*_task)"
)
# of such a flag the value is a file's, also where that is missing
NAMES_A_FILE = re.compile(
    r"path_to_.*|.*(path|_filename|_file|_from_file|_vocab|_merge|_vecs|_synonyms|_encodings|_index)"
)
# of other flags, what looks like a file's name is one where there is such a file
_LOOKS_LIKE_A_FILE = re.compile(r".*\.[A-Za-z]\w{0,7}")
_AGENTS = ("model", "base_agent", "student_agent")
# packages that are installed with us
_KNOWN = ("parlai.", "parlai_cu.", "projects.", "cu:", "internal:", "zoo:")
_CLASS = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*")
_OF_HOSTS = re.compile(r"(.*_)?(server|host|url|uri|endpoint|address)")
_SCHEME = re.compile(r"([A-Za-z][\w.-]*)(?:\+([A-Za-z][\w.-]*))?:(.*)", re.DOTALL)
_LOCAL = ("sqlite", "graph", "agent", "file")
_HOSTS = ("http", "https", "postgresql", "postgres", "mysql", "mariadb", "oracle", "mssql")
_LONGEST = 4096  # characters of a path
# flags and values of the command that the user has given last
_said: set[str] = set()


class Reached(NamedTuple):
    """
    Something beyond the model's folder.

    :param flag: the option that names it
    :param value: as it stands there; of several with commas one
    :param what: it is
    :param place: the value, or the whole path of a file
    """

    flag: str
    value: str
    what: str
    place: str

    def __str__(self) -> str:
        shown = re.sub(r"(?<=//)[^/@\s]++@", "", self.value)
        return f"{self.flag}: {shown} ({self.what})"


def say(words: Iterable[Any]) -> None:
    """
    Note what the user themselves says: it is theirs, whatever an ``.opt`` says as well. What an
    earlier command of this process said is over.

    :param words: of a command line
    """
    _said.clear()
    for word in map(str, words):
        flag, _, value = word.partition("=")
        _said.update((_flag(flag.lstrip("-")), value) if word.startswith("-") else (word,))


def reached(opt: Mapping[str, Any], model_file: str | None = None) -> list[Reached]:
    """
    All that a model's options reach when it is opened.

    :param opt: of its ``.opt``
    :param model_file: where it is, whose folder is its own; without one files are not looked for
    """
    return [each for flag, value in opt.items() for each in _of_flag(flag, value, model_file)]


def _of_flag(flag: str, value: object, model_file: str | None) -> Iterator[Reached]:
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _of_flag(flag, one, model_file)
    if not isinstance(value, str) or not value or len(value) > _LONGEST:
        return
    if flag == "kb":
        for uri in filter(None, map(str.strip, value.split(","))):
            yield from _of_knowledge(uri, model_file)
    elif flag in _AGENTS:
        if ":" in value and not value.startswith(_KNOWN):
            yield Reached(flag, value, CODE, value)
    elif not NOT_READ.fullmatch(flag):
        is_class = _CLASS.fullmatch(value) is not None and not value.startswith(_KNOWN)
        if "://" in value or (_OF_HOSTS.fullmatch(flag) and value.lower() != "none"):
            yield Reached(flag, value, HOST, value)
        elif is_class and named.is_there(value.partition(":")[0]):
            yield Reached(flag, value, CODE, value)
        else:
            for word in words(value):
                if names_a_file(flag, word):
                    yield from _of_path(flag, word, word, model_file)


def _of_knowledge(uri: str, model_file: str | None) -> Iterator[Reached]:
    match = _SCHEME.fullmatch(uri)
    scheme, inner, rest = match.groups() if match is not None else ("file", None, uri)
    if (scheme in _LOCAL and not inner) or inner == "sqlite" or (scheme == "sqlite" and inner):
        path = rest[3:] if rest.startswith("///") else rest
        yield from _of_path("kb", uri, path.partition("?")[0], model_file)
    else:
        is_host = scheme in _HOSTS or inner in _HOSTS or rest.startswith("//")
        yield Reached("kb", uri, HOST if is_host else CODE, uri)


def words(value: object) -> list[str]:
    """The values of a flag, each of which may be a file's name."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return list(value)
    if not isinstance(value, str):
        return []
    return [value] if os.path.exists(value) else value.split(",")


def names_a_file(flag: str, word: str) -> bool:
    """Whether a ``word`` is a path by how it looks or whose it is: of that ``flag``."""
    return (
        os.sep in word
        or NAMES_A_FILE.fullmatch(flag) is not None
        or _LOOKS_LIKE_A_FILE.fullmatch(word) is not None
    )


def places(word: str, model_file: str) -> tuple[str, str]:
    """Where the file of a ``word`` in a model's options may be, in the order of the search."""
    return word, os.path.join(os.path.dirname(model_file), word)


def _of_path(flag: str, value: str, path: str, model_file: str | None) -> Iterator[Reached]:
    if model_file is None:
        return
    for place in places(path, model_file):
        with contextlib.suppress(OSError, ValueError):
            own = os.path.realpath(os.path.dirname(os.path.abspath(model_file)))
            real = os.path.realpath(place)
            if os.path.exists(real) and os.path.commonpath((own, real)) != own:
                yield Reached(flag, value, FILE, real)
                return


def check(
    opt: Mapping[str, Any],
    model_file: str,
    only: str | None = None,
    said: Container[str] = (),
) -> None:
    """
    Refuse what nobody but a model's ``.opt`` has named.

    :param opt: of the ``.opt``
    :param model_file: beside which it stands
    :param only: the kind that is looked at; all where missing
    :param said: options for which the user has given another value
    :raises ModelFileError: with what it would reach, and how to allow it
    """
    if trusted() or _is_version(model_file):
        return
    wanted = [one for one in reached(opt, model_file) if only in (None, one.what)]
    open_ones = [one for one in wanted if one.flag not in said and not _accepted(one)]
    if not open_ones or _is_older(opt, model_file):
        return
    first = open_ones[0]
    raise ModelFileError(
        f"{model_file}.opt names {'; '.join(map(str, open_ones))}. It could send what users say "
        "elsewhere, run code, or show them files. If you trust those whom the model is from: "
        f"{FLAG}, or say {_flag(first.flag)} yourself, or let {ALLOWED} hold the "
        "beginning of that value"
    )


def own_dictionary(opt: Mapping[str, Any], model_file: str) -> str | None:
    """
    The dictionary beside a model, where its ``.opt`` names another that is not the user's.

    :param opt: of the ``.opt``
    :param model_file: beside which it stands
    :raises ModelFileError: when there is none beside it
    """
    beside = f"{model_file}.dict"
    other = list(_of_path("dict_file", path, path, model_file) if (path := _dict_file(opt)) else ())
    if trusted() or _is_version(model_file) or all(map(_accepted, other)):
        return None
    if os.path.isfile(beside):
        return beside
    if _is_older(opt, model_file):
        return None
    raise ModelFileError(
        f"{model_file}.opt names {other[0]}, and there is no {beside}. If you trust those whom the "
        f"model is from: {FLAG}, or say --dict-file yourself"
    )


def _dict_file(opt: Mapping[str, Any]) -> str:
    path = opt.get("dict_file")
    return path if isinstance(path, str) and len(path) <= _LONGEST else ""


def _accepted(one: Reached) -> bool:
    if _flag(one.flag) in _said or one.value in _said:
        return True
    allowed = filter(None, map(str.strip, os.environ.get(ALLOWED, "").split(",")))
    if any(one.value.startswith(each) or one.place.startswith(each) for each in allowed):
        return True
    return _mark(one) in _trained_here()[1]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _is_version(model_file: str) -> bool:
    """Whether it was put together from a versions directory, whose importer was asked."""
    folder = os.path.realpath(os.path.dirname(model_file))
    return folder.startswith(os.path.realpath(user_cache.folder("versions")) + os.sep)


# -- what was trained here -------------------------------------------------------------------


def remember(opt: Mapping[str, Any], model_file: str) -> None:
    """
    Note that the user trains a model here with what its options name: it opens from now on.

    :param opt: of the run
    :param model_file: that is trained
    """
    began, marks = _trained_here()
    dictionary = _dict_file(opt)
    used = [*reached(opt, model_file), *_of_path("dict_file", dictionary, dictionary, model_file)]
    lines = [] if began else [str(time.time())]
    lines += sorted({_mark(one) for one in used} - marks)
    if lines:
        with contextlib.suppress(OSError):  # a home that cannot be written: it has to be said
            files.private_folder(os.path.dirname(_register()))
            text = "".join(f"{line}\n" for line in lines)
            files.append(_register(), text.encode(), mode=0o600)


def _mark(one: Reached) -> str:
    return hashlib.sha256(f"{one.what}\0{one.place}".encode("utf-8", "replace")).hexdigest()


def _register() -> str:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "parlai_cu", "trained_here")


def _trained_here() -> tuple[float, set[str]]:
    """Since when it is noted (0: not yet), and the marks of what models were trained with."""
    try:
        with open(_register(), encoding="utf-8") as f:
            first, *marks = f.read().split()
        return float(first), set(marks)
    except (OSError, ValueError):
        return 0.0, set()


def _is_older(opt: Mapping[str, Any], model_file: str) -> bool:
    """Whether a model was trained here, in this place, by a release that did not note it yet."""
    began, _ = _trained_here()
    home, place = opt.get("parlai_home"), opt.get("model_file")
    with contextlib.suppress(OSError):
        changed = os.stat(f"{model_file}.opt").st_ctime
        return (
            (not began or changed < began)
            and bool(home and place)
            and home == os.environ.get("PARLAI_HOME")
            and os.path.realpath(str(place)) == os.path.realpath(model_file)
        )
    return False
