"""A practice site in a process of its own that ends when its parent does.

The parent holds the other end of this process's standard input: however the parent ends, even killed, the pipe
closes and so does the site. One JSON line on standard output says where the site is, as ``spokekit practice`` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from spokekit.errors import SpokekitError

_LOOK_SECONDS = 1.0


@contextlib.contextmanager
def practice_child(
    lock: IO[str] | None = None, *, home: Path | None = None, **options: Any
) -> Iterator[dict[str, Any]]:
    """Run a practice site beside this process and give what `spokekit.practice.PracticeSite` says of itself.

    `options` are those of `PracticeSite`, as far as JSON knows them; `lock` is an open file that the site holds open
    too; `home` is a practice home that lasts: while it is in a class, the site's process reports to it
    (``"reports": true``). Where this process is replaced by another program (`os.execvpe`), the site lives on with that
    one. Raises `SpokekitError` when it does not start.
    """
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=() if lock is None or os.name == "nt" else (lock.fileno(),),
        # Ctrl-C in the terminal is for the parent, which then closes the pipe.
        start_new_session=True,
    )
    assert child.stdin and child.stdout and child.stderr  # noqa: S101 - pipes were asked for
    try:
        with contextlib.suppress(BrokenPipeError):
            # Not on the command line, which everybody on this computer can read.
            told = {**options, "home": None if home is None else str(home)}
            child.stdin.write(json.dumps(told).encode() + b"\n")
            child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            said = child.stderr.read().decode(errors="replace").strip().splitlines()
            raise SpokekitError(
                "The practice site did not start.",
                likely=said[-1] if said else None,
                hint="Try `spokekit practice` to see what is in its way.",
            )
        # A program that takes this process's place takes over this end of the pipe.
        os.set_inheritable(child.stdin.fileno(), True)
        yield json.loads(line)
    finally:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
        child.stderr.close()


def _serve() -> None:
    from spokekit.practice import PracticeSite

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    options = json.loads(_first_line())
    home = options.pop("home")
    with PracticeSite(**options) as site:
        about = site.describe() | ({"reports": True} if home else {})
        print(json.dumps(about), flush=True)
        # Nobody reads standard error from here on, and a full pipe would stop the site.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        ended = threading.Event()
        threading.Thread(target=_until_closed, args=(ended,), daemon=True).start()
        reporting = _Reporting(Path(home), about) if home else None
        # A program that the parent started may hold the pipe open after the parent has ended.
        while not ended.wait(_LOOK_SECONDS) and os.getppid() == parent:
            if reporting is not None:
                reporting.look()


class _Reporting:
    """Reports to the class that a practice home is in; as long as nobody joined, it only looks for a file."""

    def __init__(self, home: Path, about: dict[str, Any]) -> None:
        self._home, self._about = home, about
        self._file = home / "lessons" / "class.json"
        self._known: tuple[int, int] | None = None
        self._reporter: Any = None

    def look(self) -> None:
        """Begin to report once somebody has joined, begin anew for another class, and end once they have left."""
        try:
            found = self._file.stat()
            now = (found.st_mtime_ns, found.st_ino)
        except OSError:
            now = None
        if now == self._known:
            return
        # Whatever is wrong with it, the site goes on; it is tried again.
        with contextlib.suppress(Exception):
            if self._reporter is not None:
                self._reporter.stop()
                self._reporter = None
            if now is not None:
                from spokekit.training.reporter import Reporter

                reporter = Reporter(self._home, self._about)
                if not reporter.start():
                    return
                self._reporter = reporter
            self._known = now


def _first_line() -> bytes:
    # Unbuffered: what comes after the line is the pipe's end, which has to be seen.
    line = b""
    while not line.endswith(b"\n") and (part := os.read(sys.stdin.fileno(), 1)):
        line += part
    return line


def _until_closed(ended: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    ended.set()


if __name__ == "__main__":
    _serve()
