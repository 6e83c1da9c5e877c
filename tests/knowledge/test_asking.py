"""Questions to tables, graphs and databases: what is answered, and what is left alone."""

import sqlite3
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pytest

from parlai_cu.knowledge.asking import values
from parlai_cu.knowledge.asking.answering import answer
from parlai_cu.knowledge.asking.language import LANGUAGES, language
from parlai_cu.knowledge.asking.linked import linked_tables
from parlai_cu.knowledge.asking.saying import like
from parlai_cu.knowledge.asking.schema import TypedTable, tables_of
from parlai_cu.knowledge.importing.files import read_source
from parlai_cu.types import Turn

LAMPS = """Modell;Kategorie;Preis (€);Gewicht (kg);Farben;Auf Lager;Lieferbar ab
Alto 3;Lampe;199,00;2,4;rot, blau;6;01.02.2026
Alto 5;Lampe;1.249,00;3,1;schwarz;0;01.05.2026
Crema One;Kaffeemaschine;329,00;7,8;silber;2;01.01.2026
Crema Duo;Kaffeemaschine;499,00;9,9;silber, schwarz;1;01.03.2026
"""
SHOPS = """Shop name,Address,Opening hours,Parking,Seats,Remarks
Market Hall,3 Market Street,"Mon-Fr 9-18, Sat 10-14, Sun closed",yes,12,
Station,1 Station Square,Mon-Sun 8 am to 8 pm,no,40,No dogs. Closed from 9.3.2026 to 11.3.2026
Old Dock,7 Quay,Tue-Sat 10:00-22:00,yes,25,Live music on Fridays
"""
WEDNESDAY = datetime(2026, 3, 4, 10)
Ask = Callable[..., str]


def asking(tables: list[TypedTable]) -> Ask:
    """What is answered to the last of several turns; empty: nothing."""

    def ask(*turns: str) -> str:
        history: list[str] = []
        for text in turns:
            found = answer(Turn(text, tuple(history)), tables, WEDNESDAY)
            history += [text, found.text if found else "..."]
        return found.text if found else ""

    return ask


def imported(folder: Path, name: str, text: str) -> Ask:
    """The tables of a file."""
    (folder / name).write_text(text, encoding="utf-8")
    return asking(tables_of(read_source(str(folder / name))[0].facts))


@pytest.fixture
def lamps(tmp_path: Path) -> Ask:
    """A price list."""
    return imported(tmp_path, "lamps.csv", LAMPS)


@pytest.fixture
def shops(tmp_path: Path) -> Ask:
    """Shops with their hours in a column."""
    return imported(tmp_path, "shops.csv", SHOPS)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (["what does the Alto 3 cost?"], "The Alto 3 costs 199,00 €."),
        (["waht dose the alto 3 cots"], "The Alto 3 costs 199,00 €."),
        (["how heavy is the crema duo"], "The Crema Duo weighs 9,9 kg."),
        (["is the alto 5 in stock?"], "No, the Alto 5 is out of stock."),
        (["what does the alto 3 cost", "and the alto 5?"], "The Alto 5 costs 1.249,00 €."),
        (["what does the alto 3 cost", "how heavy is it"], "Alto 3 weighs 2,4 kg."),
        (
            ["which is lighter, the alto 3 or the alto 5?"],
            "Alto 3: 2,4 kg, against 3,1 kg for Alto 5.",
        ),
        (
            ["is the crema duo cheaper than the crema one"],
            "No: 499,00 € for Crema Duo, 329,00 € for Crema One.",
        ),
        (
            ["how much more is the alto 5 than the alto 3"],
            "1.050,00 € more: 1.249,00 € for Alto 5, 199,00 € for Alto 3.",
        ),
        (["which is the cheapest?"], "Alto 3, at 199,00 €."),
        (["what is your cheapest lamp"], "Alto 3, at 199,00 €."),
        (["which lamps cost more than 200 euros?"], "Alto 5 (1.249,00 €)."),
        (["how many lamps cost between 100 and 300"], "One: Alto 3."),
        (["was kostet die Alto 3?"], "Alto 3 kostet 199,00 €."),
        (["welche Lampe ist am billigsten?"], "Alto 3 für 199,00 €."),
        (["wie viele Kaffeemaschinen haben Sie?"], "Zwei: Crema One und Crema Duo."),
        (["gibt es die Alto 3 in blau?"], "Ja, Farben von Alto 3: rot, blau."),
        (["what does the alto 7 cost"], ""),
        (["how long is the warranty of the alto 3"], ""),
        (["what does repairing the alto 3 cost"], ""),
        (["what does the alto 3 cost", "thanks a lot!"], ""),
        (["hello"], ""),
    ],
)
def test_a_price_list(turns: list[str], expected: str, lamps: Ask) -> None:
    """Values, follow-ups, comparisons, bounds, counts; nothing where a word was not understood."""
    assert lamps(*turns) == expected


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (["where is the market hall"], "The Market Hall is at 3 Market Street."),
        (["is the market hall open on sunday?"], "No, the Market Hall is closed on Sundays."),
        (
            ["is the station open tomorrow at 7 pm"],
            "Yes, the Station is open tomorrow (Thursday): 8 am to 8 pm.",
        ),
        (
            ["is the market hall open on saturday at 3?"],
            "No, the Market Hall is open 10-14 on Saturdays.",
        ),
        (
            ["is the station open on 10 March?"],
            "No. No dogs. Closed from 9.3.2026 to 11.3.2026.",
        ),
        (["which shops are open on mondays"], "Market Hall and Station."),
        (["which shops are not open on mondays"], "Old Dock."),
        (["how many shops have parking?"], "Two: Market Hall and Old Dock."),
        (["which shops have no parking"], "Station."),
        (["which shop has the most seats"], "Station, with 40 seats."),
        (
            ["is the old dock open today", "and the market hall?"],
            "Yes, the Market Hall is open today (Wednesday): 9-18.",
        ),
        (["until when is the old dock open on friday"], "The Old Dock closes at 22:00 on Fridays."),
        (["are there dogs at the station?"], "No. Station: No dogs."),
        (["is there a swimming pool at the station?"], ""),
    ],
)
def test_shops_and_a_clock(turns: list[str], expected: str, shops: Ask) -> None:
    """Hours of a week in one column, days as people say them, remarks that close."""
    assert shops(*turns) == expected


