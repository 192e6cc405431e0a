"""What the small servers of ours have in common: the socket that they listen on, and what uvicorn is told."""

from __future__ import annotations

import os
import socket
from typing import Any

from spokekit.errors import InputError

#: Options of `uvicorn.Config`: whoever runs the server hears of it from us, and nobody hears what serves it.
QUIET: dict[str, Any] = {
    "log_config": None,
    "log_level": "critical",
    "access_log": False,
    "lifespan": "off",
    "ws": "none",
    "server_header": False,
}


def listen(host: str, port: int, what: str, *, field: str = "port") -> socket.socket:
    """Return a socket that listens on `port` of `host`, 0 for a free one; raises `InputError` when it is taken.

    The error names `what` would listen there, and the `field` in which the port was given.
    """
    # The protocol number is what makes asyncio switch Nagle's algorithm off for every accepted connection.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name != "nt":  # on Windows the option would let two servers share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as problem:
        listener.close()
        raise InputError(
            f"The {what} cannot use port {port}.",
            field=field,
            likely=problem.strerror or None,
            hint="Give another port, or 0 for a free one.",
        ) from None
    return listener
