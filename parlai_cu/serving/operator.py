"""
What the operator sees and may do: live figures, versions, and the way back to the one before.

The page itself (``/operator``) holds nothing secret; what it asks for needs the admin token.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from parlai_cu.errors import VersionsError
from parlai_cu.parlai_types import ModelAgent
from parlai_cu.serving import logs
from parlai_cu.serving.http_api import AdminHandler, Page
from parlai_cu.versions import channels
from parlai_cu.versions.store import VersionStore

PAGE = Path(__file__).parent / "page"
# of what a deployed model says of itself, what is shown
_SHOWN = ("canary", "canary_share", "pin", "trouble", "load_errors", "swaps")
# the newest versions that are listed
_LISTED = 30
_LONGEST_REASON = 500  # characters


class OperatorPage(Page):
    """The page; it asks for the token by itself."""

    async def get(self, path: str = "", include_body: bool = True) -> None:
        """The same file, whatever its address ends with."""
        await super().get("operator.html", include_body)

    async def head(self, path: str = "") -> None:
        """The same without the file."""
        await self.get(path, include_body=False)


class Deployment:
    """
    A model in service and the versions directory it is from, if it is from one.

    :param name: what config.yml calls it
    :param agent: the ParlAI agent; ``-m deployed`` has ``store`` and ``channel``
    """

    def __init__(self, name: str, agent: ModelAgent) -> None:
        self.name, self._agent = name, agent
        store = getattr(agent, "store", None)
        self.store: VersionStore | None = store if isinstance(store, VersionStore) else None
        self.channel = str(getattr(agent, "channel", None) or "live")

    def status(self) -> dict[str, Any]:
        """
        What it serves, what it served before, and what there is.

        :raises VersionsError: when the versions directory cannot be read
        """
        told: dict[str, Any] = {"name": self.name, "version": self._version(), "versions": []}
        if self.store is None:
            return told
        of_itself = self._agent.status() if hasattr(self._agent, "status") else {}
        told.update({name: of_itself[name] for name in _SHOWN if of_itself.get(name)})
        history = self.store.history(self.channel)
        live = channels.live(history)
        newest = sorted(self.store.list(pruned=True), key=lambda one: one.number, reverse=True)
        told.update(
            channel=self.channel,
            live=live,
            previous=channels.before(history),
            last_change=history[-1]._asdict() if history else None,
            versions=[
                {
                    "id": one.id,
                    "created": one.created,
                    "mode": one.mode,
                    "note": one.note,
                    "decision": one.decision,
                    "pruned": one.pruned is not None,
                    "live": one.id == live,
                }
                for one in newest[:_LISTED]
            ],
        )
        return told

    def _version(self) -> str | None:
        """What this process answers by; for a moment after a promotion not yet the live one."""
        version = getattr(self._agent, "version", None)
        return version if isinstance(version, str) else None

    def roll_back(self, expected: str | None, who: str, why: str) -> dict[str, Any]:
        """
        Serve what was served before.

        :param expected: what the operator saw as live; None where they did not say
        :param who: the operator
        :param why: in words, for the record
        :raises VersionsError: when there is nothing to go back to, or another one is live by now
        """
        if self.store is None:
            raise VersionsError(f"{self.name} is not from a versions directory (-m deployed)")
        live = self.store.channel(self.channel)
        if expected is not None and expected != live:
            raise VersionsError(f"{self.channel} serves {live} by now, not {expected}: look again")
        # if somebody promotes another one at this moment, nothing is changed
        return self.store.rollback(self.channel, expected=live, who=who, why=why)._asdict()


class _Operator(AdminHandler):
    def deployments(self) -> dict[str, Deployment]:
        models = self.service.models
        return {name: Deployment(name, agent) for name, agent in models.items()}


class Status(_Operator):
    """The figures of this moment, as JSON."""

    async def get(self) -> None:
        """Live figures, and of each model its versions."""
        deployments = self.deployments().values()
        # reading a versions directory may take a moment, or for ever: not on the loop
        try:
            figures, models = await self.service.waiting_room.get(
                lambda: (self.service.status(), [_told(one) for one in deployments])
            )
        except TimeoutError:
            told = {"type": "error", "code": "busy", "text": "The versions cannot be read just now"}
            self.answer(told, 503)
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.answer({"time": now, "figures": figures, "models": models})


def _told(deployment: Deployment) -> dict[str, Any]:
    try:
        return deployment.status()
    except VersionsError as error:
        return {"name": deployment.name, "version": None, "versions": [], "error": str(error)}


class Rollback(_Operator):
    """Back to the version before."""

    async def post(self) -> None:
        """``{"model": name, "expected": id, "why": text}``, all of which may be left out."""
        try:
            asked = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            self._refuse(400, "expected a JSON object")
            return
        deployments = self.deployments()
        chosen = [one for one in deployments.values() if one.store is not None]
        if asked.get("model") is not None:
            chosen = [one for one in chosen if one.name == asked["model"]]
        if len(chosen) != 1:
            names = ", ".join(deployments) or "none"
            self._refuse(400, f"model: expected one from a versions directory; there are: {names}")
            return
        expected, why = asked.get("expected"), str(asked.get("why") or "")[:_LONGEST_REASON]
        who = f"operator page from {self.request.remote_ip}"
        try:
            change = await self.service.waiting_room.get(
                lambda: chosen[0].roll_back(expected, who, why)
            )
        except TimeoutError:
            self._refuse(503, "It takes long: look again whether it was rolled back")
            return
        except VersionsError as error:
            self._refuse(409, str(error))
            return
        logs.log.warning("%s was rolled back to %s", chosen[0].name, change["id"])
        self.answer({"rolled_back": change})

    def _refuse(self, status: int, text: str) -> None:
        self.answer({"type": "error", "code": "rollback", "text": text}, status)


def rules(service: object) -> list[Any]:
    """tornado's rules for what is here, of one service."""
    given = {"service": service}
    return [
        (r"/operator", OperatorPage, {"path": str(PAGE)}),
        (r"/operator/status", Status, given),
        (r"/operator/rollback", Rollback, given),
    ]
