"""Files as people keep them: what is read, what is said, and what is counted as left out."""

import json
import os

import pytest

from parlai_cu.data.base import ReadOptions
from parlai_cu.data.reading import parse_columns, read_path
from parlai_cu.errors import DataError, UsageError

FILES = os.path.join(os.path.dirname(__file__), "files")
# file -> the line that says what it is, and its exchanges
EXPECTED = {
    "alpaca.json": (
        "alpaca.json: 2 instructions; Alpaca instructions",
        ["Translate to German.\nGood morning -> Guten Morgen", "Name a bike part. -> The saddle."],
    ),
    "babi.txt": (
        "babi.txt: 2 episodes, 3 replies; numbered lines (FbDialog)",
        [
            "Mary went to the desk.\nWhere is Mary? -> desk",
            "Where is the hall? -> downstairs",
            "Who is there? -> John",
        ],
    ),
    "chatwoot.csv": (
        "chatwoot.csv: 1 conversation; conversation = 'conversation_id', speaker = 'message_type', "
        "text = 'content', time = 'created_at', private = 'private'",
        ["Hi, what is the voltage? -> 230 volts."],
    ),
    "chatwoot.json": (
        "chatwoot.json: 1 conversation; Chatwoot conversations",
        ["Hi, what is the voltage? -> 230 volts."],
    ),
    "corrections.csv": (
        "corrections.csv: 3 corrections; question = 'Question', reply = 'Right answer', "
        "wrong = 'Bot answer'",
        [
            "Where is my parcel? -> Please give me the number, then I look. (not: It is lost.)",
            "Do you ship to Malta? -> Yes, within six days. (not: No.)",
            "Can I pay by card? -> Yes, by any card. 😀 (not: Cash only.)",
        ],
    ),
    "corrections_de.csv": (
        "corrections_de.csv: 4 corrections; question = 'Frage', reply = 'Richtige Antwort', "
        "wrong = 'Falsche Antwort'; read as cp1252",
        [
            "Was kostet der Rückversand? -> Der Rückversand kostet 4,90 €. (not: Nichts.)",
            "Wann öffnet die Filiale in Köln? -> Die Filiale in Köln öffnet um zehn Uhr, sonntags "
            "ist zu. (not: Um neun.)",
            'Kann ich "Express" wählen?\nGeht das morgen? -> Ja, „Express“ kommt\nam nächsten Tag. '
            "(not: Nein.)",
            "Was ist mit Größe 42? -> Größe 42 ist ab Montag da.",
        ],
    ),
    "faq.ods": (
        "faq.ods: 2 questions; question = 'Domanda', reply = 'Risposta'",
        ["Siete aperti? -> Sì, fino alle sei.", "C'è il parcheggio? -> No."],
    ),
    "faq_ar.tsv": (
        "faq_ar.tsv: 3 questions; question = 'السؤال', reply = 'الإجابة'",
        [
            "أين يقع المتجر؟ -> يقع المتجر في شارع البحر.",
            "متى تفتحون؟ -> نفتح الساعة التاسعة صباحا.",
            "هل التوصيل مجاني؟ -> نعم، فوق مئة درهم.",
        ],
    ),
    "freshdesk.json": (
        "freshdesk.json: 1 ticket; Freshdesk tickets",
        ["Is the mill loud? -> No, 60 dB."],
    ),
    "intercom.json": (
        "intercom.json: 1 conversation; Intercom conversations",
        ["Do you have an API? -> Yes, see the docs."],
    ),
    "no_header.csv": (
        "no_header.csv: 3 questions; question = 'column 1', reply = 'column 2'",
        [
            "Is there parking? -> Yes, behind the house.",
            "Is the pool open in May? -> It opens in June.",
            "May I bring a dog? -> Yes, a small one.",
        ],
    ),
    "openai.jsonl": (
        "openai.jsonl: 3 conversations, 4 replies; OpenAI messages",
        [
            "Do you rent e-bikes? -> Yes, from 25 euros a day.",
            "And this one? -> That is a Roamer; 30 euros.",
            'Where is order 12, and is the Roamer in stock?\norder_status({"id": 12})\n'
            'stock({"item": "Roamer"})\norder_status: shipped\nstock: 4 -> Order 12 is on its way, '
            "and four Roamers are in stock.",
            "Hi\nyo\nAre you open on Sunday? -> No, we are closed on Sundays.",
        ],
    ),
    "preference.jsonl": (
        "preference.jsonl: 4 preference pairs, 5 replies; preference pairs",
        [
            "Do you sell helmets? -> Yes, from 40 euros. (not: I am a language model.)",
            "Is it open? -> Yes, until six. (not: No idea.)",
            "Hi, do you fix brakes? -> We do.",
            "How much? -> 20 euros. (not: Go away.)",
            "Any discount? -> Ten percent for students. (not: No.)",
        ],
    ),
    "preguntas.xls": (
        "preguntas.xls: 2 questions; question = 'Pregunta', reply = 'Respuesta correcta'",
        ["¿Abren el lunes? -> Sí, a las nueve.", "¿Cuánto cuesta? -> 12.5"],
    ),
    "rasa": (
        "rasa: 3 conversations, 6 replies; a Rasa project",
        [
            "hi -> Hello! How can I help?",
            "when do you open in Bonn? -> We open at nine.",
            "good morning -> Hello! How can I help?",
            "opening hours? -> We open at nine.",
            "hi -> Hello! How can I help?",
            "are you open today? -> We open at nine.",
        ],
    ),
    "script.txt": (
        "script.txt: 2 conversations, 3 replies; a script",
        [
            "Hello, my lamp flickers. -> I am sorry. Which model is it?",
            "The R2, from last year. -> Then the bulb is loose; please tighten it.",
            "Do you repair toasters? -> Yes, bring it in.",
        ],
    ),
    "sharegpt.json": (
        "sharegpt.json: 2 conversations, 3 replies; ShareGPT conversations",
        [
            "What does a bell cost? -> A bell costs 8 euros.",
            "In red? -> Yes, red and blue.",
            "Be brief.\nOpen now? -> Yes, until six.",
        ],
    ),
    "spa.xlsx": (
        "spa.xlsx, sheet 'Corrections': 2 corrections; question = 'Customer Question', "
        "reply = 'Agent Right answer', wrong = 'Agent Wrong answer', time = 'Customer Time', "
        "accepted = 'Agent OK?'",
        [
            "Is the sauna open? -> Yes, from five. (not: No.)",
            "Is there a towel? -> Yes, for 3 euros. (not: Bring one.)",
            "Gibt es WLAN? -> Ja, überall.",
            "Kostet es? -> Nein.",
        ],
    ),
    "telegram.json": (
        "telegram.json: 1 conversation; a Telegram chat",
        ["When do I plant tulips? -> In October or November."],
    ),
    "whatsapp_de.txt": (
        "whatsapp_de.txt: 2 conversations, 3 replies; a WhatsApp chat; service = 'Blumen Kurz'",
        [
            "Guten Tag! Haben Sie am Freitag offen? -> Ja, von 9 bis 18 Uhr 🌷",
            "Super.\nUnd am Samstag? -> Bis 13 Uhr.",
            "Liefern Sie auch? -> Ja, ab 30 €.",
        ],
    ),
    "whatsapp_en.txt": (
        "whatsapp_en.txt: 1 conversation, 2 replies; a WhatsApp chat",
        [
            "hi, is the boiler in? -> It is; shall we install it on Monday?",
            "Monday is fine -> Booked: Monday, 8 am.",
        ],
    ),
    "zendesk.csv": (
        "zendesk.csv: 2 conversations; conversation = 'Ticket ID', speaker = 'Author role', "
        "text = 'Body', time = 'Created at', public = 'Is public'",
        [
            "Where is my invoice? -> It is in your account, under Bills.",
            "Can I change my address? -> Yes, under Profile.",
        ],
    ),
    "zendesk.json": (
        "zendesk.json: 1 ticket; Zendesk tickets",
        ['Where is my invoice? -> It is in your account,\nunder "Bills".'],
    ),
}


