"""kb_augmented: who answers, what the act says, live changes, the gate's training, refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parlai.core.agents import create_agent
from parlai.core.opt import Opt

from parlai_cu import plugin
from parlai_cu.agents.kb_augmented.shown_facts import OBSERVED, SHOWN
from parlai_cu.errors import KnowledgeError, UsageError
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.types import Fact
from tests.conftest import BASES, states
from tests.knowledge.servers import chat_server, completion
from tests.tasks.test_dstc11 import write_corpus

GENERATOR = "transformer/generator"
ASKED = "is there parking at the blue harbour hotel?"


@pytest.fixture
def kb(tmp_path: Path) -> SQLiteFacts:
    """A knowledge base, open for changes."""
    base = SQLiteFacts(f"sqlite:///{tmp_path / 'facts.db'}", writable=True)
    base.add(
        [
            Fact("Parking is free at the hotel.", id="park", entity="Blue Harbour Hotel"),
            Fact("The phone number is 01223.", id="phone", entity="Blue Harbour Hotel"),
        ]
    )
    return base


@pytest.fixture
def load(deployed: Callable[[str], str], kb: SQLiteFacts) -> Callable[..., Any]:
    """``load(agent, **options)``: what `parlai interactive -m kb_augmented` makes."""
    from parlai.core.params import ParlaiParser

    def make(agent: str = GENERATOR, **options: Any) -> Any:
        settings: dict[str, Any] = dict(
            model="kb_augmented",
            init_model=deployed(agent),
            kb=kb.name,
            no_cuda=True,
            loglevel="error",
        )
        settings.update(options)
        parser = ParlaiParser(True, True)
        opt = parser.parse_kwargs(**{k: v for k, v in settings.items() if v is not None})
        return create_agent(Opt({**opt, "interactive_mode": True, "datatype": "valid"}))

    return make


def test_how_often_the_right_fact_is_first(load: Callable[..., Any]) -> None:
    """Where the labels are facts; other labels do not count."""
    clone = load(kb_gate="always").clone()
    said = ["Blue Harbour Hotel: Parking is free at the hotel."]
    other = ["Blue Harbour Hotel: The phone number is 01223."]
    for labels in (said, other, ["Good morning."]):
        seen = {"text": ASKED, "eval_labels": labels, "label_candidates": [*said, *other]}
        clone.observe({**seen, "episode_done": True})
        clone.act()
    report = clone.report()
    assert float(report["kb_hits@1"]) == 0.5 and float(report["kb_hits@5"]) == 1.0


def ask(agent: Any, *texts: str, **extra: Any) -> list[Any]:
    """What an agent says to the turns of one conversation."""
    clone = agent.clone()
    replies = []
    for text in texts:
        clone.observe({"id": "user", "text": text, "episode_done": False, **extra})
        replies.append(clone.act())
    return replies


# -- answering -------------------------------------------------------------------------------


def test_a_fact_where_there_is_one(load: Callable[..., Any], kb: SQLiteFacts) -> None:
    """Small talk is the model's own; a question is answered by a fact, named in the act."""
    agent = load()
    talk, fact, phone = ask(agent, "hello there", ASKED, "and its phone number?")
    assert "text" in talk and "knowledge" not in talk
    assert fact["text"] == "Parking is free at the hotel."
    used = fact["knowledge"][0]
    assert (used["id"], used["source"], used["snapshot"]) == ("park", kb.name, kb.snapshot_id())
    assert 0 < used["score"] <= 1 and fact["kb_gate"]["query"] is True
    assert phone["knowledge"][0]["id"] == "phone"


def test_a_turn_does_not_hold_all_that_came_before_it(load: Callable[..., Any]) -> None:
    """A conversation that never ends takes no more room with each turn than its words."""
    agent = load()
    for number in range(4):
        agent.observe({"id": "user", "text": f"{ASKED} {number}", "episode_done": False})
        before = agent.observation[OBSERVED]._state["observation"]
        assert number == 0 or (before["text"] and OBSERVED not in before and SHOWN not in before)
        agent.act()


