"""A misspelt command is answered as such, whatever flags follow; no other command is asked."""

import pytest

WRONG = [
    (["train_modle", "-t", "jsonfile"], "train_model"),
    (["versoins", "list", "--versions", "d"], "versions"),
    (["knowlege_base", "search", "--text", "x"], "knowledge_base"),
    (["srve", "--config-path", "c.yml", "-m", "x"], "serve"),
    (["interactve", "--nothing-at-all"], "interactive"),
]


@pytest.mark.parametrize("words, meant", WRONG)
def test_a_misspelt_command(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The nearest one is named, and its own flags are nobody's."""
    from parlai.core import script

    with pytest.raises(SystemExit) as ended:
        script.superscript_main(words)
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert f"invalid choice: '{words[0]}'" in told and meant in told
    assert "versions --help" not in told and "unrecognized" not in told
