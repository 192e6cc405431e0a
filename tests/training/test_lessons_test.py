"""``spokekit lessons test``: what is wrong with a copy of a lesson is told by name, and a killed run leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from spokekit.training.testing import own_site
from tests.training.test_cli_lessons import run

TEST = [sys.executable, "-m", "spokekit", "lessons", "test"]

MUTANTS = """
from dataclasses import replace
from spokekit.training.lessons.b_groups import SyncedGroup

first, second, *rest = SyncedGroup.turns

class AlwaysRight(SyncedGroup):
    name = "always-right"

    def right(self, seen):
        return True

class Unsolved(SyncedGroup):
    name = "unsolved"

    def solve(self, do):
        pass

class Swapped(SyncedGroup):
    name = "swapped"
    turns = (replace(first, says=second.says), replace(second, says=first.says), *rest)

for kind in (AlwaysRight, Unsolved, Swapped):
    kind.__doc__ = SyncedGroup.__doc__
"""


def test_copies_that_pass_without_work_are_told_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mutants.py").write_text(MUTANTS)
    assert run("test", str(tmp_path), "--format", "json") == 1
    printed = capsys.readouterr()
    found: dict[str, set[str]] = {}
    for row in json.loads(printed.out):
        found.setdefault(row["lesson"], set()).add(row["state"])
    turns = {"turn we-do", "turn a-site-admin"}
    assert turns <= found["always-right"] and turns <= found["swapped"]
    assert {"solved"} <= found["unsolved"] and not turns & found["unsolved"]
    assert printed.err.count("NOT as it should be") == 3


def test_a_killed_run_leaves_no_process_and_the_next_one_clears_its_folder(home: Path) -> None:
    running = subprocess.Popen(TEST, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    family: list[psutil.Process] = []
    folders: list[Path] = []
    while running.poll() is None and not folders:
        family = psutil.Process(running.pid).children(recursive=True)
        # Where it makes them: in memory, or with the other files of the moment.
        places = [Path("/dev/shm"), Path(os.environ.get("TMPDIR", "/tmp"))]
        folders = [f for place in places for p in family for f in place.glob(f"spokekit-lesson-{p.pid}-*/lock")]
        time.sleep(0.05)
    running.kill()
    running.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive and folders
    for lock in folders:
        os.utime(lock, (0, 0))
    with own_site():
        assert not any(lock.parent.exists() for lock in folders)
