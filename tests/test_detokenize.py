"""A model's reply as a person would write it."""

import pytest

from parlai_cu.detokenize import detokenize, readable

TOKENS = {
    "i can help with plans , devices , bills .": "I can help with plans, devices, bills.",
    "your bill is $ 150 . it ' s due at 3 : 30 p . m . today": (
        "Your bill is $150. It's due at 3:30 p.m. today"
    ),
    "that is $ 1 , 250 . 50 , or 12 % .": "That is $1,250.50, or 12%.",
    "do n't worry , i 'm here ; you ' ll see !": "Don't worry, I'm here; you'll see!",
    'he said " no way " , ( twice ) .': 'He said "no way", (twice).',
    "we open mon - fri , 9 - 17 .": "We open mon-fri, 9-17.",
    "call + 1 503 - 334 - 2167 .": "Call +1 503-334-2167.",
    "das kostet 9 , 90 € . wann ? um 9 : 00 .": "Das kostet 9,90 €. Wann? Um 9:00.",
    "what ? ! no . . . fine": "What?! No... Fine",
    "Fly from O ' Hare .": "Fly from O'Hare.",
    "read https : / / www . shop . example / plans / new . bye": (
        "Read https://www.shop.example/plans/new. Bye"
    ),
    "write to first . last @ shop . example .": "Write to first.last@shop.example.",
}
WRITTEN = [
    "Your bill is $150. It's due at 3:30 p.m. today (or tomorrow).",
    "Not at the moment - can you search again?",
    "See https://a.example/x_y?z=1,2 and `x . y` and me@a.example.",
    "* one\n* two",
    "Ja, das geht: 9,90 €.",
    "你好，世界。",
    "",
    "...",
]


@pytest.mark.parametrize("tokens", TOKENS)
def test_tokens_become_text(tokens: str) -> None:
    """Marks stand where a person puts them, sentences begin with a capital."""
    assert detokenize(tokens) == TOKENS[tokens]


@pytest.mark.parametrize("text", [*WRITTEN, *TOKENS.values()])
def test_what_is_written_well_stays(text: str) -> None:
    """Text, addresses and code are as they were, however often it is done."""
    assert detokenize(text) == text


def test_code_facts_and_addresses_are_not_touched() -> None:
    """In the middle of tokens, too."""
    said = "type `a . b ( c )` at https://x.example/a,b , or say eBay 3 , 4 : x ."
    kept = detokenize(said, verbatim=["eBay 3 , 4 : x"])
    assert kept == "type `a . b ( c )` at https://x.example/a,b, or say eBay 3 , 4 : x."


def test_capitals_are_the_models_where_it_has_any() -> None:
    """Sentences begin with one only where the model knows none."""
    assert detokenize("iPhone . see the R2 .") == "iPhone. see the R2."
    assert detokenize("see the r2 . ok .") == "See the r2. Ok."


def test_an_act_is_another_one() -> None:
    """The model hears its own words; facts in them are as the base has them."""
    act = {"id": "M", "text": "it costs $ 5 .", "episode_done": False}
    assert readable(act)["text"] == "It costs $5." and act["text"] == "it costs $ 5 ."
    told = {"text": "iX 3 costs $ 5 .", "knowledge": [{"text": "iX 3 costs $ 5 ."}]}
    assert readable(told) is told
    assert readable({"payload": {}}) == {"payload": {}}
