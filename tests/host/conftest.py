"""Snippets in an interpreter of their own, as in tests/compat."""

from tests.compat.conftest import python

__all__ = ["python"]
