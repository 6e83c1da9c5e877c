"""What the tests of other people's agents share with those of our own."""

from tests.agents.conftest import both

__all__ = ["both"]
