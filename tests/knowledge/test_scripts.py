"""Facts in scripts without blanks, with accents, and in languages that make one word of several."""

import sqlite3
from pathlib import Path

import pytest

from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.words import words
from parlai_cu.types import Fact, Turn

FACTS = {
    "zh": ("中央图书馆", "中央图书馆星期日不开门。"),
    "zh2": ("", "新会员需要出示身份证。"),
    "ja": ("港図書館", "港図書館の閉館時間は午後八時です。"),
    "ja2": ("", "カードをなくした場合は電話してください。"),
    "th": ("", "ค่าปรับคืนหนังสือช้าวันละห้าบาท"),
    "de": ("", "Die Krankenversicherungskarte bitte zu jedem Besuch mitbringen."),
    "de2": ("", "Am Samstag gelten verkürzte Öffnungszeiten."),
    "fr": ("Café Élan", "La terrasse est fermée en hiver."),
    "pl": ("", "Zajęcia odbywają się w świetlicy."),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> SQLiteFacts:
    """One fact or two of each language."""
    pytest.importorskip("rapidfuzz")
    place: Path = tmp_path_factory.mktemp("scripts")
    made = SQLiteFacts(f"sqlite:///{place / 'facts.db'}", writable=True)
    made.add(Fact(text, id=name, entity=entity) for name, (entity, text) in FACTS.items())
    return made


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("中央图书馆几点开门?", "zh"),
        ("我要带身份证吗", "zh2"),
        ("港図書館は何時に閉館しますか", "ja"),
        ("カードをなくしました", "ja2"),
        ("คืนหนังสือช้าเสียเท่าไหร่", "th"),
        ("Brauche ich eine Versicherungskarte?", "de"),
        ("Wo finde ich die OFFNUNGSZEITEN", "de2"),
        ("ist cafe elan offen", "fr"),
        ("co jest w swietlicy", "pl"),
    ],
)
def test_it_is_found(base: SQLiteFacts, question: str, wanted: str) -> None:
    """The right one comes first."""
    assert base.query(Turn(question), 3)[0].id == wanted


def test_text_without_blanks_is_read_two_letters_at_a_time() -> None:
    """Beside words with blanks; a letter alone stays."""
    assert words("Wi-Fi は無料 A") == ["wi", "fi", "は無", "無料", "a"]
    assert words("是 4") == ["是", "4"]


def test_a_base_of_the_first_format_reads_them_so_from_its_first_change_on(tmp_path: Path) -> None:
    """Its facts were one long word each."""
    uri = f"sqlite:///{tmp_path / 'facts.db'}"
    SQLiteFacts(uri, writable=True).add([Fact("图书馆星期日不开门。", id="zh")])
    with sqlite3.connect(tmp_path / "facts.db") as old:
        old.execute("UPDATE facts SET terms = '图书馆星期日不开门'")
        old.execute("UPDATE state SET value = '1' WHERE name = 'terms'")
        old.execute("PRAGMA user_version = 1")
    base = SQLiteFacts(uri, writable=True)
    assert [fact.id for fact in base.query(Turn("星期日开门吗"))] == ["zh"]
    assert base.verify() == []
