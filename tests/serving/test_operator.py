"""parlai_cu/serving/operator.py: what the operator sees, may do, and nobody else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import VersionsError
from parlai_cu.serving.operator import Deployment
from parlai_cu.versions.store import VersionStore
from tests.serving.browser import Tab, open_browser
from tests.serving.service import TOKEN, Service, ask
from tests.versions.models import tiny_model, write_model


def versions(folder: Path) -> tuple[VersionStore, list[str]]:
    """A versions directory with three versions, the last of which is live."""
    store = VersionStore(str(folder / "versions"), create=True, cache=str(folder / "cache"))
    made = []
    for number in range(3):
        model = write_model(folder / f"m{number}" / "model", tiny_model(number))
        made.append(store.add(model, mode="import", note=f"model <{number}>").id)
        store.promote(made[-1], force=True, who="ana", why=f"step {number}")
    return store, made


class Agent:
    """What the service knows of a deployed model."""

    def __init__(self, store: Any = None) -> None:
        self.store, self.channel, self.version = store, "live", "v9"


def test_what_is_told(tmp_path: Path) -> None:
    """Live, previous, last change, and the versions, newest first."""
    store, (first, second, third) = versions(tmp_path)
    told = Deployment("support", Agent(store)).status()
    assert (told["live"], told["previous"], told["version"]) == (third, second, "v9")
    assert told["last_change"]["who"] == "ana" and told["last_change"]["why"] == "step 2"
    assert [(one["id"], one["live"]) for one in told["versions"]] == [
        (third, True),
        (second, False),
        (first, False),
    ]
    assert json.loads(json.dumps(told)) == told


def test_models_without_versions() -> None:
    """Any other model has none, and cannot be rolled back."""
    for agent in (Agent(), object(), Agent(store="a shop")):
        deployment = Deployment("support", agent)
        assert deployment.status()["versions"] == []
        with pytest.raises(VersionsError, match="not from a versions directory"):
            deployment.roll_back(None, "me", "")


def test_rolling_back(tmp_path: Path) -> None:
    """Only from what the operator saw; who did it and why is kept."""
    store, (first, second, third) = versions(tmp_path)
    deployment = Deployment("support", Agent(store))
    with pytest.raises(VersionsError, match=f"serves {third} by now, not {second}"):
        deployment.roll_back(second, "me", "")
    assert store.channel() == third
    change = deployment.roll_back(third, "me", "it was rude")
    assert (change["id"], change["who"], change["why"]) == (second, "me", "it was rude")
    assert store.channel() == second
    deployment.roll_back(None, "me", "")
    with pytest.raises(VersionsError, match="cannot be rolled back"):
        deployment.roll_back(None, "me", "")
    assert store.channel() == first


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose model is from a versions directory."""
    folder = tmp_path_factory.mktemp("operator")
    versions(folder)
    model = {
        "model": "tests.serving.parrot:VersionedParrotAgent",
        "versions": str(folder / "versions"),
    }
    made = Service(folder, model, ["--admin-token", TOKEN], title="Shop")
    made.start()
    yield made
    made.stop()


@pytest.mark.slow
def test_who_is_let_in(service: Service) -> None:
    """Figures and rollback need the token; another site's page is sent away with it, too."""
    for path, body in (("operator/status", None), ("operator/rollback", {})):
        assert ask(service, path, None, body)[0] == 401
        assert ask(service, path, "wrong", body)[0] == 401
        assert ask(service, path, TOKEN, body, Origin="http://evil.example")[0] == 403
    status, told = ask(service, "operator/status")
    assert status == 200 and told["figures"]["conversations"] == 0
    assert [model["name"] for model in told["models"]] == ["parrot"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "body, status",
    [(b"{", 400), ([], 400), ({"model": "cat"}, 400), ({"expected": "v0-none"}, 409)],
)
def test_requests_that_are_wrong(service: Service, body: Any, status: int) -> None:
    """Nothing is changed, and the answer says why."""
    before = ask(service, "operator/status")[1]["models"][0]["live"]
    found, told = ask(service, "operator/rollback", body=body)
    assert found == status and told["text"]
    assert ask(service, "operator/status")[1]["models"][0]["live"] == before


@pytest.mark.slow
def test_in_a_browser(service: Service) -> None:
    """Signing in, figures, versions, and a rollback that is asked about first."""
    driver = open_browser()
    try:
        page = Tab(driver, service.address + "operator")
        page.screen(1200, 900)
        page.open()
        assert page.focused() == "Admin token" and page.audit() == []
        page.keys("wrong\ue007")
        page.see("#signin-told", "The admin token is needed")
        page.keys(TOKEN + "\ue007")
        page.see(".tile dd", "Promoted by force")
        live, previous, _ = (one.split()[0] for one in page.texts("tbody tr td:first-child"))
        page.see(".tile dd", live)
        assert page.texts("tbody tr td:last-child") == ["model <2>", "model <1>", "model <0>"]
        for scheme in ("light", "dark"):
            page.screen(1200, 900, scheme)
            assert page.audit() == []
        page.click(".panel .danger")
        page.see("#confirm-text", f"answered by {previous} instead of {live}")
        assert page.focused() == "Leave it as it is" and page.audit() == []
        page.click("#no")
        page.click(".panel .danger")
        page.click("#why")
        page.keys("it was rude")
        page.click("#yes")
        page.see("#told", f"Rolled back to {previous}")
        page.see(".tile dd", "it was rude")
        page.wait(lambda: previous in page.texts(".tile dd")[0], "the new live version")
        page.screen(320, 640)
        assert int(page.all("html")[0].get_property("scrollWidth")) <= 320
        page.click("#leave")
        assert page.focused() == "Admin token" and not page.texts(".tile dd")[0]
        page.driver.refresh()
        assert page.all("#signin:not([hidden])")
        wrong = [one for one in page.complaints() if "401" not in one]
        assert wrong == []
    finally:
        driver.quit()
