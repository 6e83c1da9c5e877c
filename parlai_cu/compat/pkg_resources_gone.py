"""
``pkg_resources`` left setuptools in version 82 (2026), and new virtual environments
have no setuptools at all.

Seen: ``parlai`` does not start, ``ModuleNotFoundError: No module named 'pkg_resources'``
(``parlai/core/opt.py``, line 18); the same from py-rouge.
Goes when: neither module imports ``pkg_resources`` any more.

The two modules get a stand-in for the functions they use, for the moment of their import
only: elsewhere ``import pkg_resources`` fails as it should.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterator


def needed() -> str | None:
    """Why the repair is active, or None."""
    if importlib.util.find_spec("pkg_resources") is not None:
        return None
    return "setuptools 82 and later have no pkg_resources, which parlai.core.opt imports"


@contextlib.contextmanager
def around() -> Iterator[None]:
    """Show the stand-in to the module that is imported."""
    sys.modules["pkg_resources"] = _stand_in()
    try:
        yield
    finally:
        sys.modules.pop("pkg_resources", None)


def _stand_in() -> types.ModuleType:
    module = types.ModuleType("pkg_resources", "parlai_cu's stand-in for two functions")
    module.resource_filename = resource_filename  # type: ignore[attr-defined]
    module.resource_exists = resource_exists  # type: ignore[attr-defined]
    return module


def resource_filename(package: str, resource: str) -> str:
    """The path of ``resource`` (slash-separated) in the folder of ``package``."""
    origin = importlib.import_module(package).__file__
    folder = os.path.dirname(origin) if origin else ""
    return os.path.join(folder, *resource.split("/"))


def resource_exists(package: str, resource: str) -> bool:
    """Whether ``package`` holds ``resource``; raises ModuleNotFoundError as the original."""
    return os.path.exists(resource_filename(package, resource))
