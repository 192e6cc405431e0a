"""From where a request may come: by which name the board was called, and from whose page a browser asks."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from functools import cache
from urllib.parse import urlsplit

from starlette.requests import Request

from spokekit.board.wire import MOST_BYTES

_BODY_SECONDS = 20.0

HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""What every answer carries, unless it carries its own."""


@cache
def _own_names() -> frozenset[str]:
    own = socket.gethostname().lower().rstrip(".")
    return frozenset(("localhost", own, f"{own}.local")) - {"", ".local"}


def name_of(netloc: str) -> str:
    """Return the host of a ``Host`` header, or of the rest of an address, without its port; "" for none."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def named(hosts: tuple[str, ...]) -> frozenset[str]:
    """Return the names in what ``--host`` gave: names, with a port or without, and whole addresses."""
    return frozenset(name_of(urlsplit(one).netloc if "://" in one else one) for one in hosts) - {""}


def _is_ours(name: str, request: Request, hosts: tuple[str, ...]) -> bool:
    if name in _own_names() or name in named(hosts):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    # By whichever of its addresses this computer was reached, by that it may be called.
    reached = request.scope.get("server")
    return address.is_loopback or (reached is not None and str(address) == reached[0])


def _is_own_page(origin: str, request: Request, hosts: tuple[str, ...]) -> bool:
    scheme, mark, netloc = origin.lower().partition("://")
    if not mark or scheme not in ("http", "https"):
        return False
    # The same name with another port is another program's page; what stands in front of the board may change both.
    return netloc == request.headers.get("host", "").lower() or name_of(netloc) in named(hosts)


def from_elsewhere(request: Request, hosts: tuple[str, ...]) -> str:
    """Return why a request is not answered; "" when it is.

    The ``Host`` has to be one of ours, so that no page of another name reaches the board through a browser; and where a
    browser says from which page it asks, that has to be the board's own.
    """
    name = name_of(request.headers.get("host", ""))
    if not _is_ours(name, request, hosts):
        return "The board is not called by this name. Whoever serves it names it with --host."
    if request.method in ("GET", "HEAD") and not request.url.path.startswith("/api/"):
        return ""
    origin = request.headers.get("origin")
    if origin is not None and not _is_own_page(origin, request, hosts):
        return "A page of another site may not ask the board."
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "A page of another site may not ask the board."
    return ""


class Refused(Exception):
    """A request is refused with a status and a sentence, told in a sentence."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


async def body_of(request: Request) -> bytes:
    """Return the body of a request; raises `Refused` when it is too long or too slow."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said[:20]) > MOST_BYTES:
        raise Refused(413, f"A message has at most {MOST_BYTES} bytes.", Connection="close")
    parts, length = [], 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                length += len(part)
                if length > MOST_BYTES:
                    raise Refused(413, f"A message has at most {MOST_BYTES} bytes.", Connection="close")
                parts.append(part)
    except TimeoutError:
        raise Refused(408, "The message did not come to its end.", Connection="close") from None
    return b"".join(parts)