def read(path, **options):
    """What a file says, and its exchanges in a line each."""
    found = read_path(str(path), ReadOptions(**options))
    said = []
    for one in found:
        for _, turns in one.exchanges():
            for turn in turns:
                wrong = f" (not: {'; '.join(turn.rejected)})" if turn.rejected else ""
                said.append(f"{turn.text} -> {turn.reply}{wrong}")
    return [line for one in found for line in one.summary()], said


@pytest.mark.parametrize("name", EXPECTED)
def test_read(name):
    """Each kind of file is recognised, said in one line, and read wholly."""
    summary, said = read(os.path.join(FILES, name))
    first, exchanges = EXPECTED[name]
    assert summary[0] == first
    assert said == exchanges


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("corrections_de.csv", ["  left out: 1, no reply (line 9)"]),
        (
            "spa.xlsx",
            [
                "  left out: 1, not accepted (line 6)",
                "  left out: 2, rows of spa.xlsx, sheet 'Notes', without question and reply "
                "(lines 2, 3)",
            ],
        ),
        ("zendesk.csv", ["  left out: 1, private notes of agents (line 4)"]),
        ("zendesk.json", ["  left out: 1, private notes of agents (line 24)"]),
        ("chatwoot.json", ["  left out: 1, events, not messages (line 15)"]),
        (
            "openai.jsonl",
            [
                "  left out: 1, parts that are no text (images, sound) (line 1)",
                "  left out: 1, not JSON (Unterminated string starting at) (line 5)",
                "  left out: 1, no reply of the service to a user (line 4)",
            ],
        ),
        ("whatsapp_de.txt", ["  left out: 1, pictures, sound or files (line 7)"]),
        ("telegram.json", ["  left out: 1, Telegram's own messages (calls, members) (line 6)"]),
        ("rasa", ["  left out: 1, actions of stories without words (line 3)"]),
    ],
)
def test_left_out(name, lines):
    """What is not taken is counted by reason, with its lines."""
    summary, _ = read(os.path.join(FILES, name))
    for line in lines:
        assert line in summary