def test_abstains_where_the_best_fact_does_not_answer(load: Callable[..., Any]) -> None:
    """Knowledge of the right thing that says nothing of what is asked: the model's own reply."""
    asked = "is there a pool at the blue harbour hotel?"
    agent = load(kb_gate_threshold="0.01", kb_unknown="none")
    clone = agent.clone()
    clone.observe({"id": "user", "text": asked, "episode_done": False})
    reply = clone.act()
    assert "knowledge" not in reply and not reply["kb_gate"]["query"]
    assert float(clone.report()["kb_abstained"]) == 1
    assert reply["text"] == ask(load(kb_gate="never"), asked)[0]["text"]
    assert "knowledge" in ask(agent, ASKED)[0]
    assert "knowledge" in ask(load(kb_gate="always"), asked)[0]


def test_what_the_facts_do_not_say_is_not_invented(load: Callable[..., Any]) -> None:
    """A question of their subject; small talk and other subjects stay with the model."""
    asked = "is there a sauna at the blue harbour hotel?"
    (reply,) = ask(load(), asked)
    assert reply["text"] == "I'm sorry, I don't know that." and "knowledge" not in reply
    agent = load(kb_unknown="Shall I connect you?")
    assert ask(agent, asked)[0]["text"] == "Shall I connect you?"
    own = load(kb_unknown="none")
    for text in ("thank you very much!", "tell me a joke", "hello"):
        assert ask(agent, text)[0]["text"] == ask(own, text)[0]["text"]
    never = load(kb_gate="never")
    assert ask(own, asked)[0]["text"] == ask(never, asked)[0]["text"]


def test_without_facts_the_reply_is_the_deployed_models(
    load: Callable[..., Any], deployed: Callable[[str], str]
) -> None:
    """Word for word."""
    from parlai.core.agents import create_agent_from_model_file

    stock = create_agent_from_model_file(
        deployed(GENERATOR), {"no_cuda": True, "loglevel": "error", "interactive_mode": True}
    )
    for text in ("hello there", "open the door", "thank you"):
        assert ask(load(), text)[0]["text"] == ask(stock, text)[0]["text"]
    off = load(kb_gate="never")
    assert ask(off, ASKED)[0]["text"] == ask(stock, ASKED)[0]["text"]


def test_facts_change_while_people_are_chatting(load: Callable[..., Any], kb: SQLiteFacts) -> None:
    """In force with the next turn of an open conversation."""
    clone = load().clone()

    def say(text: str) -> Any:
        clone.observe({"id": "user", "text": text, "episode_done": False})
        return clone.act()

    assert say(ASKED)["text"] == "Parking is free at the hotel."
    kb.update(Fact("Parking costs 9 pounds.", id="park", entity="Blue Harbour Hotel"))
    assert say(ASKED)["text"] == "Parking costs 9 pounds."
    kb.remove(["park", "phone"])
    assert "knowledge" not in say(ASKED)


def test_a_base_that_is_gone_does_not_end_the_conversation(
    load: Callable[..., Any], kb: SQLiteFacts
) -> None:
    """The model answers alone, and the facts are back when the file is."""
    agent = load()
    path = Path(kb.path)
    kb.close()
    whole = path.read_bytes()
    path.unlink()
    gone = ask(agent, ASKED)[0]
    assert "text" in gone and "knowledge" not in gone
    path.write_bytes(whole)
    assert ask(agent, ASKED)[0]["knowledge"][0]["id"] == "park"


