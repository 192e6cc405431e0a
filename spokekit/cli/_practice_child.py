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
from collections.abc import Iterator
from typing import Any

from spokekit.errors import SpokekitError


@contextlib.contextmanager
def practice_child(**options: Any) -> Iterator[dict[str, Any]]:
    """Run a practice site beside this process and give what `spokekit.practice.PracticeSite` says of itself.

    `options` are those of `PracticeSite`, as far as JSON knows them. Raises `SpokekitError` when it does not start.
    """
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", __name__, json.dumps(options)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Ctrl-C in the terminal is for the parent, which then closes the pipe.
        start_new_session=True,
    )
    assert child.stdin and child.stdout and child.stderr  # noqa: S101 - pipes were asked for
    try:
        line = child.stdout.readline()
        if not line:
            said = child.stderr.read().decode(errors="replace").strip().splitlines()
            raise SpokekitError(
                "The practice site did not start.",
                likely=said[-1] if said else None,
                hint="Try `spokekit practice` to see what is in its way.",
            )
        yield json.loads(line)
    finally:
        child.stdin.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
        child.stderr.close()


def _serve(options: dict[str, Any]) -> None:
    from spokekit.practice import PracticeSite

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with PracticeSite(**options) as site:
        print(json.dumps(site.describe()), flush=True)
        # Nobody reads standard error from here on, and a full pipe would stop the site.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        while os.read(sys.stdin.fileno(), 4096):
            pass


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