def test_columns_of_opening_and_closing(tmp_path: Path) -> None:
    """Two columns of times, and one that says whether it is open on Sundays."""
    ask = imported(
        tmp_path,
        "branches.csv",
        "name,opens,closes,sunday\nAshford,9 am,6 pm,no\nBrook,10 am,8 pm,yes\n",
    )
    assert ask("when does ashford close?") == "Ashford closes at 6 pm."
    assert ask("is ashford open on sunday?") == "No, Ashford is closed on Sundays."
    assert ask("which branches are open on sundays?") == "Brook."
    assert ask("which branches close after 7 pm") == "Brook."
    assert ask("is brook open tomorrow at 9 am") == (
        "No, Brook is open 10 am-8 pm tomorrow (Thursday)."
    )


TARIFFS = """
CREATE TABLE tariffs (id INTEGER PRIMARY KEY, name TEXT, price_eur REAL, data_gb INT, five_g INT);
INSERT INTO tariffs VALUES (1,'Nano',7.99,2,0), (2,'Wave M',14.99,15,1), (3,'Wave L',24.99,50,1);
CREATE TABLE options (id INTEGER PRIMARY KEY, name TEXT, price_eur REAL);
INSERT INTO options VALUES (1,'Roaming',9.9), (2,'Music Pass',3.0);
CREATE TABLE tariff_options (tariff_id INT REFERENCES tariffs, option_id INT, included INT);
INSERT INTO tariff_options VALUES (2,2,0), (3,2,1), (3,1,0);
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("how much is wave m?", "Wave M costs 14.99 EUR."),
        ("how much data does wave l include", "Wave L has 50 GB of data."),
        ("which tariffs have 5g", "Wave M and Wave L."),
        ("which options can i book with wave l", "Roaming and Music Pass."),
        ("is the music pass included in wave m", "No, Wave M, Music Pass is not included."),
        ("is roaming available for nano", "No, Nano has no options."),
        ("which tariff is the cheapest?", "Nano, at 7.99 EUR."),
        ("what does wave xl cost", ""),
    ],
)
def test_tables_joined_by_their_keys(text: str, expected: str, tmp_path: Path) -> None:
    """Declared keys and those that are only called so; rows that join two are told at both ends."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from parlai_cu.knowledge.table_things import things_in

    with sqlite3.connect(tmp_path / "t.db") as database:
        database.executescript(TARIFFS)
    database.close()
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 't.db'}")
    metadata = sqlalchemy.MetaData()
    with engine.connect() as db:
        metadata.reflect(bind=db)
        ask = asking(linked_tables(things_in(db, dict(metadata.tables), {})))
    engine.dispose()
    assert ask(text) == expected


