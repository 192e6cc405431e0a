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


def start(connection_id: str, site: PracticeSite, seed: int, *, cancel: bool, slow: float = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, WORKER, connection_id, str(site.clock.offset), str(seed), str(int(cancel)), str(slow)],
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
    # The answer takes a moment, so that the others stand at the lock before the first has it.
    workers = [start(connection.connection_id, site, seed, cancel=True, slow=0.1) for seed in range(PROCESSES)]
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
    lost = 0
    for number in range(10):
        site.advance(4000)
        before, known = site.count("refresh"), place.tokens._record(connection).generation
        worker = start(connection.connection_id, site, 1, cancel=False, slow=0.12)
        ready([worker])
        go(worker)
        if number % 3 == 2:
            # Between the server's rotation and our writing it down: the answer is still on its way.
            while site.count("refresh") == before and worker.poll() is None:
                time.sleep(0.002)
        else:
            # Spread over mark, request, answer and write, which together take about a third of a second.
            time.sleep(0.06 * number + 0.06 * rng.random())
        worker.kill()
        worker.communicate(timeout=10)
        record = place.tokens._record(connection)
        arrived = site.count("refresh") - before
        if arrived and record.generation == known:
            lost += 1
            assert record.refresh_started_at is not None, "the interrupted refresh is known"
        # The next one comes inside Atlassian's ten minutes, and no lock is left behind.
        site.advance(300)
        place.tokens.access_token(connection)
        assert site.count("refresh") - before == (2 if arrived and record.generation == known else 1)
        status = place.tokens.status(connection)
        assert status.state == "valid" and not status.reason
    assert lost, "at least one was killed between the server's rotation and our writing it down"
    works_from_here_on(place, site, connection)
