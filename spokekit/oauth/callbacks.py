"""How the redirect comes back: a listener on one loopback port, the Jupyter server, or a pasted address.

Every receiver takes a pasted address too (`Receiver.deliver`), so that "it did not work?" has one answer everywhere.
"""

from __future__ import annotations

import errno
import queue
import re
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from spokekit._http import clean
from spokekit._secret import Secret, guard_logs
from spokekit._surroundings import LOOPBACK_NAMES
from spokekit.errors import CallbackRefused, ConsentError, SpokekitError
from spokekit.oauth.answers import explain_callback
from spokekit.oauth.environment import CALLBACK_PATH, where_to_go_back
from spokekit.oauth.page import Kind, answer_page
from spokekit.oauth.pasted import found_in

ReceiverName = Literal["loopback", "paste", "extension"]

_LONGEST = 16_384
_LONGEST_TEXT = 200_000


@dataclass(frozen=True)
class Callback:
    """What came back from the consent page: a code, or an error in Atlassian's words."""

    code: Secret | None = None
    state: Secret | None = None
    error: str | None = None
    error_description: str = ""
    redirect_uri: str | None = field(default=None, repr=False)


# Judges a callback at the door: returns when it is the one that was waited for, raises `ConsentError` when not.
Judge = Callable[[Callback], None]


def parse_callback(text: str | Secret, *, expected_redirect: str) -> Callback:
    """Return what a pasted address (or ``code=…&state=…``) holds.

    Parameters
    ----------
    text:
        Any text with the whole address of the page that did not load: words around it, marks of HTML, markdown, JSON
        or a shell, and line breaks inside it are no matter, nor is a scheme that the browser does not show.
    expected_redirect:
        The redirect URI that was sent; the address has to begin with it.

    Raises
    ------
    CallbackRefused
        It is not a callback address; the message says what it is instead.
    RedirectMismatch, SiteAdminMustAuthorize
        It is the address of a page on which Atlassian says so.
    """
    found = _parse(text, expected_redirect)
    # A traceback shows the values of arguments, and this one may hold a code.
    text = ""
    if isinstance(found, ConsentError):
        raise found
    return found


def _parse(text: str | Secret, expected: str) -> Callback | ConsentError:
    """Return a callback or what is wrong; never raises, since its locals hold the code."""
    text = text.reveal() if isinstance(text, Secret) else text
    if not text.strip():
        return _refused("Nothing was pasted.")
    if len(text) > _LONGEST_TEXT:
        return _refused("What was pasted is too long for an address.")
    found = found_in(text)
    if not found:
        return _refused(
            "This is a bare code, or not an address at all.",
            "Without the state beside it nothing shows that it answers this attempt.",
        )
    read = [_read_address(one, expected) for one in found]
    callbacks = list(dict.fromkeys(one for one in read if isinstance(one, Callback)))
    if len(callbacks) > 1:
        return _refused(
            "The text holds several addresses with different answers.", "One of them belongs to an earlier attempt."
        )
    return callbacks[0] if callbacks else read[0]


def _read_address(text: str, expected: str) -> Callback | ConsentError:
    """Return what one address, or a query alone, holds."""
    if len(text) > _LONGEST:
        return _refused("What was pasted is too long for an address.")
    where, mark, query = text.partition("?")
    if "/" not in where and not (mark and where):
        return from_query(query or text.lstrip("&#"))
    text = _with_scheme(where, expected) + mark + query
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return _refused("This is not a valid address.")
    fields = dict(parse_qsl(parts.query, keep_blank_values=True))
    host = (parts.hostname or "").lower()
    if "error" in fields and (host.endswith("atlassian.com") or parts.path.rstrip("/").endswith("/error")):
        return explain_callback(fields["error"], fields.get("error_description", ""), expected)
    if parts.path.rstrip("/").endswith("/authorize") or "client_id" in fields:
        return _refused(
            "This is the address of the consent page, not of the page after it.",
            "Press Accept there first; the address of the next page is the one to copy, even if it does not load.",
        )
    if not _same_place(text, expected):
        return _refused(
            f"This address does not begin with the redirect URI of the connection ({expected}).",
            "It may belong to another app or another attempt.",
        )
    return from_query(parts.query)


