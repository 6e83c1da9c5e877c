"""More files of each kind, as a stranger has them: other languages, odd cells, other makers."""

import json
import zipfile

import pytest

from parlai_cu.data.base import ReadOptions
from parlai_cu.data.reading import read_path
from parlai_cu.errors import DataError


def read(path, **options):
    """A line for each exchange, and all that is said of the file."""
    found = read_path(str(path), ReadOptions(**options))
    turns = [turn for one in found for _, held in one.exchanges() for turn in held]
    said = [" x ".join([f"{t.text} -> {t.reply}", *t.rejected]) for t in turns]
    return said, [line for one in found for line in one.summary()]


HEADERS = {
    "Kysymys;Väärä vastaus;Oikea vastaus": "utf-8",
    "Otázka;Špatná odpověď;Správná odpověď": "cp1250",
    "Kérdés;Rossz válasz;Helyes válasz": "cp1250",
    "Întrebare;Răspuns greşit;Răspuns corect": "cp1250",
    "질문;틀린 답변;올바른 답변": "cp949",
    "질문;오답;정답": "utf-8",
    "問題;錯誤答案;正確答案": "utf-8",
    "Запитання;Неправильна відповідь;Правильна відповідь": "utf-8",
    "Câu hỏi;Câu trả lời sai;Câu trả lời đúng": "utf-8",
    "คำถาม;คำตอบผิด;คำตอบที่ถูกต้อง": "utf-8",
    "प्रश्न;गलत उत्तर;सही उत्तर": "utf-8",
    "Pertanyaan;Jawaban salah;Jawaban benar": "utf-8",
    "Frage;Abgelehnt;Gewählt": "cp1252",
    "What was asked;What the bot said;Bot right answer": "utf-8",
}


@pytest.mark.parametrize("header", HEADERS)
def test_corrections_in_many_languages(tmp_path, header):
    """The wrong answer is never the one that is learnt."""
    path = tmp_path / "a.csv"
    text = f"{header}\nopen today?;not at all;yes we are\nfar away?;yes it is;no it is near\n"
    path.write_bytes(text.encode(HEADERS[header]))
    said, _ = read(path)
    assert said == [
        "open today? -> yes we are x not at all",
        "far away? -> no it is near x yes it is",
    ]


def test_two_columns_that_may_be_the_reply(tmp_path):
    """Of two answers of which no name says that it is right none is taken without asking."""
    path = tmp_path / "a.csv"
    path.write_text("question,first answer,second answer\nopen?,no we are not,yes we are\n")
    with pytest.raises(DataError, match="two columns may be the reply, 'first answer' and 'second"):
        read(path)
    columns = (("question", "question"), ("reply", "second answer"))
    assert read(path, columns=columns)[0] == ["open? -> yes we are"]


def test_cells_that_hold_nothing(tmp_path):
    """What programs write for nothing is no answer, and no wrong one."""
    path = tmp_path / "a.csv"
    path.write_text("question,wrong answer,answer\nWho?,No,N/A\nWhen?,nan,At nine\nFar?,x,#REF!\n")
    said, about = read(path)
    assert said == ["When? -> At nine"] and "  left out: 2, no reply (lines 2, 4)" in about


def test_lines_in_two_encodings(tmp_path):
    """Each line is read as what it is."""
    path = tmp_path / "a.csv"
    path.write_bytes(
        "question;answer\nfür wen?;für alle\n".encode("cp1252") + "wofür?;für uns\n".encode()
    )
    said, about = read(path)
    assert said == ["für wen? -> für alle", "wofür? -> für uns"]
    assert about[0].endswith("read as utf-8 and cp1252")


def test_tables_without_their_ending(tmp_path):
    """A table is one in a text file as well, and beside others in an archive."""
    for mark in ",\t|":
        (tmp_path / "a.txt").write_text(f"question{mark}answer\nOpen today?{mark}Yes we are\n")
        assert read(tmp_path / "a.txt")[0] == ["Open today? -> Yes we are"]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "a.txt", "export/a.txt")
        archive.writestr("export/b.pdf", "x")
    said, about = read(tmp_path / "all.zip")
    assert said == ["Open today? -> Yes we are"] and about[0].startswith(
        "all.zip, a.txt: 1 question"
    )
    assert "  left out: 1, file of no known format: b.pdf (line 1)" in about


