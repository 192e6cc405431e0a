"""The board of a class over HTTP: what learners' computers ask for, and the trainer's pages."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from spokekit._serving import Server, listen
from spokekit.board import joining
from spokekit.board.classroom import Classroom
from spokekit.board.front import Front
from spokekit.board.orders import Menus
from spokekit.board.records import Forgotten, Records
from spokekit.board.wire import Order
from spokekit.errors import InputError, SetupError, SpokekitError

_TICK = 1.0
_OLD_EVERY = 3600.0


def own_address() -> str:
    """Return the address by which others on the network reach this computer; loopback where there is none."""
    # Nothing is sent: the system only says by which of its addresses it would be. The address is for documentation.
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return "127.0.0.1"


class BoardSite:
    """The board of one class, served in a thread of its own; a context manager.

    Parameters
    ----------
    path:
        The file with the classes of a home; `spokekit.board.records.class_file`.
    class_name, lessons, new:
        As for `spokekit.board.classroom.Classroom`.
    menus:
        What the board says about lessons, and what can be ordered.
    port:
        0 for a free one.
    on_the_network:
        Listen on all of this computer's addresses, not on loopback alone.
    hosts:
        Further names by which the board may be called; the first is the one that is told. A whole address
        (``https://class.example.org``) is told as it is.
    certfile, keyfile:
        A certificate and its key, in PEM, for https.
    clock:
        POSIX seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        class_name: str = "",
        lessons: Iterable[str] = (),
        new: bool = False,
        menus: Menus | None = None,
        port: int = 0,
        on_the_network: bool = False,
        hosts: Iterable[str] = (),
        certfile: Path | None = None,
        keyfile: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._records = Records(path)
        self._records.forget_old(clock())
        self.classroom = Classroom(self._records, name=class_name, lessons=tuple(lessons), new=new, clock=clock)
        self._key = joining.new_key()
        doors = self._records.let_in(self.classroom.kept.class_id, self._key, clock())
        self.hosts = tuple(hosts)
        self._tls: dict[str, Any] = _certificate(certfile, keyfile)
        self.on_the_network = on_the_network
        self.forgotten = threading.Event()
        host = "0.0.0.0" if on_the_network else "127.0.0.1"  # noqa: S104 - when told to
        self._listener = listen(host, port, "board", field="--port")
        self.port: int = self._listener.getsockname()[1]
        self.front = Front(self.classroom, menus or Menus(), doors, self.hosts)
        self.front.trainer.url = self.url

        self._server: Server | None = None

    # -- what is told ------------------------------------------------------------------------------------------------

    @property
    def code(self) -> str:
        """What learners join with."""
        return self.classroom.kept.code

    @property
    def url(self) -> str:
        """The address that learners join, with a slash at its end."""
        told = next(iter(self.hosts), "")
        if "://" in told:
            return told.rstrip("/") + "/"
        host = told or (own_address() if self.on_the_network else "127.0.0.1")
        netloc = host if ":" in host else f"{host}:{self.port}"
        return f"{'https' if self._tls else 'http'}://{netloc}/"

    @property
    def trainer_url(self) -> str:
        """The link that lets a browser in as the trainer; it holds a key."""
        return f"{self.url}open?key={self._key}"

    # -- serving -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to serve; raises `SpokekitError` when that takes more than ten seconds."""
        self._server = Server(
            self.front.app,
            self._listener,
            "board",
            http="h11",
            loop="asyncio",
            proxy_headers=False,
            timeout_keep_alive=40,
            timeout_graceful_shutdown=2,
            limit_concurrency=2_000,
            **self._tls,
        )
        self._server.call(self._look_on)

    def _look_on(self) -> None:
        # It is kept here, or nobody would; the loop ends it when it ends.
        self._looking = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        """Look after the class; the server ends when it was deleted."""
        looked = time.monotonic()
        while True:
            await asyncio.sleep(_TICK)
            try:
                await self.front.turn(self._look_after, time.monotonic() - looked > _OLD_EVERY)
            except Forgotten:
                self.forgotten.set()
                self.front.wake_all()
                assert self._server is not None  # noqa: S101 - it runs this
                self._server.should_exit = True
                return
            except SpokekitError as problem:
                # A full disk now may have room in a second; the requests that meet it say so.
                self.front.defects.append(problem)
            if time.monotonic() - looked > _OLD_EVERY:
                looked = time.monotonic()

    def _look_after(self, old: bool) -> None:
        if old:
            self._records.forget_old(self.classroom.clock())
        if not self._records.is_there(self.classroom.kept.class_id):
            raise Forgotten("This class was deleted.")
        self.classroom.keep_seen()

    def stop(self) -> None:
        """End the server; those who wait for orders are answered first."""
        if self._server is not None:
            self._server.soon(self.front.wake_all)
            self._server.stop()
            with suppress(SpokekitError):
                self.classroom.keep_seen(all_of_them=True)
        self._listener.close()
        self._records.close()

    def __enter__(self) -> BoardSite:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- from another thread -----------------------------------------------------------------------------------------

    def order(self, order: Order, to: int | None = None) -> int:
        """Give an order to one learner or, with None, to all; returns its number."""
        assert self._server is not None  # noqa: S101 - it was started
        return self._server.done(self.front.give(order, to)).ordered.n


def _certificate(certfile: Path | None, keyfile: Path | None) -> dict[str, Any]:
    if certfile is None and keyfile is None:
        return {}
    if certfile is None:
        raise InputError("A key alone is not enough.", field="--certfile", hint="Give --certfile as well.")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certfile, keyfile, password=lambda: b"")
    except (OSError, ssl.SSLError, ValueError) as problem:
        raise SetupError(
            f"The certificate {certfile} cannot be used: {getattr(problem, 'strerror', None) or problem}.",
            hint="Both files are PEM, the key without a password.",
        ) from None
    return {"ssl_certfile": str(certfile), "ssl_keyfile": str(keyfile) if keyfile else None}
