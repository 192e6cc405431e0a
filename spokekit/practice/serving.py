"""How requests come and answers travel, whole or as a fault wants it, and the server that they travel from."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from spokekit import _serving
from spokekit.practice.exchange import Answer

_BODY_LIMIT = 2_000_000
_NAMES = frozenset(("127.0.0.1", "localhost", "::1"))
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def from_elsewhere(request: Request) -> str:
    """Say what is wrong with a request that a web page from elsewhere makes a browser send; empty when nothing is.

    Such a page can let a name of its own point to this computer (the Host header tells), and can send forms here (the
    Origin header tells; programs send none, and a page without a referrer says ``null``).
    """
    host = request.headers.get("host", "")
    if _name_of("//" + host) not in _NAMES:
        return "This address is for this computer only."
    origin = request.headers.get("origin", "null")
    fetched = request.headers.get("sec-fetch-site", "none")
    if request.method != "GET" and (origin not in ("null", f"http://{host}") or fetched not in ("none", "same-origin")):
        return "A page from elsewhere may not send forms here."
    return ""


def _name_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


async def body_of(request: Request) -> bytes:
    """Return a request's body; nothing for one that is longer than any of this API."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        # What is longer than any request of this API is read to its end, so that an answer can be heard, and dropped.
        if size <= _BODY_LIMIT:
            parts.append(part)
    return b"".join(parts) if size <= _BODY_LIMIT else b""


def query_of(request: Request) -> str:
    """Return a request's query as it came."""
    # Starlette's request.url is a whole address made anew: dear on every call of a large walk.
    return str(request.scope["query_string"], "latin-1")


class Delivery(Response):
    """An answer on its way, whole or as a fault wants it."""

    def __init__(self, answer: Answer, transport: asyncio.Transport | None) -> None:
        super().__init__(answer.body, status_code=answer.status, media_type=None)
        self.raw_headers = [
            (b"content-length", str(len(answer.body)).encode()),
            *((key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in answer.headers),
        ]
        if answer.status not in (201, 204) or answer.body:
            self.raw_headers.append((b"content-type", answer.content_type.encode("latin-1")))
        self._answer = answer
        self._transport = transport

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        how, seconds, body = self._answer.delivery, self._answer.seconds, self._answer.body
        if how == "stall":
            await asyncio.sleep(seconds)
        if how in ("", "stall"):
            await super().__call__(scope, receive, send)
            return
        if how == "hang-up" or (how in ("reset", "cut") and not body):
            # An answer without a body has no middle: nothing of it comes.
            self._break(reset=how == "reset")
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if how == "drip":
            step = max(1, -(-len(body) // 8))
            for first in range(0, len(body), step):
                await asyncio.sleep(seconds / 8)
                await send({"type": "http.response.body", "body": body[first : first + step], "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.body", "body": body[: max(1, len(body) // 2)], "more_body": True})
        # The first half has to be on its way before the connection goes.
        await asyncio.sleep(0.01)
        self._break(reset=how == "reset")

    def _break(self, *, reset: bool) -> None:
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if reset and raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0))
        self._transport.abort()


class Server(_serving.Server):
    """A server of practice sites: it breaks everything off when it ends."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything at once: whoever waits for an answer of a stopped practice site gets an error."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for task in list(self.server_state.tasks):
            task.cancel()
        for _ in range(200):
            if not self.server_state.connections and not self.server_state.tasks:
                return
            await asyncio.sleep(0.001)
