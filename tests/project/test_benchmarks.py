"""The commands behind the README's figures run and count right, at the smallest size; speed is not asserted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "-m tests.bench.walk --size 20x30 --latency-ms 2",
            [
                r"\| \*\*spokekit audit walk\*\*, 8 in flight \| 20 \| 600 of 600 \|",
                r"\| spokekit's read alone, 8 in flight \| 20 \| 600 of 600 \|",
                r"\| \*\*spokekit audit walk\*\*, 16 in flight \| 20 \| 600 of 600 \|",
                r"\| spokekit's read alone, 16 in flight \| 20 \| 600 of 600 \|",
                r"its helpers \| 20 \| 600 of 600 \|",
                r"paged by hand \| 20 \| 600 of 600 \|",
                r"spent 1,26[12] .* and asked for 0 pages twice",
            ],
        ),
        (
            "-m tests.bench.first_minute --runs 1",
            [r"\| `spokekit lab` \| \d+\.\d s \|", r"\| plain JupyterLab with one button \| \d+\.\d s \|"],
        ),
        (
            "-m tests.bench.audit_resume --size class --kills 1",
            [r"26 groups, at one go \| 968 \| 34 \|", r"and continued \| [\d,]+ \| \d+ \|"],
        ),
        (
            "-m tests.bench.audit_changed --size 20x10 --nights 2 --at-most 7",
            [r"night 2: [\d,]+ points, Complete: ", r"\| 20x10, each group whole again after 7 days \|.* 0 of 20 \|"],
        ),
        (
            "-m tests.bench.crashes --tries 1 --examples 1",
            [r"[\d,]+ steps, [\d,]+ killed in the middle of a write, .* nothing acknowledged was missing"],
        ),
        (
            "-m tests.bench.membership --rows 40",
            [r"apply without a pace \| \d+ changes/s", r"apply at the default pace \| (\d|10)\.\d changes/s"],
        ),
        (
            "-m tests.bench.review --rows 400",
            [r"^400 rows", r"\| the panel opens \| [\d.]+ \|", r"\| worksheet back, every row decided \(.xlsx\) \| "],
        ),
        (
            "-m tests.bench.class_of_30 --seconds 2 --learners 2 --processes 1",
            [
                r"holds: 2 learners, \d+ lessons, .* not injected: 0",
                r"holds: events and last outcomes on the board .*: 2 of 2",
                r"\(\d+ effects\)",
                r"holds: routes that opened .*: 0",
                r"holds: sites with the fault that was for one: 1;",
            ],
        ),
        (
            "tests/bench/audit.py --sizes S --repeat 1",
            [r"diff S stored \| [\d.]+ s .* 50 rows", r"one person's spaces"],
        ),
    ],
)
def test_it_runs_and_counts_right(home: Path, command: str, said: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command.split()], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    for words in said:
        assert re.search(words, done.stdout), (words, done.stdout)