def test_conversations_in_tables(tmp_path):
    """Numbers of turns put rows in order; an id that is written once holds for what follows."""
    path = tmp_path / "a.csv"
    path.write_text("Conversation ID,Turn,User,Assistant\na,2,And Sunday?,No.\na,1,Monday?,Yes.\n")
    assert read(path)[0] == ["Monday? -> Yes.", "And Sunday? -> No."]
    path.write_text("Conversation,Speaker,Text\n1,User,Open?\n,Bot,Yes\n2,User,Far?\n,Bot,No\n")
    assert read(path)[0] == ["Open? -> Yes", "Far? -> No"]
    path.write_text("dialogue_id,turn_idx,speaker,utterance\n1,0,USER,Open?\n1,1,SYSTEM,Yes\n")
    assert read(path)[0] == ["Open? -> Yes"]


SCRIPTS = {
    "numbered": "1. User: Open?\n2. Bot: Yes\n3. User: Far?\n4. Bot: No\n",
    "times behind names": "User (10:00): Open?\nBot (10:01): Yes\nUser [10:02]: Far?\nBot: No\n",
    "headings": "# Chat: 1\n### Human: Open?\n### Assistant: Yes\n"
    "### Human: Far?\n### Assistant: No\n",
    "nicknames": "[10:00] <ann> Open?\n[10:01] <bot> Yes\n[10:02] <ann> Far?\n[10:03] <bot> No\n",
    "tabs": "User\tOpen?\nBot\tYes\nUser\tFar?\nBot\tNo\n",
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_scripts_of_other_kinds(tmp_path, kind):
    """Whatever stands around the name of a speaker."""
    (tmp_path / "a.txt").write_text(SCRIPTS[kind])
    assert read(tmp_path / "a.txt")[0] == ["Open? -> Yes", "Far? -> No"]


def test_states_in_words(tmp_path):
    """What is rejected or waits for a review is not learnt, however it is put."""
    path = tmp_path / "a.csv"
    rows = [("Approved", "Yes"), ("Rejected", "No"), ("Pending review", "?"), ("not accepted", "x")]
    lines = [f"Is it open {i}?,{reply} it is,{state}" for i, (state, reply) in enumerate(rows)]
    path.write_text("\n".join(["question,answer,status", *lines]))
    said, about = read(path)
    assert said == ["Is it open 0? -> Yes it is"]
    assert "  left out: 3, not accepted (lines 3, 4, 5)" in about


def test_rows_of_no_conversation(tmp_path):
    """Where ids are repeated a row without one is of none, not of a conversation of its like."""
    path = tmp_path / "a.csv"
    path.write_text(
        "ticket,sender,message\n1,User,Open?\n1,Bot,Yes\n,User,Far?\n,Bot,Yes\n2,User,Near?\n2,Bot,No\n"
    )
    said, about = read(path)
    assert said == ["Open? -> Yes", "Near? -> No"]
    assert "  left out: 2, of no conversation (lines 4, 5)" in about


def test_nested_fields_are_told(tmp_path):
    """What is not used of a record is named, nested or not."""
    path = tmp_path / "a.jsonl"
    record = {"question": "Open now?", "answer": "Yes it is", "facts": {"a": 1}, "n": 3}
    path.write_text(json.dumps(record))
    assert "  columns that are not used: 'facts', 'n'" in read(path)[1]


def test_database_of_chatwoot(tmp_path):
    """There a sender of type User is an agent, and what is private is ``t``."""
    path = tmp_path / "c.csv"
    path.write_text(
        "id,content,conversation_id,message_type,private,sender_type\n1,Volts?,4,0,f,Contact\n"
        "2,hm,4,1,t,User\n3,230,4,1,f,User\n4,assigned,4,2,f,\n"
    )
    said, about = read(path)
    assert said == ["Volts? -> 230"]
    assert "  left out: 1, private notes of agents (line 3)" in about
    rows = [
        dict(content=c, message_type=t, conversation_id=1) for c, t in (("Volts?", 0), ("230", 1))
    ]
    (tmp_path / "c.json").write_text(json.dumps({"payload": rows}))
    assert read(tmp_path / "c.json")[0] == ["Volts? -> 230"]


ASKED, RIGHT, WRONG = (
    {"role": role, "content": text}
    for role, text in (("user", "Open?"), ("assistant", "Yes"), ("assistant", "No"))
)
PAIRS = {
    "a list of rejected ones": {"prompt": "Open?", "chosen": "Yes", "rejected": ["No", "Never"]},
    "a winner": {"prompt": "Open?", "response_a": "No", "response_b": "Yes", "preference": "b"},
    "an arena": {
        "conversation_a": [ASKED, RIGHT],
        "conversation_b": [ASKED, WRONG],
        "winner": "model_a",
    },
    "scores": {
        "instruction": "Open?",
        "responses": [{"text": "No", "score": 1}, {"text": "Yes", "score": 5}],
    },
    "ShareGPT": {
        "conversations": [{"from": "human", "value": "Open?"}],
        "chosen": {"from": "gpt", "value": "Yes"},
        "rejected": {"from": "gpt", "value": "No"},
    },
    "with a system prompt": {
        "system": "Hi",
        "question": "Open?",
        "chosen": "Yes",
        "rejected": "No",
    },
}


@pytest.mark.parametrize("kind", PAIRS)
def test_preference_pairs(tmp_path, kind):
    """Whoever made them: what was preferred is learnt, the other kept as wrong."""
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(PAIRS[kind]))
    said, _ = read(path, instructions="keep")
    system = "Hi\n" if "system" in PAIRS[kind] else ""
    more = " x Never" if "list" in kind else ""
    assert said == [f"{system}Open? -> Yes x No{more}"]


