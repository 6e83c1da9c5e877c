"""parlai_cu/serving/phrases.py: what is for the service, and what is for the model."""

import pytest

from parlai_cu.serving import phrases


@pytest.mark.parametrize("text", ["[DONE]", " [done]\n", "[Done]"])
def test_a_command(text: str) -> None:
    """A whole message, in any case."""
    assert phrases.command(text) == phrases.DONE


@pytest.mark.parametrize(
    "text", ["say [DONE] please", "[DONE].", "DONE", "[ DONE ]", "[RESET][DONE]"]
)
def test_not_a_command(text: str) -> None:
    """Part of a message is text for the model."""
    assert phrases.command(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Where is that from?",
        "where's that from",
        "And where did you get this from?",
        "How do you know that?",
        "what is your source?",
        "source?",
        "[SOURCE]",
        "where does it come from?",
        "Where does your answer come from?",
    ],
)
def test_asking_for_the_source(text: str) -> None:
    """In several words."""
    assert phrases.asks_for_source(text)


@pytest.mark.parametrize(
    "text",
    [
        "where is that shop from the station?",
        "my sister is from Spain",
        "what is the data source",
        "",
    ],
)
def test_other_questions(text: str) -> None:
    """Go to the model."""
    assert not phrases.asks_for_source(text)


@pytest.mark.parametrize("text", ["Which version are you?", "what's your version", "[version]"])
def test_asking_for_the_version(text: str) -> None:
    """In several words."""
    assert phrases.asks_for_version(text)


@pytest.mark.parametrize("text", ["which version of Android do you need?", "version"])
def test_other_versions(text: str) -> None:
    """Go to the model."""
    assert not phrases.asks_for_version(text)


@pytest.mark.parametrize(
    "text, right",
    [
        ("That is wrong, say it costs 6 euros.", "it costs 6 euros."),
        ("that's wrong. Say: We open at 9", "We open at 9"),
        ("No, that’s not true; the right answer is 40 GB", "40 GB"),
        ('wrong, you should have said "No, it does not."', "No, it does not."),
        ("your answer is incorrect - please say:\nline one\nline two", "line one\nline two"),
        ("This is not right! It should be Monday", "Monday"),
    ],
)
def test_a_correction(text: str, right: str) -> None:
    """What is to be said instead, without quotes."""
    assert phrases.correction(text) == right


@pytest.mark.parametrize(
    "text",
    [
        "that is wrong",
        "that is wrong, say",
        "wrong answer to my question",
        "my bill is wrong, say the people in the shop",
        "that is wrong, I said Monday",
        "they say that is wrong, say my friends",
        "wrong saying things",
    ],
)
def test_no_correction(text: str) -> None:
    """Complaints without a better answer, and other sentences, go to the model."""
    assert phrases.correction(text) is None


@pytest.mark.parametrize("long", ["wrong" + " " * 50_000, "please " * 20_000, "wrong," * 10_000])
def test_long_messages_are_read_in_one_go(long: str) -> None:
    """No pattern takes more than a moment; a slow one would run for hours here."""
    assert phrases.correction(long) is None
    assert not phrases.asks_for_source(long) and not phrases.asks_for_version(long)