def test_columns_overrule(tmp_path):
    """Columns that nobody could know are asked for, and taken as they are named."""
    path = tmp_path / "odd.csv"
    path.write_text("A,B,C\nfirst of the words,second of them all,third of the lot\n")
    with pytest.raises(DataError, match="--columns question=NAME,reply=NAME"):
        read(path)
    _, said = read(path, columns=parse_columns("question=b,reply=C"))
    assert said == ["second of them all -> third of the lot"]
    with pytest.raises(UsageError, match="--columns reply=D: odd.csv has no such column"):
        read(path, columns=parse_columns("reply=D"))
    said = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    path = tmp_path / "said.jsonl"
    path.write_text(json.dumps(said) + "\n")
    with pytest.raises(UsageError, match="--columns reply=D: said.jsonl is no table"):
        read(path, columns=parse_columns("reply=D"))


def test_service_speaker(tmp_path):
    """Who the service is must be told where names and questions do not tell it."""
    path = tmp_path / "chat.txt"
    path.write_text("Ann: Good day.\nBo: Hello.\nAnn: Nice.\nBo: Yes.\n")
    with pytest.raises(UsageError, match="speakers: Ann, Bo. Say who: --service-speaker NAME"):
        read(path)
    assert read(path, service="bo")[1] == ["Good day. -> Hello.", "Nice. -> Yes."]
    assert read(path, ask=lambda question, names: names[0])[1] == ["Good day.\nHello. -> Nice."]
    with pytest.raises(UsageError, match="no such speaker; nearest: Bo"):
        read(path, service="Boo")


def test_who_answers_is_the_service(tmp_path):
    """Whose turn follows the questions, or who is in every chat, is the service."""
    path = tmp_path / "chat.txt"
    path.write_text("Ann: Open?\nBo: Yes.\n" * 3)
    assert read(path)[1] == ["Open? -> Yes."] * 3
    path.write_text(
        "\n\n".join(f"P{n}: I am in.\nBo: Fine {n}.\nP{n}: Ok\nBo: Bye" for n in range(4))
    )
    assert len(read(path)[1]) == 8


def test_format_overrules(tmp_path):
    """A format is taken as it is named, and a wrong name is answered with the nearest."""
    path = os.path.join(FILES, "parlai.jsonl")
    assert read(path, format="parlai_json")[1][0] == "Is breakfast included? -> Yes, from seven."
    with pytest.raises(UsageError, match="--format opena: expected one of openai"):
        read(path, format="opena")


def test_unknown_file(tmp_path):
    """A file of no known format is refused with what was found."""
    path = tmp_path / "notes.txt"
    path.write_text("Buy milk and bread.\n")
    with pytest.raises(DataError, match="found text that begins 'Buy milk and bread.'"):
        read(path)
    with pytest.raises(DataError, match="no such file or folder; nearest in .*: notes.txt"):
        read(tmp_path / "note.txt")
    path.write_bytes(b"")
    with pytest.raises(DataError, match="found nothing"):
        read(path)


def test_instructions(tmp_path):
    """System messages that differ are kept; kept and dropped on demand."""
    path = tmp_path / "chat.json"
    chats = [
        [{"role": "system", "content": f"You are {n}."}, {"role": "user", "content": "Hi"}]
        + [{"role": "assistant", "content": "Hello."}]
        for n in ("Ann", "Bo")
    ]
    path.write_text(json.dumps([{"messages": one} for one in chats]))
    kept = ["You are Ann.\nHi -> Hello.", "You are Bo.\nHi -> Hello."]
    assert read(path)[1] == read(path, instructions="keep")[1] == kept
    assert read(path, instructions="drop")[1] == ["Hi -> Hello."] * 2