def test_pairs_that_part_early(tmp_path):
    """A rejected answer stands where the two part, not below another question."""
    path = tmp_path / "a.jsonl"
    more = [{"role": "user", "content": "Far?"}, {"role": "assistant", "content": "Near"}]
    record = {"chosen": [ASKED, RIGHT, *more], "rejected": [ASKED, WRONG, *more]}
    tie = {"prompt": "Far?", "response_a": "No", "response_b": "Yes", "winner": "tie"}
    path.write_text(f"{json.dumps(record)}\n{json.dumps(tie)}\n")
    said, about = read(path)
    assert said == ["Open? -> Yes x No", "Far? -> Near"]
    assert "  left out: 1, neither answer is better (line 2)" in about


def test_judged_answers(tmp_path):
    """An answer that was judged wrong stays with the right one to the same question."""
    path = tmp_path / "a.jsonl"
    rows = [("Open?", "Yes", True), ("Open?", "No", False), ("Far?", "Very", False)]
    lines = [json.dumps(dict(zip(("prompt", "completion", "label"), row))) for row in rows]
    path.write_text("\n".join(lines))
    said, about = read(path)
    assert said == ["Open? -> Yes x No"] and "  left out: 1, not accepted (line 3)" in about


def _node(parent, role, text, children):
    message = {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}}
    return {"message": message, "parent": parent, "children": children}


