"""
The shell around the protocol: websocket and HTTP by tornado. Only the IOLoop's thread runs it.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from parlai_cu.errors import UsageError
from parlai_cu.serving import http_api, logs, operator, tcp
from parlai_cu.serving.addresses import client_address
from parlai_cu.serving.gateway import POLICY, ClientConnection
from parlai_cu.serving.limits import host_allowed, origin_allowed
from parlai_cu.serving.protocol import Message
from parlai_cu.serving.service import ChatService
from parlai_cu.serving.settings import ListenSettings, allowed_hosts

PAGE = Path(__file__).parent / "page"
# beyond so many times the limit a frame is not even read
_HARD = 16


class ChatSocket(WebSocketHandler):
    """A user's websocket."""

    def initialize(self, service: ChatService) -> None:
        """
        Tornado's constructor.

        :param service: the service it belongs to
        """
        self.service = service
        self.gateway = service.gateway
        self.address = str(self.request.remote_ip)
        self.modern = False
        self.client: ClientConnection | None = None
        self._unsent = 0

    def check_origin(self, origin: str) -> bool:
        """The service's own pages, and those of the origins it was told of."""
        host = self.request.headers.get("Host", "")
        allowed = origin_allowed(origin, host, self.service.settings.origins)
        if not allowed:
            self.service.metrics.refusal("origin")
        return allowed

    def open(self, *args: str, **kwargs: str) -> None:
        """Somebody has connected."""
        self.set_nodelay(True)
        self.client = self.gateway.arrive(self)
        if self.client is None:
            self.close(POLICY, "too many connections from your address")

    def on_message(self, message: Any) -> None:
        """A frame."""
        if self.client is not None:
            self.gateway.hear(self.client, message)

    def on_close(self) -> None:
        """The user has gone, or was sent away."""
        client, self.client = self.client, None
        if client is not None:
            self.gateway.depart(client)

    def send(self, message: Message) -> None:
        """Write a message. A reader so slow that too much waits for them is disconnected."""
        frame = message.encode()
        try:
            written = self.write_message(frame)
        except WebSocketClosedError:
            return
        self._unsent += len(frame)
        if self._unsent > self.gateway.limits.max_unsent:
            self.service.metrics.refusal("slow_reader")
            self._drop()
            return
        future = asyncio.ensure_future(written)
        future.add_done_callback(lambda done: self._sent(len(frame), done))

    def _sent(self, size: int, done: "asyncio.Future[None]") -> None:
        self._unsent -= size
        if not done.cancelled():
            done.exception()  # seen: the user had gone

    def _drop(self) -> None:
        # a close frame would wait behind what they do not read
        if self.ws_connection is not None:
            self.ws_connection._abort()


class GuardedApplication(Application):
    """
    The application, which looks at each request before any handler does: whose it is, and whether
    it calls us by a name of ours.

    :param service: what it belongs to
    :param handlers: tornado's rules
    :param settings: of tornado
    """

    def __init__(self, service: ChatService, handlers: list[Any], **settings: Any) -> None:
        self.service = service
        self._hosts = allowed_hosts(service.settings)
        super().__init__(handlers, **settings)
        self.transforms.append(http_api.headers_of_all(bool(service.settings.tls_cert)))

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Tornado's, for requests that are let in."""
        settings = self.service.settings
        peer = str(request.remote_ip)
        request.remote_ip = client_address(peer, request.headers, settings)
        if not host_allowed(request.headers.get("Host", ""), self._hosts):
            self.service.metrics.refusal("host")
            return self.get_handler_delegate(request, http_api.WrongHost, {"service": self.service})
        return super().find_handler(request, **kwargs)


class Shell:
    """
    A listening service.

    :param service: what it is a shell of
    :raises UsageError: when it cannot listen there, or the certificate cannot be used
    """

    def __init__(self, service: ChatService) -> None:
        self.service = service
        logs.be_seldom()
        limits, settings = service.gateway.limits, service.settings
        self.application = GuardedApplication(
            service,
            [
                (r"/websocket", ChatSocket, {"service": service}),
                *service.web_handlers(),
                *http_api.rules(service),
                *operator.rules(service),
                (r"/page/(.*)", http_api.Page, {"path": str(PAGE)}),
                (r"/()", http_api.Page, {"path": str(PAGE), "default_filename": "index.html"}),
            ],
            websocket_max_message_size=limits.max_frame * _HARD,
            websocket_ping_interval=limits.ping_seconds,
            websocket_ping_timeout=limits.ping_seconds,
            log_function=http_api.log_request,
            compress_response=True,
        )
        peers = limits.connections_per_address + tcp.BESIDE
        self.server = tcp.BoundedServer(
            self.application,
            most=int(limits.max_connections),
            # all come from the proxy
            per_address=None if settings.behind_proxy else int(peers),
            write_seconds=limits.write_seconds,
            on_refusal=service.metrics.refusal,
            ssl_options=_tls(settings),
            max_body_size=int(limits.max_frame),
            idle_connection_timeout=limits.header_seconds,
            body_timeout=limits.body_seconds,
            # of headers and of one request line
            max_header_size=16 * 1024,
        )
        self.port = settings.port

    def listen(self) -> str:
        """
        Begin to listen.

        :return: the service's address, as a browser wants it
        :raises UsageError: when the address cannot be used
        """
        settings = self.service.settings
        sockets = self._bind()
        self.port = sockets[0].getsockname()[1]
        self.server.add_sockets(sockets)
        scheme = "https" if settings.tls_cert else "http"
        host = settings.address or "0.0.0.0"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def check_address(self) -> None:
        """
        Make sure that it could listen, before models are loaded; nobody is let in yet.

        :raises UsageError: when the address cannot be used
        """
        for each in self._bind():
            each.close()

    def _bind(self) -> list[Any]:
        settings = self.service.settings
        try:
            return list(bind_sockets(settings.port, settings.address or None))
        except OSError as error:
            raise UsageError(
                f"--port {settings.port} --address {settings.address or '(all)'}: "
                f"{error.strerror or error}. Stop what listens there, or choose another port."
            ) from None

    async def close(self) -> None:
        """Stop listening, and let what is being sent go out."""
        self.server.stop()
        await asyncio.wait_for(self.server.close_all_connections(), 5)


def _tls(settings: ListenSettings) -> ssl.SSLContext | None:
    if not settings.tls_cert:
        if settings.tls_key:
            raise UsageError("--tls-key needs --tls-cert as well")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"--tls-cert {settings.tls_cert} --tls-key {settings.tls_key}: {error}; "
            "expected a certificate chain and its key in PEM files"
        ) from None
    return context