def _with_scheme(where: str, expected: str) -> str:
    """Return an address with a whole scheme; a browser may hide it, and copying may cut it."""
    here = urlsplit(expected)
    scheme, slashes, rest = re.fullmatch(r"(?is)([a-z][a-z0-9+.-]*:(?=/))?(/{0,3})(.*)", where).groups()  # type: ignore[union-attr]
    if slashes == "/" and not scheme:
        rest = f"{here.netloc}/{rest}"
    named = re.search(rf"(?i)(?:^|[:=,;])({re.escape(here.netloc)}/?{re.escape(here.path.strip('/'))}/?)$", rest)
    return f"{scheme or here.scheme + ':'}//{named[1] if named and not scheme else rest}"


def from_query(query: str) -> Callback | ConsentError:
    pairs = parse_qsl(query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    if any(names.count(name) > 1 for name in ("code", "state", "error")):
        return _refused("The address names the code, the state or the error twice.")
    fields = dict(pairs)
    state = Secret(fields["state"]) if fields.get("state") else None
    if fields.get("error"):
        # An error counts first, whatever else the address holds.
        return Callback(None, state, clean(fields["error"], 80), clean(fields.get("error_description", "")))
    if not fields.get("code"):
        return _refused("The address holds neither a code nor an error.", "It may have been cut off.")
    return Callback(Secret(fields["code"]), state)


def _same_place(address: str, expected: str) -> bool:
    def place(url: str) -> tuple[str, int | None, str]:
        parts = urlsplit(url)
        usual = {"http": 80, "https": 443}.get(urlsplit(expected).scheme)
        return (parts.hostname or "").lower(), parts.port or usual, parts.path.rstrip("/")

    if place(address) == place(expected):
        return True
    # A hub sends …/hub/user-redirect/PATH on to the person's own server, where PATH comes after /user/NAME/.
    ours, theirs = urlsplit(address), urlsplit(expected)
    return (
        "/user-redirect/" in theirs.path
        and ours.netloc.lower() == theirs.netloc.lower()
        and ours.path.rstrip("/").endswith("/" + theirs.path.split("/user-redirect/", 1)[1].rstrip("/"))
    )


def _refused(what: str, likely: str | None = None) -> CallbackRefused:
    return CallbackRefused(
        what,
        likely=likely,
        hint="Copy the whole address from the browser's address bar, after the consent, and paste it again.",
        next_step="fix_input",
    )


# ------------------------------------------------------------------ receivers


class Receiver:
    """Waits for one callback. Also the receiver for pasted addresses: it only takes what `deliver` is given.

    Parameters
    ----------
    redirect_uri:
        The redirect URI as it is sent to Atlassian.
    """

    name: ReceiverName = "paste"

    def __init__(self, redirect_uri: str) -> None:
        self.redirect_uri = redirect_uri
        self._arrived: queue.SimpleQueue[Callback] = queue.SimpleQueue()
        self._judge: Judge | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.redirect_uri!r})"

    def open(self, judge: Judge, authorize_url: Callable[[], str], state: Secret, seconds: float) -> None:
        """Begin to listen; `judge` decides at the door what counts. Called by the attempt."""
        self._judge = judge

    def link(self, authorize_url: str) -> str:
        """Return the address that the person opens to consent."""
        return authorize_url

    def deliver(self, text: str | Secret) -> None:
        """Take a pasted address; raises `ConsentError` with the reason when it is not the one waited for."""
        text = text if isinstance(text, Secret) else Secret(text)
        self._take(parse_callback(text, expected_redirect=self.redirect_uri))

    def wait(self, timeout: float) -> Callback | None:
        """Return the callback, or None when none came within `timeout` seconds."""
        try:
            return self._arrived.get(timeout=max(0.0, timeout))
        except queue.Empty:
            return None

    def close(self) -> None:
        """Stop listening."""
        self._judge = None

    def _take(self, callback: Callback) -> None:
        judge = self._judge
        if judge is None:
            raise _not_waiting()
        judge(callback)
        self._arrived.put(callback)


class PasteReceiver(Receiver):
    """The person copies the address of the page that does not load."""


def _not_waiting() -> CallbackRefused:
    return CallbackRefused(
        "Nobody waits for this address any more.",
        likely="The attempt has ended, was cancelled, or the address was delivered before.",
        hint="Press Get OAuth Token to begin a new attempt.",
    )


# This computer has no IPv6, so nobody can listen there, and no browser goes there.
_NO_SUCH_FAMILY = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ENOPROTOOPT})


def loopback_hosts(hostname: str) -> tuple[str, ...]:
    """Return the addresses at which a browser may look for a loopback name: both families for ``localhost``."""
    return {"localhost": ("127.0.0.1", "::1"), "::1": ("::1",), "[::1]": ("::1",)}.get(hostname.lower(), ("127.0.0.1",))