OTHERS = {
    "a request": {"body": {"model": "m", "messages": [ASKED, RIGHT]}},
    "a request and its response": {
        "request": {"messages": [ASKED]},
        "response": {"choices": [{"message": RIGHT}]},
    },
    "input and output": {"input": [ASKED], "output": [{**RIGHT, "content": [{"text": "Yes"}]}]},
    "ChatGPT's export": {
        "mapping": {
            "a": _node(None, "user", "Open?", ["b", "c"]),
            "b": _node("a", "assistant", "Maybe", []),
            "c": _node("a", "assistant", "Yes", []),
        },
        "current_node": "c",
    },
    "Claude's export": {
        "chat_messages": [
            {"sender": "human", "text": "Open?"},
            {"sender": "assistant", "text": "Yes"},
        ]
    },
    "capitals": {
        "Messages": [{"Role": "User", "Content": "Open?"}, {"Role": "Bot", "Content": "Yes"}]
    },
    "answers in a list": {"question": "Open?", "answers": ["Yes", "Sure"]},
    "ParlAI's messages": {"text": "Open?", "labels": ["Yes"], "episode_done": True},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_messages_of_other_makers(tmp_path, kind):
    """Exports and requests hold messages under other names."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps([OTHERS[kind]] * 2))
    assert read(path)[0] == ["Open? -> Yes"] * 2


def test_lists_of_questions_under_any_name(tmp_path):
    """An object with one list, an object of questions, YAML."""
    (tmp_path / "a.json").write_text('{"faq": [{"question": "Open now?", "answer": "Yes it is"}]}')
    (tmp_path / "b.json").write_text('{"Open now?": "Yes it is", "Is it far?": "No"}')
    (tmp_path / "c.yml").write_text("- question: Open now?\n  answer: Yes it is\n")
    for name in ("a.json", "b.json", "c.yml"):
        assert read(tmp_path / name)[0][0] == "Open now? -> Yes it is"


PHONES = {
    "Arabic": "٢٠٢٦/١/٢، ٣:٠٤ م - أحمد: افتح؟\n٢٠٢٦/١/٢، ٣:٠٥ م - الدعم: نعم\n",
    "Korean": "2026. 1. 2. 오후 3:04, 철수 : 열어요?\n2026. 1. 2. 오후 3:05, 상담원 : 네\n",
    "Finnish": "2.1.2026 klo 15.04 - Matti: Auki?\n2.1.2026 klo 15.05 - Asiakaspalvelu: On\n",
    "Spanish": "2/1/26, 3:04 p. m. - Ana: ¿Abren?\n2/1/26, 3:05 p. m. - Soporte: Sí\n",
    "Dutch": "[02-01-2026 15:04:05] Piet: Open?\n[02-01-2026 15:05:15] Klantenservice: Ja\n"
    "[02-01-2026 15:06:25] Piet: \u200eafbeelding weggelaten\n",
    "edited": "1/2/26, 3:04 PM - Jo: Open?\n"
    "1/2/26, 3:05 PM - Support: Yes <This message was edited>\n",
}


@pytest.mark.parametrize("phone", PHONES)
def test_whatsapp_of_many_phones(tmp_path, phone):
    """Digits, halves of the day and marks of other languages; each time is understood."""
    path = tmp_path / "a.txt"
    path.write_text(PHONES[phone])
    said, about = read(path)
    assert len(said) == 1 and "<" not in said[0] and "WhatsApp" in about[0]
    name = read_path(str(path))[0].reading.conversations[0].id
    assert name.isascii() and name.split(" ")[1] in ("3:04", "15:04", "15:04:05")


def test_what_only_parlai_reads_is_not_given_to_it_packed_or_marked(tmp_path):
    """ParlAI's teachers know UTF-8 without a mark, and nothing that is packed."""
    path = tmp_path / "a.txt"
    for encoding in ("utf-8-sig", "cp1252"):
        path.write_bytes("text:für?\tlabels:ja\tepisode_done:True\n".encode(encoding))
        (found,) = read_path(str(path))
        assert found.reading.stock is None
    assert read(path)[0] == ["für? -> ja"]


def test_retrieval_intents_of_rasa(tmp_path):
    """A rule for ``faq`` is one for each of its kinds, with the reply to it."""
    (tmp_path / "nlu.yml").write_text(
        "nlu:\n- intent: faq/open\n  examples: |\n    - open?\n- intent: faq/far\n"
        "  examples: |\n    - far?\n"
    )
    (tmp_path / "domain.yml").write_text(
        "responses:\n  utter_faq/open:\n  - text: It is\n  utter_faq/far:\n  - text: No\n"
    )
    (tmp_path / "rules.yml").write_text(
        "rules:\n- rule: faq\n  steps:\n  - intent: faq\n  - action: utter_faq\n"
    )
    assert read(tmp_path)[0] == ["open? -> It is", "far? -> No"]


def test_who_was_copied_in_is_a_customer(tmp_path):
    """A second customer of a Zendesk ticket is no agent."""
    comments = [(7, "Where?"), (8, "Me too"), (9, "Here")]
    held = [{"author_id": who, "body": text, "public": True} for who, text in comments]
    ticket = {"id": 1, "requester_id": 7, "email_cc_ids": [8], "comments": held}
    (tmp_path / "a.json").write_text(json.dumps({"tickets": [ticket]}))
    assert read(tmp_path / "a.json")[0] == ["Where?\nMe too -> Here"]
