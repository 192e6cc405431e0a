"""The one I/O thread ends with Python, whatever other threads still want of it."""

from __future__ import annotations

import subprocess
import sys

BUSY = """
import atexit, threading, time
import anyio
from spokekit import _portal

heard = []

def work():
    # A person closes the kernel while a component works: its thread asks on after the I/O thread has ended.
    while True:
        try:
            _portal.call(anyio.sleep, 0.001)
        except BaseException as error:
            heard.append(error)
            print(type(error).__name__, error, flush=True)
            if len(heard) > 1:
                return

threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
# Holds the end of Python up until the other thread has asked again.
atexit.register(time.sleep, 0.5)
"""


def test_a_thread_that_asks_on_while_python_ends_does_not_keep_it_from_ending() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=60, check=True, encoding="utf-8"
    )
    assert "Cancelled Python is ending" in ended.stdout
    assert ended.stderr == ""
