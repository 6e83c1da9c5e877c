"""
The service's connections: so many at once, and none for ever.

Tornado gives a websocket pings and nothing else a deadline. Here a connection has so long for its
headers and for its body, so many requests, and is closed when its reader takes nothing for too
long; when the process has no file descriptors left, accepting rests instead of spinning.
"""

import collections
import copy
import errno
import resource
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tornado import httputil
from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.iostream import IOStream
from tornado.netutil import add_accept_handler

from parlai_cu.serving import logs
from parlai_cu.serving.addresses import counted

_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# s that accepting rests, and between two looks at who reads nothing
_REST, _LOOK = 0.5, 5.0
# s between two searches for connections that have closed
_SELDOM = 0.05
# descriptors that are not for connections: files, databases, models
_RESERVED = 128
# connections of one address that are not counted as conversations: a browser opens six
BESIDE = 32


class _PatientSocket(socket.socket):
    """A listening socket whose ``accept`` says "nothing more" when there are no descriptors."""

    on_full: Callable[[], None]

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self.on_full()
            raise BlockingIOError(errno.EAGAIN, "no descriptors") from None


@dataclass
class _Stream:
    """
    A connection.

    :param address: whose it is
    :param written: bytes so far
    :param since: when that changed last
    """

    address: str
    written: int
    since: float


class BoundedServer(HTTPServer):
    """
    An HTTP server whose connections have a budget.

    :param request_callback: the application
    :param most: connections at once; None for as many as there are descriptors
    :param per_address: of one address; None where all come from a proxy
    :param requests: of one connection, after which it is closed
    :param write_seconds: for which a reader may take nothing of what waits for him
    :param on_refusal: told the reason of each connection that was refused or closed
    :param more: of :class:`tornado.httpserver.HTTPServer`
    """

    def initialize(  # type: ignore[override]
        self,
        request_callback: Any,
        most: int | None = None,
        per_address: int | None = None,
        requests: int = 1000,
        write_seconds: float = 30.0,
        on_refusal: Callable[[str], None] = lambda reason: None,
        **more: Any,
    ) -> None:
        """Tornado's constructor."""
        super().initialize(request_callback, **more)
        room = max(1, _descriptors() - _RESERVED)
        self._most = room if most is None else min(most, room)
        self._per_address, self._requests = per_address, requests
        self._write_seconds, self._on_refusal = write_seconds, on_refusal
        self._streams: dict[IOStream, _Stream] = {}
        self._looked = 0.0
        self._of_address: collections.Counter[str] = collections.Counter()
        self._served: dict[Any, int] = {}
        self._looking: PeriodicCallback | None = None

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Begin to accept connections."""
        for listening in sockets:
            patient = _PatientSocket(fileno=listening.detach())
            patient.setblocking(False)
            patient.on_full = lambda patient=patient: self._rest(patient)  # type: ignore[misc]
            self._sockets[patient.fileno()] = patient
            self._accept(patient)
        self._looking = PeriodicCallback(self._close_who_reads_nothing, _LOOK * 1000)
        self._looking.start()

    def _accept(self, listening: socket.socket) -> None:
        if listening.fileno() in self._sockets:  # it was not stopped meanwhile
            self._handlers[listening.fileno()] = add_accept_handler(
                listening, self._handle_connection
            )

    def _rest(self, listening: socket.socket) -> None:
        """No descriptors are left: look again in a moment, not all the time."""
        remove = self._handlers.pop(listening.fileno(), None)
        if remove is None:
            return
        remove()
        self._on_refusal("descriptors")
        logs.log.warning("no file descriptors are left: new connections wait (ulimit -n)")
        IOLoop.current().call_later(_REST, self._accept, listening)

    def stop(self) -> None:
        """Accept no more."""
        if self._looking is not None:
            self._looking.stop()
        super().stop()

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """A connection was accepted: serve it, unless there are too many."""
        peer = address[0] if isinstance(address, tuple) else ""
        name = counted(peer) or peer
        self._forget_closed()
        if self._crowded(name):
            self._on_refusal("connections")
            stream.close()
            return
        self._of_address[name] += 1
        self._streams[stream] = _Stream(name, 0, IOLoop.current().time())
        super().handle_stream(stream, address)

    def _crowded(self, name: str) -> bool:
        most = self._per_address
        full = most is not None and self._of_address[name] >= most
        return full or len(self._streams) >= self._most

    def _forget_closed(self) -> None:
        """Those that have closed make room; looked for as others come, but not all the time."""
        now = IOLoop.current().time()
        if now - self._looked < _SELDOM:
            return
        self._looked = now
        for stream in [stream for stream in self._streams if stream.closed()]:
            name = self._streams.pop(stream).address
            self._of_address[name] -= 1
            if self._of_address[name] <= 0:
                del self._of_address[name]

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """A request begins; the last one of a connection that had so many says so."""
        self._served[server_conn] = self._served.get(server_conn, 0) + 1
        if self._served[server_conn] >= self._requests:
            if isinstance(request_conn, HTTP1Connection):
                request_conn.params = copy.copy(request_conn.params)
                request_conn.params.no_keep_alive = True
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: object) -> None:
        """A connection has ended."""
        self._served.pop(server_conn, None)
        super().on_close(server_conn)

    def _close_who_reads_nothing(self) -> None:
        now = IOLoop.current().time()
        self._looked = 0.0
        self._forget_closed()
        for stream, known in self._streams.items():
            written = stream._total_write_done_index
            if not stream.writing() or written != known.written:
                known.written, known.since = written, now
            elif now - known.since > self._write_seconds:
                self._on_refusal("slow_reader")
                stream.close()


def _descriptors() -> int:
    """How many this process may have; as many as the system lets it ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass
    return wanted if soft == resource.RLIM_INFINITY else soft
