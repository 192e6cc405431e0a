"""Many processes and tasks on one expired token, cancelled and killed at random: one refresh, and no lost grant."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from spokekit.practice import PracticeSite
from tests.oauth.support import Place, granted

WORKER = str(Path(__file__).with_name("stress_worker.py"))
PROCESSES = 8


def start(connection_id: str, site: PracticeSite, seed: int, *, cancel: bool) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, WORKER, connection_id, str(site.clock.offset), str(seed), str(int(cancel))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ready(workers: list[subprocess.Popen[str]]) -> None:
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n", worker.communicate()[1]


def go(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()


def works_from_here_on(place: Place, site: PracticeSite, connection: object) -> None:
    """The stored refresh token is valid: it renews, twice, after the leeway of whatever came before."""
    for _ in range(2):
        site.advance(4000)
        place.tokens.access_token(connection)  # type: ignore[arg-type]


def test_eight_processes_of_ten_tasks_half_of_them_cancelled_need_one_refresh(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    site.advance(4000)
    workers = [start(connection.connection_id, site, seed, cancel=True) for seed in range(PROCESSES)]
    ready(workers)
    for worker in workers:
        go(worker)
    outcomes = []
    for worker in workers:
        out, problems = worker.communicate(timeout=60)
        assert worker.returncode == 0, problems
        outcomes += json.loads(out)
    assert site.count("refresh") == 1
    assert len(outcomes) == 80 and set(outcomes) <= {200, "CancelledError"}
    assert outcomes.count(200) >= 40
    works_from_here_on(place, site, connection)


def test_a_process_killed_at_ten_random_moments_never_costs_the_grant(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    rng = random.Random(20)
    # The first moments are spread over the refresh itself: mark, request, answer, write.
    for moment in [0.001, 0.004, 0.008, 0.015, 0.03, *(rng.random() * 0.25 for _ in range(5))]:
        site.advance(4000)
        before = site.count("refresh")
        worker = start(connection.connection_id, site, 1, cancel=False)
        ready([worker])
        go(worker)
        time.sleep(moment)
        worker.kill()
        worker.communicate(timeout=10)
        # The next one comes inside Atlassian's ten minutes.
        site.advance(300)
        place.tokens.access_token(connection)
        assert site.count("refresh") - before <= 2, "at most one use more than needed"
        assert place.tokens.status(connection).state == "valid"
    works_from_here_on(place, site, connection)