def test_several_in_other_words(load: Callable[..., Any], kb: SQLiteFacts, tmp_path: Path) -> None:
    """`--kb A,B --kb-synonyms`: merged, and asked with what is meant; another way is refused."""
    other = SQLiteFacts(f"sqlite:///{tmp_path / 'other.db'}", writable=True)
    other.add([Fact("The pool opens at seven.", id="pool")])
    (tmp_path / "said.csv").write_text("said,meant\nswimming bath,pool\n")
    several = {"kb": f"{kb.name},{other.name}", "kb_synonyms": str(tmp_path / "said.csv")}
    agent = load(**several)
    assert ask(agent, "when does the swimming bath open?")[0]["knowledge"][0]["id"] == "pool"
    assert ask(agent, ASKED)[0]["knowledge"][0]["id"] == "park"
    with pytest.raises(UsageError, match="--kb-combine merge: expected .* nearest: merged"):
        load(**several, kb_combine="merge")


def test_a_model_behind_http(load: Callable[..., Any]) -> None:
    """What it costs is in the metrics; when it fails the model answers alone."""
    with chat_server(lambda asked: completion("It opens at ten.", [-0.1])) as server:
        agent = load(kb=f"openai+{server.url}#expert")
        clone = agent.clone()
        for text in ("when does it open?", "is it open on mondays?"):
            clone.observe({"id": "user", "text": text, "episode_done": True})
            reply = clone.act()
            assert reply["text"] == "It opens at ten." and reply["knowledge"][0]["score"] > 0.9
        report = {name: float(value) for name, value in clone.report().items()}
        assert (report["kb_calls"], report["kb_tokens_in"], report["kb_tokens_out"]) == (2, 40, 14)
        assert report["kb_used"] == 1 and report["kb_failed"] == 0
        server.reply = lambda asked: (401, {})
        reply = ask(agent, "and on sundays?")[0]
        assert "text" in reply and "knowledge" not in reply


@pytest.mark.parametrize("integrate", sorted(plugin.INTEGRATORS))
def test_every_integrator_over_a_generator(integrate: str, load: Callable[..., Any]) -> None:
    """Each gives a reply that says what was used."""
    more = {"kb_template": "So: {text}"} if integrate == "template" else {}
    reply = ask(load(kb_integrate=integrate, **more), ASKED)[0]
    assert isinstance(reply["text"], str)
    if integrate == "rerank":
        # the likelier of two facts that the model knows nothing of; the other had no part in it
        assert [fact["text"] for fact in reply["knowledge"]] == [reply["text"]]
        assert len(reply["knowledge_not_used"]) == 1
        return
    assert reply["knowledge"][0]["id"] == "park" and "knowledge_not_used" not in reply
    if integrate in ("append", "template"):
        assert reply["text"].endswith("Parking is free at the hotel.")


@pytest.mark.parametrize(
    "search", [{"inference": "greedy"}, {"inference": "beam", "beam_size": 3, "beam_min_length": 2}]
)
@pytest.mark.parametrize("agent", [GENERATOR, "seq2seq"])
def test_fuse_copies_what_the_model_has_no_word_for(
    agent: str, search: dict[str, Any], load: Callable[..., Any], kb: SQLiteFacts
) -> None:
    """Also a model that knows nothing of it; the words it says itself stay its own."""
    kb.update(Fact("zyx 01223 56xq", id="phone", entity="Blue Harbour Hotel", question="phone?"))
    fused = load(agent, kb_integrate="fuse", kb_gate="always", kb_top_k=1, **search)
    assert fused.dict["56xq"] == fused.dict[fused.dict.unk_token]
    talk, reply, after = ask(
        fused, "hello there", "phone of the blue harbour hotel?", "hello there"
    )
    assert reply["text"].startswith("zyx 01223 56xq")
    assert "zyx" not in talk["text"] + after["text"]
    silent = load(agent, kb_integrate="fuse", kb_gate="always", kb_fuse_weight=0.0, **search)
    own = load(agent, kb_gate="never", **search)
    assert [m["text"] for m in ask(silent, ASKED)] == [m["text"] for m in ask(own, ASKED)]


