"""The one place the version is written; setup.py reads it."""

__version__ = "0.2.0"
