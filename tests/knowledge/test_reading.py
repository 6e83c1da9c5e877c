"""A row in words."""

from parlai_cu.knowledge.reading import row_sentence


def test_empty_cells_are_not_told() -> None:
    """Nor is an entity that is not there."""
    assert row_sentence({"a_b": "1", "c": ""}, "X") == "X: a b 1."
    assert row_sentence({"a": "1"}, "") == "a 1."
