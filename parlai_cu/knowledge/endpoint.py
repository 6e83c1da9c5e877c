"""
A service behind HTTP: connections that are kept, timeouts, retries with backoff, bounded answers.

Redirections are not followed: they would carry a key, or a question, to where nobody sent it.
"""

import time
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.util.retry import Retry

from parlai_cu.errors import KnowledgeError

# to connect; and for the whole answer, where the URI does not say ?timeout=
_CONNECT_S, TIMEOUT_S = 3.0, 10.0
_RETRIES, _BACKOFF_S = 2, 0.2
# too busy, or a proxy whose server is just being restarted
_AGAIN = (429, 500, 502, 503, 504)
MOST_BYTES = 64 * 2**20


class Bearer(AuthBase):
    """A key in the header; as ``auth``, or else requests would prefer one of .netrc."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put the key into a request."""
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class EndpointReply(NamedTuple):
    """What came back: the HTTP status, the content and its kind (media type)."""

    status: int
    content: bytes
    kind: str


class Endpoint:
    """
    One service.

    :param uri: ``SCHEME+https://...`` as the user typed it, perhaps with ``?timeout=SECONDS``
    :param key: sent as a bearer where the URI has no user and password
    :param backoff_s: before the second try; twice as long before each further one
    :raises KnowledgeError: when it is no such URI
    """

    def __init__(self, uri: str, key: str = "", backoff_s: float = _BACKOFF_S) -> None:
        before, _, address = uri.partition("+")
        scheme = before.partition(":")[0]
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise KnowledgeError(
                f"--kb {without_secrets(uri)}: expected {scheme}+https://host/path or "
                f"{scheme}+http://host/path"
            )
        self.timeout_s, parts = _timeout(uri, parts)
        self.fragment = parts.fragment
        self.url = urlunsplit(_bare(parts)._replace(fragment=""))
        self.name = f"{scheme}+{urlunsplit(_bare(parts))}"
        self._session = requests.Session()
        self._session.auth = _auth(parts, key)
        retry = Retry(
            total=_RETRIES,
            read=1,
            backoff_factor=backoff_s,
            status_forcelist=_AGAIN,
            allowed_methods=None,
            raise_on_status=False,
            # it may ask for an hour
            respect_retry_after_header=False,
        )
        for prefix in ("http://", "https://"):
            self._session.mount(prefix, HTTPAdapter(max_retries=retry))

    def post(
        self, path: str = "", headers: dict[str, str] | None = None, **body: Any
    ) -> EndpointReply:
        """
        Send something.

        :param path: after the URL
        :param headers: beside the usual ones
        :param body: ``json=`` or ``data=``
        :raises requests.RequestException: when nothing came back, too much, or too late
        """
        deadline = time.monotonic() + self.timeout_s
        with self._session.post(
            self.url + path,
            headers=headers,
            timeout=(min(_CONNECT_S, self.timeout_s), self.timeout_s),
            allow_redirects=False,
            stream=True,
            **body,
        ) as response:
            content = bytearray()
            for part in response.iter_content(65536):
                content += part
                if len(content) > MOST_BYTES:
                    raise requests.RequestException(f"more than {MOST_BYTES:,d} bytes")
                if time.monotonic() > deadline:
                    raise requests.Timeout(f"no whole answer within {self.timeout_s:g} s")
            kind = response.headers.get("Content-Type", "")
            return EndpointReply(response.status_code, bytes(content), kind)

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()


def refusal(answer: EndpointReply) -> str:
    """What a service said instead of answering, in one line."""
    said = " ".join(answer.content.decode("utf-8", "replace").split())[:200]
    return f"HTTP status {answer.status}{': ' if said else ''}{said}"


def without_secrets(uri: str) -> str:
    """A URI without user and password."""
    before, mark, after = uri.partition("://")
    host, slash, path = after.partition("/")
    return f"{before}{mark}{host.rsplit('@', 1)[-1]}{slash}{path}"


def _bare(parts: SplitResult) -> SplitResult:
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1])


def _auth(parts: SplitResult, key: str) -> AuthBase:
    if parts.username:
        return HTTPBasicAuth(unquote(parts.username), unquote(parts.password or ""))
    return Bearer(key)


def _timeout(uri: str, parts: SplitResult) -> tuple[float, SplitResult]:
    """The seconds that the URI allows, and its parts without them."""
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    given = [value for name, value in pairs if name == "timeout"]
    kept = [pair for pair in pairs if pair[0] != "timeout"]
    try:
        seconds = float(given[-1]) if given else TIMEOUT_S
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 3600:
        raise KnowledgeError(
            f"--kb {without_secrets(uri)}: expected ?timeout=SECONDS, found {given[-1]!r}"
        )
    return seconds, parts._replace(query=urlencode(kept))
