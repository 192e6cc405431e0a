"""A proxy that notes who comes, and the variables that send every request of a process to it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
EVERY_VARIABLE = (*VARIABLES, *(name.lower() for name in VARIABLES))


@dataclass
class RecordingProxy:
    """Where it listens, and the first bytes of each connection that came."""

    port: int
    seen: list[bytes] = field(default_factory=list)

    def environment(self, of: dict[str, str]) -> dict[str, str]:
        """Return `of` with every variable for a proxy set to this one, and without ``NO_PROXY``."""
        env = {name: value for name, value in of.items() if name.upper() != "NO_PROXY"}
        return env | dict.fromkeys(
            (n for n in EVERY_VARIABLE if n.upper() != "NO_PROXY"), f"http://127.0.0.1:{self.port}"
        )


@contextmanager
def recording_proxy() -> Iterator[RecordingProxy]:
    """Listen, note, and answer nothing but 403."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        proxy = RecordingProxy(listener.getsockname()[1])
        ended = threading.Event()

        def serve() -> None:
            while True:
                with suppress(OSError):
                    one, _ = listener.accept()
                    with one:
                        if ended.is_set():
                            return
                        one.settimeout(2)
                        proxy.seen.append(b"")
                        with suppress(OSError):
                            proxy.seen[-1] = one.recv(4096)
                            one.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            ended.set()
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", proxy.port), 2).close()
            thread.join(5)
