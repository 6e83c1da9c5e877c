"""Small servers on 127.0.0.1 that speak the protocols of the services that we ask."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# what a server is to do with a request: a status and a body; raising closes the connection
Reply = Callable[[dict[str, Any]], tuple[int, Any]]


class ChatServer:
    """
    A server of the OpenAI protocol.

    ``replies`` are used up one a request, then ``reply`` answers; ``seen`` holds what was asked.
    """

    def __init__(self, url: str, reply: Reply) -> None:
        self.url, self.reply = url, reply
        self.replies: list[Reply] = []
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        """One request."""
        if path != "/v1/chat/completions":
            return 404, {"error": path}
        self.seen.append(json.loads(body))
        self.headers.append(headers)
        reply = self.replies.pop(0) if self.replies else self.reply
        return reply(self.seen[-1])


def completion(text: str, logprobs: Any = None) -> tuple[int, Any]:
    """A chat completion, as the protocol has it."""
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}}
    if logprobs is not None:
        choice["logprobs"] = {"content": [{"token": "x", "logprob": p} for p in logprobs]}
    usage = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
    return 200, {"object": "chat.completion", "choices": [choice], "usage": usage}


@contextmanager
def chat_server(reply: Reply) -> Iterator[ChatServer]:
    """A server that is there while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                status, said = held.answer(self.path, dict(self.headers), body)
            except ConnectionError:
                self.close_connection = True
                return
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            """A client that hung up is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    held = ChatServer(f"http://127.0.0.1:{server.server_address[1]}/v1", reply)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
