"""Immutable versions of a model in service: kept, compared, promoted, taken back."""
