"""HTTP beside the websocket: health, metrics, a small JSON API, and what only the operator sees."""

import asyncio
import base64
import binascii
import json
from pathlib import Path
from typing import Any

from tornado.httputil import HTTPHeaders
from tornado.web import OutputTransform, RequestHandler, StaticFileHandler

from parlai_cu.serving import logs
from parlai_cu.serving.limits import origin_allowed, same_secret
from parlai_cu.serving.protocol import Refusal, read_frame
from parlai_cu.serving.service import ChatService
from parlai_cu.serving.session import ChatSession

OPENAPI = Path(__file__).parent / "openapi.json"
# s for an answer by HTTP; what comes later is fetched with the next turn
_PATIENCE = 60.0
_STATUS = {"busy": 503, "draining": 503, "rate": 429, "waiting": 409, "too_long": 413}
# the pages need nothing from elsewhere, and no script or style but their own files
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def rules(service: ChatService) -> list[Any]:
    """tornado's rules for what is here."""
    given = {"service": service}
    return [
        (r"/health", Health, given),
        (r"/ready", Ready, given),
        (r"/metrics", MetricsText, given),
        (r"/v1/openapi.json", OpenAPI, given),
        (r"/v1/conversations", ConversationsHandler, given),
        (r"/v1/conversations/([\w-]{1,64})", OneConversation, given),
        (r"/v1/conversations/([\w-]{1,64})/turns", Turns, given),
    ]


def log_request(handler: RequestHandler) -> None:
    """Log that a request failed; its path only, as a query may hold what a user said."""
    if handler.get_status() >= 500:
        logs.log.warning(
            "%s %s %d", handler.request.method, handler.request.path, handler._status_code
        )


def headers_of_all(with_tls: bool) -> type[OutputTransform]:
    """
    What the headers of every answer say, and do not say.

    :param with_tls: whether the service itself speaks TLS: browsers are then to use nothing else
    """

    class Headers(OutputTransform):
        """Tornado's hook, for all handlers."""

        def transform_first_chunk(
            self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
        ) -> tuple[int, HTTPHeaders, bytes]:
            """Before the headers are written."""
            headers.pop("Server", None)  # which release of what is nobody's business
            headers["X-Content-Type-Options"] = "nosniff"
            if with_tls:
                headers["Strict-Transport-Security"] = "max-age=31536000"
            return status_code, headers, chunk

    return Headers


class Page(StaticFileHandler):
    """The browser page."""

    def set_extra_headers(self, path: str) -> None:
        """Nothing is loaded from elsewhere, and the page is in no frame."""
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        # a new release is seen at once; what has not changed is not sent again
        self.set_header("Cache-Control", "no-cache")