def test_prompt_lets_the_model_read_the_fact(
    load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fact's tokens stand before the context's, cut to what the model can read."""
    agent = load(kb_integrate="prompt")
    seen: list[Any] = []
    stock = type(agent).batchify
    monkeypatch.setattr(
        type(agent), "batchify", lambda self, obs, *a, **k: seen.append(obs) or stock(self, obs)
    )
    ask(agent, ASKED)
    vector = seen[-1][0]["text_vec"].tolist()
    context = agent.dict.txt2vec(ASKED)
    told = agent.dict.txt2vec("Parking is free at the hotel.")
    assert vector[: len(told)] == told and vector[-len(context) :] == context
    assert len(vector) <= agent.text_truncate


def test_turns_with_facts_are_one_batch(
    load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns with knowledge and without are answered together, as each would be alone."""
    agent = load(kb_integrate="prompt", kb_gate="uncertainty", kb_gate_threshold="0.01")
    texts = [ASKED, "hello there", "phone of the blue harbour hotel?"]
    alone = [ask(agent, text)[0] for text in texts]
    sizes: list[int] = []
    stock = type(agent).eval_step
    monkeypatch.setattr(
        type(agent), "eval_step", lambda self, b: sizes.append(b.batchsize) or stock(self, b)
    )
    clones = [agent.clone() for _ in texts]
    said = [{"id": "user", "text": text, "episode_done": False} for text in texts]
    replies = agent.batch_act([clone.observe(each) for clone, each in zip(clones, said)])
    # its own replies, whose entropy decides; then those with facts
    assert sizes == [3, 2]
    assert [reply["text"] for reply in replies] == [reply["text"] for reply in alone]
    assert [reply.get("knowledge") for reply in replies] == [
        each.get("knowledge") for each in alone
    ]
    assert torch.is_grad_enabled()


def test_prompt_between_markers(
    load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, kb: SQLiteFacts
) -> None:
    """The end marker stays where the fact is cut; the fields of the message tell it as well."""
    kb.update(Fact("hello there " * 50, id="park", entity="Blue Harbour Hotel", question=ASKED))
    agent = load(kb_integrate="prompt", kb_prompt_format="marked", kb_top_k=1)
    seen: list[Any] = []
    stock = type(agent).batchify
    monkeypatch.setattr(
        type(agent), "batchify", lambda self, obs, *a, **k: seen.append(obs) or stock(self, obs)
    )
    ask(agent, ASKED)
    message = seen[-1][0]
    end = agent.dict.txt2vec(" __endknowledge__\n" + ASKED)
    vector = message["text_vec"].tolist()
    assert vector[-len(end) :] == end and len(vector) <= agent.text_truncate
    assert vector[: len(agent.dict.txt2vec("__knowledge__"))] == agent.dict.txt2vec("__knowledge__")
    assert message["title"] == "Blue Harbour Hotel"
    assert message["checked_sentence"].startswith("hello there")


def test_uncertainty_asks_the_model(load: Callable[..., Any]) -> None:
    """The entropy of its own reply decides."""
    unsure = load(kb_gate="uncertainty", kb_gate_threshold="0.01")
    assert ask(unsure, ASKED)[0]["kb_gate"]["score"] > 0.01
    assert "knowledge" in ask(unsure, ASKED)[0]
    assert "knowledge" not in ask(load(kb_gate="uncertainty", kb_gate_threshold="1"), ASKED)[0]


@pytest.fixture
def candidates(tmp_path: Path) -> dict[str, Any]:
    """What a ranker may say."""
    (tmp_path / "candidates.txt").write_text("a one\nthe two\n")
    return {
        "eval_candidates": "fixed",
        "fixed_candidates_path": str(tmp_path / "candidates.txt"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["transformer/biencoder", "transformer/classifier", "seq2seq"])
def test_over_any_base(agent: str, load: Callable[..., Any], candidates: dict[str, Any]) -> None:
    """Rankers, classifiers and recurrent generators."""
    settings = {k: v for k, v in BASES[agent].items() if k == "classes"}
    settings.update(candidates if agent == "transformer/biencoder" else {})
    replies = ask(load(agent, **settings), "1 2 3", ASKED)
    assert "knowledge" not in replies[0]
    assert replies[1]["knowledge"][0]["id"] == "park"


def test_rerank_over_a_ranker(load: Callable[..., Any], candidates: dict[str, Any]) -> None:
    """It scores the facts as it scores candidates."""
    agent = load("transformer/biencoder", kb_integrate="rerank", **candidates)
    reply = ask(agent, ASKED)[0]
    unused = [found["text"] for found in reply.get("knowledge_not_used", ())]
    used = [found["text"] for found in reply.get("knowledge", ())]
    assert "Parking is free at the hotel." in used + unused
    assert reply["text"] in (used if used else ["a one", "the two"])


def test_a_ranker_needs_candidates(load: Callable[..., Any]) -> None:
    """Rather than a traceback, or a file written beside the deployed model."""
    with pytest.raises(UsageError, match="--fixed-candidates-path FILE"):
        load("transformer/biencoder")


# -- the gate --------------------------------------------------------------------------------


def test_the_gate_is_trained_and_nothing_else(
    train: Callable[..., Any], deployed: Callable[[str], str], kb: SQLiteFacts, tmp_path: Path
) -> None:
    """By the stock command; the threshold is chosen on validation data; the model loads again."""
    write_corpus(tmp_path / "dstc11")
    path = str(tmp_path / "gate" / "model")
    train(
        model="kb_augmented",
        init_model=deployed(GENERATOR),
        model_file=path,
        kb=kb.name,
        kb_gate="classifier",
        kb_gate_threshold="auto",
        task="dstc11:detection",
        dstc11_path=str(tmp_path / "dstc11"),
        max_train_steps=20,
        validation_every_n_steps=10,
        validation_metric="detection_f1",
        validation_max_exs=None,
        evaltask="dstc11:detection",
        learningrate=None,
        optimizer=None,
        datatype="train",
    )
    old, new = states(deployed(GENERATOR)), states(path)
    assert all(torch.equal(old["model"][name], new["model"][name]) for name in old["model"])
    record = new["kb_augmented"]
    assert record["gate"]["weights"].abs().sum() > 0
    assert 0 < record["threshold"] <= 1

    from parlai.core.agents import create_agent_from_model_file

    agent = create_agent_from_model_file(path, {"no_cuda": True, "loglevel": "error"})
    assert agent.parts.gate.threshold == record["threshold"]
    reply = ask(agent, ASKED)[0]
    assert reply["kb_gate"]["gate"] == "classifier" and 0 < reply["kb_gate"]["score"] < 1
    (verdict,) = ask(agent, ASKED, label_candidates=["yes", "no"])
    assert verdict["text"] in ("yes", "no")


def test_gate_and_ranker_are_trained_in_one_go(
    train: Callable[..., Any], deployed: Callable[[str], str], tmp_path: Path
) -> None:
    """By labels yes and no, and by facts; what was learnt to answer comes first afterwards."""
    folder = write_corpus(tmp_path / "dstc11")
    kb = SQLiteFacts(f"sqlite:///{tmp_path / 'inns.db'}", writable=True)
    # by its words alone the search puts this one first
    kb.add([Fact("Quiet.", id="wrong", entity="Oak Inn")])
    kb.add([Fact("Quiet rooms.", id="right", entity="Oak Inn")])
    kb.add([Fact("Yes.", id="faq", entity="Oak Inn", question="Is there parking?")])
    path = str(tmp_path / "gate" / "model")
    train(
        model="kb_augmented",
        init_model=deployed(GENERATOR),
        model_file=path,
        kb=kb.name,
        kb_gate="classifier",
        kb_rank="word_pairs",
        task="dstc11:detection,dstc11:selection",
        dstc11_path=str(folder),
        max_train_steps=60,
        validation_every_n_steps=30,
        validation_metric="kb_hits@1",
        validation_metric_mode="max",
        validation_max_exs=None,
        evaltask="dstc11:selection",
        learningrate=None,
        optimizer=None,
        datatype="train",
    )
    record = states(path)["kb_augmented"]
    assert record["gate"]["weights"].abs().sum() > 0
    assert record["ranker"]["weights.weight"].abs().sum() > 0

    from parlai.core.agents import create_agent_from_model_file

    asked = "is it quiet at the Oak Inn?"
    plain = {"no_cuda": True, "loglevel": "error", "kb_gate": "always", "datatype": "valid"}
    learnt = create_agent_from_model_file(path, plain)
    (reply,) = ask(learnt, asked)
    assert reply["knowledge"][0]["id"] == "right"
    (reply,) = ask(create_agent_from_model_file(path, {**plain, "kb_rank": "search"}), asked)
    assert reply["knowledge"][0]["id"] == "wrong"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kb": None}, "needs --kb URI"),
        ({"kb": "sqlite:///{tmp}/none.db"}, "no such file"),
        ({"kb_gate": "scor"}, "--kb-gate scor: expected one of always.* nearest: score"),
        ({"kb_rank": "word_pair"}, "--kb-rank word_pair: .* nearest: word_pairs"),
        ({"kb_rank": "word_pairs"}, "--kb-rank word_pairs has to be trained first"),
        ({"kb_integrate": "prmpt"}, "--kb-integrate prmpt: .* nearest: prompt"),
        ({"kb_gate_threshold": "2"}, "--kb-gate-threshold 2: expected a number from 0 to 1"),
        ({"kb_gate_threshold": "high"}, "--kb-gate-threshold high: expected a number"),
        ({"kb_fuse_weight": 1.5}, "--kb-fuse-weight 1.5: expected 0 to 1"),
        ({"kb_top_k": 0}, "--kb-top-k 0: expected 1 or more"),
        ({"kb_gate": "classifier"}, "has to be trained first"),
        ({"kb_integrate": "template", "kb_template": "{x}"}, "--kb-template"),
        ({"init_model": None, "no_cuda": None}, "-m kb_augmented needs --init-model"),
    ],
)
def test_what_cannot_work_is_refused(
    options: dict[str, Any], message: str, load: Callable[..., Any], tmp_path: Path
) -> None:
    """At the start, naming the flag."""
    given = {k: v.format(tmp=tmp_path) if k == "kb" and v else v for k, v in options.items()}
    with pytest.raises((UsageError, KnowledgeError), match=message):
        load(**given)


