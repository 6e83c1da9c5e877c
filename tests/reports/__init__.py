"""Kinds of situation taken from public reports: a file a kind, its siblings within."""
