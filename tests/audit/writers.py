"""What another process does to a store of snapshots.

The processes come from a clean server: a fork of the tests' own process would inherit locks that Arrow's and DuckDB's
threads hold there, and wait for ever.
"""

from __future__ import annotations

import multiprocessing
from datetime import timedelta
from pathlib import Path
from typing import Any

from spokekit.audit import Snapshots
from spokekit.errors import InputError
from tests.audit.worlds import DAY_ONE, SITE, frames_of


def clean_processes() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def write_slowly(folder: str, day: int, ready: Any = None) -> None:
    frames = frames_of(day=day)
    if ready is not None:
        ready.set()
    Snapshots(SITE, Path(folder)).write(frames)


def write_if_newer(folder: str, day: int) -> None:
    try:
        write_slowly(folder, day)
    except InputError:
        assert Snapshots(SITE, Path(folder)).latest().taken_at >= DAY_ONE + timedelta(days=day)
