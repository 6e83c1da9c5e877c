"""What is held out, and what counts as the same text."""

import random

from parlai_cu.data.near_duplicates import first_of_each
from parlai_cu.data.splits import splits_of

ASKED = [
    f"Is the {what} number {n} free on {day}?"
    for what in ("room", "boat", "court")
    for n in range(20)
    for day in ("Monday", "Sunday")
]


def test_growth_never_moves_held_out():
    """What was held out stays so, whatever joins the file, and in whichever order."""
    few = ASKED[::3]
    before = dict(zip(few, splits_of(few)))
    many = [*ASKED, *(f"{text} please" for text in ASKED[:30])]
    random.Random(1).shuffle(many)
    after = dict(zip(many, splits_of(many)))
    assert not [t for t in few if before[t] != "train" and after[t] == "train"]
    counts = [list(after.values()).count(split) for split in ("train", "valid", "test")]
    assert counts[0] > 60 and counts[1] > 4 and counts[2] > 10


def test_near_duplicates_stay_together():
    """Another case, mark, filler or slip of the pen: the same side."""
    texts = [*ASKED, *(f"{text.upper()}!" for text in ASKED), *(f"please, {t}" for t in ASKED)]
    splits = splits_of(texts)
    count = len(ASKED)
    assert splits[:count] == splits[count : 2 * count] == splits[2 * count :]


def test_small_files_have_all_parts():
    """Of three different conversations on, something is held out."""
    for count in range(3, 15):
        assert {"train", "test", "valid"} == set(splits_of(ASKED[:count]))


def test_same_texts():
    """What differs by nothing that says anything is the same; a number or a word is not."""
    base = "Where can I return the blue jacket that I bought in Bonn for 40 euros?"
    same = [
        "where can i return the BLUE jacket, that I bought in Bonn for 40 euros",
        "Where can I retrun the blue jacket that I bought in Bonn for 40 euros?",
        "Please, where can I return the blue jacket that I bought in Bonn for 40 euros?",
        "Where can I return the  blue jacket I bought in Bonn for 40 euros?",
    ]
    others = [
        "Where can I return the blue jacket that I bought in Bonn for 50 euros?",
        "Where can I return the grey jacket that I bought in Bonn for 40 euros?",
        "Where can I not return the blue jacket that I bought in Bonn for 40 euros?",
        "Where can I return the blue jacket that I bought in Kiel for 40 euros?",
    ]
    assert first_of_each([base, *same]) == [0] * 5
    assert first_of_each([base, *others]) == [0, 1, 2, 3, 4]


def test_long_texts():
    """A slip in a long conversation does not hide that it is the same."""
    words = [f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(120)]
    text = " ".join(words)
    slip = text.replace("wordea", "worea")
    other = " ".join(words[::-1])
    assert first_of_each([text, other, slip]) == [0, 1, 0]