def port_in_use(port: int, hostname: str = "localhost") -> str:
    """Return why the loopback listener could not have the port now, or "" when it could."""
    for host in loopback_hosts(hostname):
        try:
            _Server((host, port), "", lambda _query: ("info", ())).server_close()
        except OSError as error:
            if ":" in host and error.errno in _NO_SUCH_FAMILY:
                continue
            return f"{host}: {error.strerror or error}"
    return ""


class LoopbackReceiver(Receiver):
    """A listener thread on the loopback interface, on the one port that the redirect URI names."""

    name: ReceiverName = "loopback"

    def __init__(self, redirect_uri: str) -> None:
        super().__init__(redirect_uri)
        parts = urlsplit(redirect_uri)
        if parts.scheme != "http" or (parts.hostname or "") not in LOOPBACK_NAMES:
            raise ConsentError(
                f"The redirect URI {redirect_uri} does not lead to this computer, so nothing can listen there.",
                hint="Paste the address of the page after the consent instead.",
                next_step="fix_redirect",
            )
        self._port = parts.port or 80
        self._path = parts.path or "/"
        self._hosts = loopback_hosts(parts.hostname or "")
        self._servers: list[ThreadingHTTPServer] = []

    def open(self, judge: Judge, authorize_url: Callable[[], str], state: Secret, seconds: float) -> None:
        guard_logs()
        super().open(judge, authorize_url, state, seconds)
        for host in self._hosts:
            try:
                self._servers.append(_Server((host, self._port), self._path, self._answer))
            except OSError as error:
                if ":" in host and len(self._hosts) > 1 and error.errno in _NO_SUCH_FAMILY:
                    continue
                # Both or none: a browser may go to either, and whoever listens at the other one would get the code.
                for server in self._servers:
                    server.server_close()
                self._servers.clear()
                self.close()
                raise ConsentError(
                    f"Port {self._port} at {host}, on which the redirect would come back, cannot be used: "
                    f"{error.strerror or error}.",
                    likely="Another notebook or program is waiting on it.",
                    hint="Close the other attempt, or paste the address of the page after the consent instead.",
                    next_step="retry",
                ) from None
        for server in self._servers:
            threading.Thread(
                target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="spokekit-callback", daemon=True
            ).start()

    def close(self) -> None:
        super().close()
        servers, self._servers = self._servers, []
        for server in servers:
            server.shutdown()
            server.server_close()

    def _answer(self, query: str) -> tuple[Kind, tuple[str, ...]]:
        found: Callback | SpokekitError = from_query(query)
        if isinstance(found, Callback):
            try:
                self._take(found)
            except SpokekitError as error:
                found = error
        return verdict(found, where_to_go_back())


def verdict(outcome: SpokekitError | Callback, place: str) -> tuple[Kind, tuple[str, ...]]:
    """Return what the browser's page says about a callback; `place` is from `where_to_go_back`."""
    back = f"Go back to {place}"
    if isinstance(outcome, SpokekitError):
        said = tuple(part for part in (outcome.message, outcome.likely) if part)
        return "refused", (*said, f"{back}: the attempt that waits there, or a new one, has its own link.")
    if outcome.error is not None:
        problem = explain_callback(outcome.error, outcome.error_description)
        return "declined", (problem.message, f"{back} to try again. You can close this page.")
    return "done", (f"{back}: the rest happens there.", "You can close this page.")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # On Windows the option would let a second program take the port over.
    allow_reuse_address = sys.platform != "win32"

    def __init__(
        self, address: tuple[str, int], path: str, answer: Callable[[str], tuple[Kind, tuple[str, ...]]]
    ) -> None:
        self.path, self.answer = path, answer
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # The parent's own version asks the name service for this host's name, which may take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(self.allow_reuse_address))
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no news, and the traceback would show the address with the code."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10
    server_version, sys_version = "spokekit", ""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        if host not in LOOPBACK_NAMES:
            # A page elsewhere that lets its own name point to this computer gets nothing.
            self._send(400, "refused", ("This address is for this computer only.",))
        elif parts.path != self.server.path:
            self._send(404, "refused", ("There is nothing here.",))
        else:
            kind, sentences = self.server.answer(parts.query)
            self._send(400 if kind == "refused" else 200, kind, sentences)

    def _send(self, status: int, kind: Kind, sentences: tuple[str, ...]) -> None:
        page, headers = answer_page(kind, *sentences)
        body = page.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """The request line holds the code: nothing is logged."""


__all__ = [
    "CALLBACK_PATH",
    "Callback",
    "LoopbackReceiver",
    "PasteReceiver",
    "Receiver",
    "parse_callback",
    "verdict",
]