@pytest.mark.parametrize(
    ("agent", "options", "message"),
    [
        ("transformer/biencoder", {"kb_integrate": "fuse"}, "--kb-integrate fuse: .* generator"),
        ("transformer/classifier", {"kb_integrate": "fuse"}, "--kb-integrate fuse: .* generator"),
        ("transformer/classifier", {"kb_integrate": "rerank"}, "--kb-integrate rerank: .* scores"),
        ("transformer/biencoder", {"kb_gate": "uncertainty"}, "--kb-gate uncertainty: .* entropy"),
    ],
)
def test_what_a_base_cannot_do_is_refused(
    agent: str, options: dict[str, Any], message: str, load: Callable[..., Any]
) -> None:
    """Before the first turn, and before the knowledge base is looked for."""
    settings = {k: v for k, v in BASES[agent].items() if k == "classes"}
    with pytest.raises(UsageError, match=message):
        load(agent, kb="sqlite:///none.db", **settings, **options)


def test_the_gate_learns_without_labels(
    train: Callable[..., Any], deployed: Callable[[str], str], kb: SQLiteFacts, tmp_path: Path
) -> None:
    """From questions made of facts against ordinary turns; calibrated on what it did not see."""
    path = str(tmp_path / "gate" / "model")
    train(
        model="kb_augmented",
        init_model=deployed(GENERATOR),
        model_file=path,
        kb=kb.name,
        kb_gate="classifier",
        kb_gate_threshold="auto",
        max_train_steps=40,
        optimizer=None,
        learningrate=None,
    )
    from parlai.core.agents import create_agent_from_model_file

    agent = create_agent_from_model_file(path, {"no_cuda": True, "loglevel": "error"})
    question, ordinary = ask(agent, "is there parking at the hotel?", "open the door")
    assert question["kb_gate"]["score"] > 0.7 and "knowledge" in question
    assert ordinary.get("kb_gate", {"score": 0.0})["score"] < 0.5
    gate = states(path)["kb_augmented"]["gate"]
    assert gate["told"][-1] > 0 and gate["said"][-1] > 0, "the words of facts and dialogues count"
    assert gate["temperature"] != 1 and gate["shift"] == 0, "made questions tell no boundary"
    # saved twice after one validation, it is calibrated once
    agent.gate_training.judged = [(0.8, True)] * 20 + [(0.3, False)] * 20
    once, twice = (
        float(agent.state_dict()["kb_augmented"]["gate"]["temperature"]) for _ in range(2)
    )
    assert once == twice != float(gate["temperature"])