def test_columns_of_any_type(tmp_path: Path) -> None:
    """JSON, infinity, and days that there are not: told, and nothing breaks."""
    pytest.importorskip("sqlalchemy")
    from parlai_cu.knowledge.backends.structured import StructuredDatabase

    with sqlite3.connect(tmp_path / "t.db") as database:
        database.executescript(
            "CREATE TABLE lamps (id INTEGER PRIMARY KEY, name TEXT, traits JSON, life REAL, "
            "built TEXT, price REAL);"
            """INSERT INTO lamps VALUES (1, 'Alto', '{"a": [1]}', 9e999, '2024-13-45 1', 7.5),"""
            "(2, 'Crema', '[0, 1]', 2.0, '2024-05-01 9:00', 9.0)"
        )
    database.close()
    town = StructuredDatabase(f"sql+sqlite:///{tmp_path / 't.db'}")
    (found, *_) = town.query(Turn("what is the price of alto?"))
    assert found.text == "Alto costs 7.5."
    town.close()


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2024-05-01 9:00", date(2024, 5, 1)),
        ("2024-05-01T09:00:00Z", date(2024, 5, 1)),
        ("2024-13-45 1", None),
        ("2024-02-30T10:00", None),
    ],
)
def test_days_with_a_time(cell: str, expected: date | None) -> None:
    """The day alone counts; a day that there is not is none."""
    assert values.day_of(cell) == expected


MUSEUMS = """
@prefix : <http://m.example/> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
:Museum rdfs:label "museum"@en, "Museum"@de . :director rdfs:label "director"@en, "Direktorin"@de .
:sea a :Museum ; rdfs:label "Sea Museum"@en, "Meeresmuseum"@de ; :director :ada ; :price 12.5 ;
    :locatedIn :dock ; :hasCafe true .
:toy a :Museum ; rdfs:label "Toy Museum"@en, "Spielzeugmuseum"@de ; :director :ada ; :price 6 ;
    :hasCafe false .
:ada a :Person ; rdfs:label "Ada Okoro" ; :email "ada@m.example" .
:dock a :Quarter ; rdfs:label "Old Dock" ; :tram "7" .
"""


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (["who is the director of the sea museum"], "The director of the Sea Museum is Ada Okoro."),
        (
            ["who is the director of the sea museum", "what is her email?"],
            "The email of the director of Sea Museum is ada@m.example.",
        ),
        (["how many museums are there"], "Two: Sea Museum and Toy Museum."),
        (["which museum is the cheapest"], "Toy Museum, at 6."),
        (["which museums are in the old dock?"], "Sea Museum."),
        (["which tram goes to the sea museum"], "The tram of the Sea Museum is 7."),
        (["does the toy museum have a cafe"], "No, the Toy Museum has no cafe."),
        (["wer ist die Direktorin vom Meeresmuseum?"], "Direktorin von Meeresmuseum: Ada Okoro."),
        (["who is the director of the bread museum"], ""),
    ],
)
def test_a_graph(turns: list[str], expected: str) -> None:
    """Labels in the language that is asked in, two hops, counts and extremes."""
    rdflib = pytest.importorskip("rdflib")
    from parlai_cu.knowledge.graph_things import things_of

    graph = rdflib.Graph().parse(data=MUSEUMS, format="turtle")
    said = "de" if turns[0].startswith("wer") else "en"
    assert asking(linked_tables(things_of(graph, said)))(*turns) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("09:00-20:00", [(540, 1200)]),
        ("9-5 pm", [(540, 1020)]),
        ("9 am to 1 pm, 14:00-18:30", [(540, 780), (840, 1110)]),
        ("20:00-02:00", [(1200, 1560)]),
        ("closed", []),
        ("by appointment", None),
    ],
)
def test_hours(cell: str, expected: list[tuple[int, int]] | None) -> None:
    """As people write them."""
    assert values.spans(cell) == expected


def test_numbers_are_written_as_their_neighbours() -> None:
    """Decimal commas, groups and currency as in the file."""
    assert like("4.490,00 €", 2300) == "2.300,00 €"
    assert like("£65", 17) == "£17"
    assert like("1,499.00", 5000) == "5,000.00"


def test_languages_say_the_same() -> None:
    """Each has the sentences and the lines that the others have."""
    known = [set(language(name).say) for name in LANGUAGES]
    lines = [set(language(name).raw) for name in LANGUAGES]
    assert all(said == known[0] for said in known)
    assert all(said == lines[0] for said in lines)
