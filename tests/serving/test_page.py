"""parlai_cu/serving/page/: the chat page in a real browser, against a real service."""

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.serving.browser import Tab, open_browser
from tests.serving.service import Service, ask

pytestmark = pytest.mark.slow
TAB, ENTER, ESCAPE, SHIFT = "\ue004", "\ue007", "\ue00c", "\ue008"
REPLY, MINE = ".reply .words", ".user .words"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests here."""
    driver = open_browser()
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a site that is not ours, at 127.0.0.1 and at localhost."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "index.html").write_text("<title>Shop</title>")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, shop: int) -> Iterator[Service]:
    """One service for all tests here."""
    made = Service(
        tmp_path_factory.mktemp("service"),
        flags=["--allow-origin", f"http://127.0.0.1:{shop}"],
        title="Parrot's",
        greeting="Good morning!",
        quick_replies=["What is the price?", "Hello"],
        feedback="feedback.jsonl",
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture
def page(browser: Any, service: Service) -> Iterator[Tab]:
    """The page on a large screen, opened for the first time; the browser complains of nothing."""
    tab = Tab(browser, service.address)
    tab.screen(1200, 800)
    tab.open()
    tab.see(REPLY, "Good morning!")
    tab.complaints()
    yield tab
    assert tab.complaints() == []


def say(page: Tab, text: str) -> None:
    """Write a message and send it."""
    page.click("#text")
    page.keys(text + ENTER)


def records(service: Service) -> list[Any]:
    """What users thought of replies."""
    lines = (service.folder / "feedback.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_chat(page: Tab) -> None:
    """Title, greeting, quick replies, a turn, and where it is from."""
    assert page.driver.title == "Parrot's" and page.texts("h1") == ["Parrot's"]
    assert page.texts("#replies button") == ["What is the price?", "Hello"]
    page.click("#replies button")
    page.see(REPLY, "You said: What is the price?")
    assert page.texts(MINE) == ["What is the price?"]
    assert not page.all("#replies:not([hidden]) button")
    assert page.texts(".version") == ["version v1-parrot"]
    page.click(".sources summary")
    page.see(".sources li", "All plans cost 5 euros.")
    page.see(".sources small", "price-list in facts.db")


# a conversation by the HTTP API, in a script of another site's page
_TALK = """
const [base, done] = arguments;
const post = (path, body) => fetch(base + path, {
  method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
(async () => {
  const begun = await (await post("v1/conversations", {})).json();
  const path = "v1/conversations/" + begun.id;
  const told = await (await post(path + "/turns", {text: "hello"})).json();
  const ended = await (await fetch(base + path, {method: "DELETE"})).json();
  return [told.messages[0].text, ended.over];
})().then(done, error => done(error.name));
"""


def test_pages_of_other_sites(browser: Any, service: Service, shop: int) -> None:
    """The one that --allow-origin names may use the HTTP API; the browser keeps others out."""
    for site, heard in (("127.0.0.1", ["You said: hello", True]), ("localhost", "TypeError")):
        browser.get(f"http://{site}:{shop}/")
        assert browser.title == "Shop"
        assert browser.execute_async_script(_TALK, service.address) == heard


def test_text_is_text(page: Tab) -> None:
    """What anybody writes is shown as written; nothing of it becomes part of the page."""
    hostile = '<img src=x onerror=alert(1)><b>bold</b> & "quotes"'
    say(page, hostile)
    page.see(REPLY, f"You said: {hostile}")
    assert page.texts(MINE) == [hostile]
    assert not page.all("#log img") and not page.all("#log b")


def test_new_replies_are_told_to_those_who_listen(page: Tab) -> None:
    """A live region of its own gets each reply's text, without buttons."""
    say(page, "hello")
    page.see(REPLY, "You said: hello")
    told = page.driver.execute_script("return document.querySelector('#announcer').textContent")
    assert told.endswith("Reply: You said: hello")
    assert page.all("#announcer[aria-live=polite]")


def test_ratings_and_corrections(page: Tab, service: Service) -> None:
    """What is clicked is kept, shown, and logged."""
    say(page, "cats bark")
    page.see(REPLY, "You said: cats bark")
    page.click("[data-rating=up]")
    page.wait(lambda: page.all("[data-rating=up][aria-pressed=true]"), "the thumb is not kept")
    page.click("[title='Correct this reply']")
    page.keys("Cats meow.")
    page.click(".correct button:not([type=button])")
    page.see(".corrected", "Cats meow.")
    assert page.all("[data-rating=down][aria-pressed=true]")
    found = [(one["text"], one["rating"], one["correction"]) for one in records(service)]
    assert found[-2:] == [("cats bark", "up", None), ("cats bark", "down", "Cats meow.")]
    say(page, "that is wrong, say cats purr")
    page.see(".corrected", "cats purr")
    page.see(".notice", "it will be checked")


def test_opened_again(page: Tab) -> None:
    """A page that is opened again shows the conversation, and the model remembers it."""
    say(page, "one")
    page.see(REPLY, "You said: one")
    page.click("[data-rating=down]")
    page.wait(lambda: page.all("[data-rating=down][aria-pressed=true]"), "the thumb is not kept")
    page.open(forget=False)
    page.see(".notice", "Welcome back")
    assert page.texts(MINE) == ["one"]
    assert page.texts(REPLY) == ["You said: one"]
    assert page.all("[data-rating=down][aria-pressed=true]")
    say(page, "how much did I say?")
    page.see(REPLY, "2 messages")


def test_a_new_chat(page: Tab) -> None:
    """After a question, all begins anew; the old conversation is not to be had any more."""
    say(page, "secret")
    page.see(REPLY, "You said: secret")
    page.click("#new")
    page.click("#confirm-no")
    assert page.texts(MINE) == ["secret"]
    page.click("#new")
    page.click("#confirm-yes")
    page.wait(lambda: page.texts(REPLY) == ["Good morning!"], "no new chat")
    page.open(forget=False)
    page.wait(lambda: page.texts(REPLY) == ["Good morning!"], "another chat than the new one")


def test_forgetting(page: Tab) -> None:
    """[RESET] clears the page, and what the model knows."""
    say(page, "secret")
    page.see(REPLY, "You said: secret")
    say(page, "[RESET]")
    page.see(REPLY, "I have forgotten")
    assert page.texts(MINE) == []
    say(page, "how much did I say?")
    page.see(REPLY, "1 messages")


def test_somebody_is_typing(page: Tab, tmp_path: Path) -> None:
    """It is shown while the model is at work, and not any more when it has replied."""
    say(page, f"wait for {tmp_path}/sign")
    page.wait(lambda: page.all("#typing:not([hidden])"), "nobody is typing")
    (tmp_path / "sign").touch()
    page.see(REPLY, "You said: wait for")
    assert not page.all("#typing:not([hidden])")


def test_reading_what_was_said_before(page: Tab, tmp_path: Path) -> None:
    """A new reply does not tear away who reads further up; a button leads to it."""
    page.screen(400, 500)
    for number in range(5):
        say(page, f"message {number}")
        page.see(REPLY, f"You said: message {number}")
    say(page, f"wait for {tmp_path}/sign")
    page.wait(lambda: page.all("#typing:not([hidden])"), "nobody is typing")
    top = "arguments[0].scrollTo({top: 0, behavior: 'instant'})"
    (scroller,) = page.all("#scroller")
    page.driver.execute_script(top, scroller)
    (tmp_path / "sign").touch()
    page.wait(lambda: page.all("#latest:not([hidden])"), "no way to the new reply")
    assert scroller.get_property("scrollTop") == 0
    page.click("#latest")
    page.wait(lambda: not page.all("#latest:not([hidden])"), "not at the end")


def test_a_model_that_fails(page: Tab) -> None:
    """An apology; the chat goes on."""
    say(page, "fail")
    page.see(".error", "Sorry")
    say(page, "hello")
    page.see(REPLY, "You said: hello")


def test_by_keyboard_alone(page: Tab) -> None:
    """Every control is reached in reading order; Enter sends, Shift and Enter do not."""
    assert page.focused() == "Your message"
    page.keys("line one" + SHIFT + ENTER + SHIFT + "line two" + ENTER)
    page.see(REPLY, "line two")
    assert page.texts(MINE) == ["line one\nline two"]
    page.driver.execute_script("document.activeElement.blur()")
    order = []
    for _ in range(8):
        page.keys(TAB)
        order.append(page.focused())
    # from the end of the page the browser itself comes first
    assert [name for name in order if name != "body"][:7] == [
        "Skip to the message box",
        "New chat",
        "Conversation",
        "Good reply",
        "Bad reply",
        "Correct this reply",
        "Your message",
    ]
    page.click("[title='Correct this reply']")
    assert page.focused() == "What should the reply have been?"
    page.keys(ESCAPE)
    assert page.focused() == "Correct this reply" and not page.all(".correct")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_for_everybody(page: Tab, scheme: str) -> None:
    """axe-core finds nothing: names, roles, contrast, in both schemes and all states."""
    page.screen(1200, 800, scheme)
    say(page, "What is the price?")
    page.see(REPLY, "You said: What is the price?")
    page.click(".sources summary")
    say(page, "that is wrong, say 6 euros")
    page.see(".corrected", "6 euros")
    say(page, "fail")
    page.see(".error", "Sorry")
    page.click("[title='Correct this reply']")
    assert page.audit() == []


def test_no_operator_without_a_token(page: Tab, service: Service) -> None:
    """Started without --admin-token, the operator's page has nothing to show."""
    for path, body in (("operator/status", None), ("operator/rollback", {})):
        assert ask(service, path, "", body)[0] == 403


def test_on_a_phone(page: Tab) -> None:
    """Nothing is wider than the narrowest phone, and what one touches is large enough."""
    page.screen(320, 600)
    say(page, "What is the price? " + "x" * 200)
    page.see(REPLY, "You said: What is the price?")
    page.click(".sources summary")
    page.click("[title='Correct this reply']")
    for part in ("html", "#scroller", ".foot", ".bar"):
        (element,) = page.all(part)
        assert int(element.get_property("scrollWidth")) <= 320, part
    sizes = [(one.size["width"], one.size["height"]) for one in page.all("button, textarea")]
    assert all(width >= 36 and height >= 36 for width, height in sizes if width)


def test_two_tabs(page: Tab) -> None:
    """The chat goes on in the newer tab; the older one says so, and can take it back."""
    say(page, "one")
    page.see(REPLY, "You said: one")
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.open(forget=False)
    page.see(REPLY, "You said: one")
    page.driver.close()
    page.driver.switch_to.window(first)
    page.see("#status", "another tab")
    page.click("#retry")
    page.see("#status", "Connected")
    say(page, "two")
    page.see(REPLY, "You said: two")


def test_parlais_own_world(browser: Any, tmp_path: Path) -> None:
    """Its overworld, its chatbot and a password; what it knows nothing of is not offered."""
    service = Service(tmp_path, flags=["--password", "sesame"], stock=True)
    service.start()
    try:
        page = Tab(browser, service.address)
        page.screen(1200, 800)
        page.open()
        page.see("#status", "Password needed")
        assert page.focused() == "Password" and not page.all("#composer:not([hidden])")
        page.keys("simsalabim" + ENTER)
        page.see(".error", "password-protected")
        page.click("#password")
        page.keys("sesame" + ENTER)
        page.see(REPLY, "Welcome to the overworld")
        assert page.texts("#replies button") == ["begin", "exit"]
        page.click("#replies button")
        page.see(REPLY, "Welcome to the ParlAI Chatbot demo")
        say(page, "hello")
        page.see(REPLY, "You said: hello")
        assert not page.all(".tools") and not page.all(".user .note")
        assert page.complaints() == []
    finally:
        service.stop()


def test_a_service_that_restarts(browser: Any, tmp_path: Path) -> None:
    """A power cut: what is written meanwhile waits, and each turn is answered once."""
    service = Service(tmp_path, greeting="Good morning!", feedback="feedback.jsonl")
    service.start()
    page = Tab(browser, service.address)
    page.screen(1200, 800)
    try:
        page.open()
        page.see(REPLY, "Good morning!")
        say(page, "before")
        page.see(REPLY, "You said: before")
        service.stop(kill=True)
        page.see("#status", "Connection lost")
        say(page, "how much did I say?")
        page.see(".user .note", "Waits for the connection")
        service.start()
        page.see("#status", "Connected")
        page.see(REPLY, "2 messages")
        assert page.texts(MINE) == ["before", "how much did I say?"]
        assert page.texts(REPLY)[-2:] == ["You said: before", "You said: 2 messages"]
        assert not page.all(".user .note")
    finally:
        service.stop()
        page.complaints()  # that it could not connect