class Handler(RequestHandler):
    """Base of our handlers: JSON, and errors in JSON."""

    def initialize(self, service: ChatService) -> None:
        """
        Tornado's constructor.

        :param service: the service it belongs to
        """
        self.service = service

    def answer(self, content: dict[str, Any], status: int = 200) -> None:
        """
        End the request with JSON.

        :param content: what to send
        :param status: of HTTP
        """
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(content, default=str))

    def refuse(self, refusal: Refusal, status: int | None = None) -> None:
        """
        End the request with a refusal.

        :param refusal: why
        :param status: of HTTP, where it is not the usual one
        """
        self.service.metrics.refusal(refusal.code)
        self.answer(refusal.message().content(), status or _STATUS.get(refusal.code, 400))

    def too_many_tries(self) -> None:
        """End the request: a secret is not even looked at."""
        self.service.metrics.refusal("guesses")
        told = {"type": "error", "code": "rate", "text": "Too many tries. Please wait a minute."}
        self.answer(told, 429)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Errors as JSON too."""
        self.answer({"type": "error", "code": "http", "text": self._reason}, status_code)

    def log_exception(self, *exc_info: Any) -> None:
        """Without what the exception quotes."""
        if getattr(exc_info[1], "status_code", 500) >= 500:
            logs.failure(f"{self.request.method} {self.request.path}", exc_info[1])

    def from_here(self) -> bool:
        """Whether no other site's page sent the request."""
        origin = self.request.headers.get("Origin")
        host = self.request.headers.get("Host", "")
        return origin_allowed(origin, host, self.service.settings.origins)

    def secret(self) -> str | None:
        """The bearer token, or the password of basic authentication."""
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return given.strip()
        if scheme.lower() == "basic":
            try:
                return base64.b64decode(given, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return None
        return None


class Health(Handler):
    """Whether the process is alive."""

    def get(self) -> None:
        """Always ok."""
        self.answer({"status": "ok"})

    head = get


class Ready(Handler):
    """Whether conversations can begin."""

    def get(self) -> None:
        """503 while the service starts or is about to stop."""
        ready = self.service.ready()
        self.answer({"status": "ready" if ready else "not ready"}, 200 if ready else 503)

    head = get


class WrongHost(Handler):
    """For whoever calls the service by a name that is not its own."""

    def prepare(self) -> None:
        """Nothing is told."""
        text = "This service is not called so (--allow-host)"
        self.answer({"type": "error", "code": "host", "text": text}, 421)


class MetricsText(Handler):
    """For Prometheus."""

    def get(self) -> None:
        """All counters."""
        self.set_header("Content-Type", self.service.metrics.content_type)
        self.finish(self.service.metrics.text())


class OpenAPI(Handler):
    """What the API is."""

    def get(self) -> None:
        """The OpenAPI document."""
        self.answer(json.loads(OPENAPI.read_text()))


class AdminHandler(Handler):
    """Base of what only the operator may see and do."""

    def prepare(self) -> None:
        """Let in who has the admin token; a wrong one counts against the address."""
        wanted = self.service.settings.admin_token
        if wanted is None:
            self.answer({"type": "error", "code": "off", "text": "Start with --admin-token"}, 403)
        elif not self.from_here():
            self.answer({"type": "error", "code": "origin", "text": "Another site's page"}, 403)
        elif not self.service.gateway.may_try_token(str(self.request.remote_ip)):
            self.too_many_tries()
        elif not same_secret(self.secret(), wanted):
            if self.secret():  # without one nothing was guessed
                self.service.gateway.wrong_token(str(self.request.remote_ip))
            self.service.metrics.refusal("admin")
            self.set_header("WWW-Authenticate", 'Basic realm="operator", charset="UTF-8"')
            told = {"type": "error", "code": "admin", "text": "The admin token is needed"}
            self.answer(told, 401)


class _API(Handler):
    def set_default_headers(self) -> None:
        """Pages of the origins that are let in may read the answers, those of others not."""
        # tornado calls this before initialize()
        origins = self.application.service.settings.origins  # type: ignore[attr-defined]
        if not origins:
            return
        self.set_header("Vary", "Origin")
        origin = self.request.headers.get("Origin")
        if "*" in origins:
            self.set_header("Access-Control-Allow-Origin", "*")
        elif origin is not None and origin_allowed(origin, "", origins):
            self.set_header("Access-Control-Allow-Origin", origin)

    def options(self, *name: str) -> None:
        """A browser asks before another site's page may post."""
        self.set_header("Access-Control-Allow-Methods", "POST, DELETE")
        self.set_header("Access-Control-Allow-Headers", "Content-Type, Authorization")
        self.set_header("Access-Control-Max-Age", "600")
        self.set_status(204)
        self.finish()

    def prepare(self) -> None:
        address = str(self.request.remote_ip)
        gateway = self.service.gateway
        if not gateway.allow(address):
            self.refuse(Refusal("rate"))
        elif not self.from_here():
            self.service.metrics.refusal("origin")
            self.answer({"type": "error", "code": "origin", "text": "Another site's page"}, 403)
        elif self.request.method == "OPTIONS":
            return  # it carries no password
        elif gateway.password is not None and not self._knows_password():
            return
        elif gateway.draining and self.request.method == "POST":
            self.refuse(Refusal("draining"))

    def _knows_password(self) -> bool:
        """Whether the password was given; else the request ends."""
        gateway = self.service.gateway
        if not gateway.may_guess(str(self.request.remote_ip)):
            self.too_many_tries()
            return False
        if same_secret(self.secret(), gateway.password):
            return True
        if self.secret():
            gateway.guessed_wrong(str(self.request.remote_ip))
        self.set_header("WWW-Authenticate", 'Bearer realm="chat"')
        self.refuse(Refusal("password"), 401)
        return False

    def conversation(self, name: str) -> ChatSession | None:
        """The conversation of that id; ends the request where there is none."""
        found = self.service.gateway.by_id.get(name)
        if found is None:
            told = {"type": "error", "code": "unknown", "text": "No such conversation"}
            self.answer(told, 404)
        return found

    async def settle(self, conversation: ChatSession) -> dict[str, Any]:
        """What is said until the world waits for the user again."""
        quiet = asyncio.Event()
        conversation.when_quiet(quiet.set)
        try:
            await asyncio.wait_for(quiet.wait(), _PATIENCE)
            complete = True
        except TimeoutError:
            complete = False
        finally:
            conversation.forget_quiet(quiet.set)
        return {
            "id": conversation.id,
            "messages": [message.content() for message in conversation.collect()],
            "complete": complete,
            "over": conversation.over,
        }


class ConversationsHandler(_API):
    """All conversations."""

    async def post(self) -> None:
        """Begin one. What the world says first comes with it."""
        gateway = self.service.gateway
        conversation = gateway.open_by_http(str(self.request.remote_ip))
        if isinstance(conversation, Refusal):
            self.refuse(conversation)
            return
        gateway.busy.add(conversation)  # until the first world waits
        gateway.house.begin(conversation)
        self.answer(await self.settle(conversation), 201)


class OneConversation(_API):
    """A conversation begun by HTTP, or of a websocket whose id is known."""

    def delete(self, name: str) -> None:
        """End it."""
        conversation = self.conversation(name)
        if conversation is not None:
            self.service.gateway.close(conversation)
            self.answer({"id": name, "over": True})


class Turns(_API):
    """The turns of a conversation."""

    async def post(self, name: str) -> None:
        """Say something, and wait for what is answered."""
        conversation = self.conversation(name)
        if conversation is None:
            return
        try:
            body = self.request.body.decode()
        except UnicodeDecodeError:
            self.refuse(Refusal("malformed", "it is not UTF-8"))
            return
        message = read_frame(body, self.service.gateway.limits)
        if isinstance(message, Refusal):
            self.refuse(message)
            return
        refusal = self.service.gateway.say(conversation, message)
        if refusal is not None:
            self.refuse(refusal)
            return
        self.answer(await self.settle(conversation))
