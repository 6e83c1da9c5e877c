"""
What the options of a model would have a process reach: a host, a module, a file elsewhere.

A model's ``.opt`` is data of whoever made it. What it names outside its own folder counts only
where the user says so: on the command line or in config.yml, by ``--trust-checkpoint``, or by the
list in ``PARLAI_CU_ALLOW``, whose entries are beginnings of URIs, with commas between.
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from parlai_cu.errors import ModelFileError
from parlai_cu.trust import FLAG, trusted

ALLOWED = "PARLAI_CU_ALLOW"
_SCHEME = re.compile(r"([A-Za-z][\w.-]*)(?:\+([A-Za-z][\w.-]*))?:(.*)", re.DOTALL)
# of a file in the model's folder, or beside it
_OF_FILES = ("sqlite", "graph", "agent")
_HOSTS = ("http", "https", "postgresql", "postgres", "mysql", "mariadb", "oracle", "mssql")


def reached(uri: str) -> str | None:
    """
    What a knowledge base's URI reaches beyond local files, in words; None where nothing.

    :param uri: as after ``--kb``
    """
    found = _SCHEME.fullmatch(uri.strip())
    if found is None:
        return None
    scheme, inner, rest = found.groups()
    if scheme in _OF_FILES and not inner:
        return None
    if inner == "sqlite" or (scheme == "sqlite" and inner):
        return None
    if scheme in _HOSTS or inner in _HOSTS or rest.startswith("//"):
        return "a host"
    return "code of a module"


def named_by(opt: Mapping[str, Any]) -> list[str]:
    """
    What a model's options reach, each as ``name: value (what it is)``.

    :param opt: of its ``.opt``
    """
    told = []
    for uri in str(opt.get("kb") or "").split(","):
        what = reached(uri) if uri else None
        if what is not None:
            told.append(f"kb: {_without_password(uri)} ({what})")
    for name in ("model", "base_agent", "task"):
        value = opt.get(name)
        if isinstance(value, str) and ":" in value and not value.startswith(_KNOWN):
            told.append(f"{name}: {value} (code of a module)")
    return told


# packages that are installed with us
_KNOWN = ("parlai.", "parlai_cu.", "projects.", "cu:", "internal:", "zoo:")


def check(opt: Mapping[str, Any]) -> None:
    """
    Refuse a knowledge base elsewhere that nobody but a model's ``.opt`` has named.

    :param opt: of an agent, with what its ``.opt`` said
    :raises ModelFileError: with what it would reach, and how to allow it
    """
    uri = opt.get("kb")
    if not uri or trusted() or (opt.get("override") or {}).get("kb") == uri:
        return
    if not _stands_in_opt(opt.get("model_file"), uri):
        return
    allowed = [each.strip() for each in os.environ.get(ALLOWED, "").split(",") if each.strip()]
    for one in str(uri).split(","):
        what = reached(one)
        if what is None or any(one.startswith(each) for each in allowed):
            continue
        shown = _without_password(one)
        raise ModelFileError(
            f"{opt['model_file']}.opt names --kb {shown}, {what} that what users say would go to. "
            f"If you trust those whom the model is from, say --kb {shown} yourself or {FLAG}, or "
            f"let {ALLOWED} hold the beginning of that URI"
        )


def _stands_in_opt(model_file: Any, uri: Any) -> bool:
    """Whether a model's file of options has this knowledge base."""
    if not isinstance(model_file, str):
        return False
    try:
        with open(f"{model_file}.opt", encoding="utf-8") as f:
            return bool(json.load(f).get("kb") == uri)
    except (OSError, ValueError, AttributeError):
        return False


def _without_password(uri: str) -> str:
    return re.sub(r"(?<=//)[^/@\s]++@", "", uri)