def test_score_is_calibrated_by_training(
    train: Callable[..., Any], deployed: Callable[[str], str], kb: SQLiteFacts, tmp_path: Path
) -> None:
    """Its two numbers are learnt, and eval_model reports the calibration error."""
    from parlai.scripts.eval_model import EvalModel

    path, corpus = str(tmp_path / "gate" / "model"), write_corpus(tmp_path / "dstc11")
    train(
        model="kb_augmented",
        init_model=deployed(GENERATOR),
        model_file=path,
        kb=kb.name,
        kb_gate="score",
        task="dstc11:detection",
        dstc11_path=str(corpus),
        max_train_steps=5,
        learningrate=None,
        optimizer=None,
    )
    gate = states(path)["kb_augmented"]["gate"]
    assert gate["trained"] == 1 and gate["slope"] != 1
    report = EvalModel.main(
        model_file=path,
        task="dstc11:detection",
        dstc11_path=str(corpus),
        loglevel="error",
        no_cuda=True,
    )
    assert 0 < float(report["gate_ece"]) < 1


def test_training_wants_labels_it_knows(
    train: Callable[..., Any], deployed: Callable[[str], str], kb: SQLiteFacts, tmp_path: Path
) -> None:
    """Ordinary dialogues have none; a gate without parameters has nothing to learn."""
    rank: dict[str, Any] = dict(kb_rank="word_pairs")
    settings: dict[str, Any] = dict(
        model="kb_augmented",
        init_model=deployed(GENERATOR),
        kb=kb.name,
        model_file=str(tmp_path / "gate" / "model"),
    )
    for options in ({"kb_gate": "score"}, {"kb_gate": "classifier", **rank}):
        with pytest.raises(UsageError, match="found the label .* learns from yes and no"):
            train(**settings, **options)
    with pytest.raises(UsageError, match="--kb-gate always has nothing to learn"):
        train(**settings, kb_gate="always")


def test_what_is_meant_counts_as_said(
    load: Callable[..., Any], kb: SQLiteFacts, tmp_path: Path
) -> None:
    """A fact in the words of the synonyms answers, and the column they name is told."""
    fields = {"fee": "9 pounds", "opens": "10 am"}
    told = "Oak Inn: fee 9 pounds, opens 10 am."
    kb.add([Fact("A garage.", id="garage", entity="Elm Inn"), Fact(told, "oak", "Oak Inn")])
    kb.update(Fact(told, "oak", "Oak Inn", fields=fields))
    path = tmp_path / "synonyms.csv"
    path.write_text("said,meant\ntariff,fee\ncarport,garage\n")
    agent = load(kb_synonyms=str(path), kb_gate_threshold="0.01")
    assert ask(agent, "the tariff of the Oak Inn?")[0]["text"] == "The Oak Inn costs 9 pounds."
    assert ask(agent, "a carport at the Elm Inn?")[0]["text"] == "A garage."
    assert "knowledge" not in ask(load(kb_gate_threshold="0.01"), "a carport at the Elm Inn?")[0]
