"""A class with its board: learners with practice sites, reporters and spokekit's real client, and a trainer's orders.

The board is the real ``spokekit class`` in a process of its own. The learners do lessons with random wrong turns, some
processes of them; the trainer orders faults, lost writes and time travel over the pages' own forms, to all and to one.
In the end everything that each learner's own computer noted is held against the board. ::

    python -m tests.bench.class_of_30 --seconds 300
    python -m tests.bench.class_of_30 --seconds 300 --kill-board --cut 5
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx2
import psutil

from spokekit.training.testing import free_ports
from tests.bench._learners import LESSONS

ORDERS: tuple[dict[str, str], ...] = (
    {"do": "fault", "fault": "429", "times": "5", "every": "3"},
    {"do": "fault", "fault": "write-lost", "times": "1", "every": "1"},
    {"do": "fault", "fault": "token-lost", "times": "1"},
    {"do": "fault", "fault": "503", "times": "2"},
    {"do": "clear"},
    {"do": "advance", "span": "1 hour: the hour's points are there again, access tokens end"},
    {"do": "say", "text": "Five more minutes <b>"},
)
_NOTED = ("seq", "lesson", "attempt", "event", "outcome", "turn")
PAGES = ("board", "answers", "end", "export", "learner?id={number}")


class Program:
    """A process that says lines of JSON."""

    def __init__(self, *command: str, env: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.pid = self._process.pid
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self._said.put(json.loads(line))

    def hears(self, what: dict[str, Any]) -> None:
        """Send a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def said(self, seconds: float = 120) -> dict[str, Any]:
        """Return what it says next."""
        return self._said.get(timeout=seconds)

    def ends(self, number: int) -> None:
        """Send a signal and wait for the end."""
        self._process.send_signal(number)
        self._process.wait(30)

    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self._process.poll() is not None


class Board:
    """The board's process, what it costs, and the trainer's browser."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.port = free_ports()
        self.cpu = self.wall = self.memory = 0.0
        self.orders: dict[int, tuple[float, dict[str, str]]] = {}
        self._http = httpx2.Client(timeout=20, trust_env=False)
        self.start()

    def start(self) -> None:
        """Start it, or start it again after it was killed."""
        command = ("spokekit", "class", "--name", "Bench", "--port", str(self.port))
        self._program = Program(*command, env={"SPOKEKIT_HOME": str(self._home)})
        self.told = self._program.said()
        self._http.get(self.told["trainer_url"])
        self._measured = psutil.Process(self._program.pid)
        self._since, self._cpu = time.monotonic(), self._used()

    def _used(self) -> float:
        used = self._measured.cpu_times()
        return float(used.user + used.system)

    def measure(self) -> None:
        """Note what it costs until now."""
        self.memory = max(self.memory, self._measured.memory_info().rss / 1e6)

    def close(self) -> None:
        """Note what it has cost since it was started."""
        self.measure()
        self.cpu += self._used() - self._cpu
        self.wall += time.monotonic() - self._since

    def kill(self) -> None:
        """Kill it as a power cut does."""
        self.close()
        self._program.ends(signal.SIGKILL)

    def stop(self) -> None:
        """End it."""
        self._program.ends(signal.SIGTERM)

    def order(self, form: dict[str, str], to: int | None = None) -> int:
        """Order something by the trainer's form and return its number."""
        lesson = {"lesson": random.choice(LESSONS)} if form["do"] == "advance" else {}
        at = time.time()
        answer = self._http.post(f"{self.told['url']}order", data={**form, **lesson, "to": str(to or "")})
        found = re.search(r"given=(\d+)", answer.headers.get("location", ""))
        assert found is not None, (answer.status_code, form, re.findall(r'role="alert"[^>]*>([^<]*)', answer.text))
        self.orders[int(found[1])] = at, form
        return int(found[1])

    def sent(self, key: str) -> dict[str, Any]:
        """Return what the board keeps of the learner with a key."""
        answer = self._http.get(f"{self.told['url']}api/sent", headers={"Authorization": f"Bearer {key}"})
        found: dict[str, Any] = answer.json()
        return found

    def wrong_doors(self, keys: dict[int, str]) -> list[str]:
        """Try every route with every other learner's key, and without one; return where somebody came in."""
        wrong = []
        (cookie,) = self._http.cookies.keys()
        with httpx2.Client(timeout=20, trust_env=False) as http:

            def status(method: str, path: str, **more: Any) -> int:
                http.cookies.clear()
                return http.request(method, f"{self.told['url']}{path}", **more).status_code

            for number, key in keys.items():
                bearer, as_trainer = {"Authorization": f"Bearer {key}"}, {"Cookie": f"{cookie}={key}"}
                mine = http.get(f"{self.told['url']}api/sent", headers=bearer).json()
                wrong += [f"key {number} reads {mine['learner']}"] if mine["learner"] != number else []
                for other in keys:
                    for path in PAGES if other == number else (f"learner?id={other}", f"api/sent?learner={other}"):
                        for headers in (bearer, as_trainer):
                            got = status("GET", path.format(number=number), headers=headers)
                            own = path.startswith("api/") and headers is bearer
                            if got not in ((200,) if own else (401, 403)):
                                wrong.append(f"{path} with the key of {number}: {got}")
                got = status("POST", "order", headers=as_trainer, data={"do": "clear", "to": ""})
                wrong += [f"order with the key of {number}: {got}"] if got != 403 else []
            for method, path in (("GET", "api/orders"), ("GET", "api/sent"), ("POST", "api/report")):
                got = status(method, path)
                wrong += [f"{path} without a key: {got}"] if got != 401 else []
        return wrong


def teach(board: Board, groups: list[tuple[Program, list[int]]], options: argparse.Namespace) -> dict[str, float]:
    """Let the class go on for so many seconds, with orders, a killed board and cut networks."""
    chance = random.Random(options.seed)
    everyone = sorted(number for _, numbers in groups for number in numbers)
    cut = everyone[: options.cut]
    began, moment = time.monotonic(), 0.0
    cut_from, cut_to = options.seconds * 0.3, options.seconds * 0.3 + min(60, options.seconds * 0.4)
    is_cut, killed = False, 0.0
    while (moment := time.monotonic() - began) < options.seconds:
        if cut and is_cut != (cut_from < moment < cut_to):
            is_cut = not is_cut
            for program, _ in groups:
                program.hears({"do": "cut", "learners": cut, "cut": is_cut})
        if options.kill_board and not killed and moment > options.seconds / 2:
            killed = time.time()
            board.kill()
            board.start()
        board.order(chance.choice(ORDERS), to=chance.choice(everyone) if chance.random() < 0.3 else None)
        board.measure()
        time.sleep(max(0.3, min(5.0, options.seconds / 20)) * chance.uniform(0.5, 1.5))
        assert not any(program.is_over() for program, _ in groups), "a process of learners has ended"
    for program, numbers in groups:
        program.hears({"do": "cut", "learners": numbers, "cut": False})
        program.hears({"do": "rest"})
    for program, _ in groups:
        assert program.said(300) == {"rest": True}
    return {"killed": killed, "cut_from": cut_from, "cut_to": cut_to}


def told_by(groups: list[tuple[Program, list[int]]]) -> dict[str, Any]:
    """Return what all learners know."""
    for program, _ in groups:
        program.hears({"do": "tell"})
    parts = [program.said() for program, _ in groups]
    found: dict[str, Any] = {
        name: sum((part[name] for part in parts), [] if name in ("errors", "said") else 0)
        for name in ("lessons", "turns", "mended", "errors", "said")
    }
    return found | {"own": {int(number): own for part in parts for number, own in part["own"].items()}}


def differences(board: Board, own: dict[int, Any]) -> list[str]:
    """Hold what each learner noted against the board; waits until all of it has come."""
    until = time.monotonic() + 60
    while True:
        wrong = []
        for number, one in own.items():
            sent = board.sent(one["key"])
            events = [
                [e[name] for name in ("seq", "lesson", "attempt", "event", "outcome", "turn")] for e in sent["events"]
            ]
            last = {e[1]: [e[4], e[5]] for e in events if e[3] == "checked"}
            if last != one["outcomes"]:
                wrong.append(f"learner {number}: the last outcomes are others")
            if events != one["events"]:
                wrong.append(f"learner {number}: {len(one['events'])} events, and {len(events)} on the board")
        if not wrong or time.monotonic() > until:
            return wrong
        time.sleep(0.3)


def delays(board: Board, own: dict[int, Any], cut: list[int]) -> list[float]:
    """Return the seconds from an order to its effect on a learner's site; time travel waits on purpose."""
    found = []
    for number, one in own.items():
        for done in board.sent(one["key"])["done"] if number not in cut else ():
            at, form = board.orders.get(done["n"], (0.0, {"do": ""}))
            if form["do"] in ("fault", "clear") and done["outcome"] == "done":
                found.append(done["at"] - at)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="A class with its board.")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--learners", type=int, default=30)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--kill-board", action="store_true")
    parser.add_argument("--cut", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), options)


def run(folder: Path, options: argparse.Namespace) -> int:
    """Run the class, print what was found, and return the exit code."""
    board = Board(folder / "board")
    shares = [len(range(number, options.learners, options.processes)) for number in range(options.processes)]
    started = [
        Program(
            *("tests.bench._learners", str(folder / str(number)), str(board.port), board.told["code"]),
            *(str(share), f"{options.seed}-{number}"),
        )
        for number, share in enumerate(shares)
        if share
    ]
    groups = [(program, program.said(300)["learners"]) for program in started]
    teach(board, groups, options)
    # With everybody at rest: only the addressed site gets the fault.
    everyone = sorted(number for _, numbers in groups for number in numbers)
    board.order({"do": "clear"})
    alone = board.order({"do": "fault", "fault": "html-502", "times": "10"}, to=everyone[-1])
    own = told_by(groups)["own"]
    until = time.monotonic() + 40
    while not any(done["n"] == alone for done in board.sent(own[everyone[-1]]["key"])["done"]):
        assert time.monotonic() < until, "the last order did not come"
        time.sleep(0.1)
    found = told_by(groups)
    own = found["own"]
    hit = sorted(number for number, one in own.items() if any(f[0] == "html-502" for f in one["faults"]))
    strange = sum(len(one["strange"]) for one in own.values())
    wrong = differences(board, own)
    waited = delays(board, own, everyone[: options.cut])
    board.close()
    doors = board.wrong_doors({number: one["key"] for number, one in own.items()})
    p95 = quantiles(waited, n=20)[-1] if len(waited) > 1 else 99.0
    share = 100 * board.cpu / board.wall
    errors, lessons = found["errors"], found["lessons"]
    # A start costs more than a minute of a class: in a short run speed says nothing.
    short, p50 = options.seconds < 60, median(waited or [99])
    checks = {
        f"{len(own)} learners, {lessons} lessons, {found['turns']} wrong turns; errors not injected: {len(errors)}": (
            not errors and lessons > 0
        ),
        f"events and last outcomes on the board as the learner's own: {len(own) - len(wrong)} of {len(own)}": not wrong,
        f"order to effect: p50 {p50:.2f} s, p95 {p95:.2f} s ({len(waited)} effects)": short or p95 < 1,
        f"the board: {share:.1f} % of a core, {board.memory:.0f} MB": short or (share < 5 and board.memory < 80),
        f"routes that opened with somebody else's key: {len(doors)}": not doors,
        f"sites with the fault that was for one: {len(hit)}; requests for a foreign site: {strange}": (
            hit == everyone[-1:] and not strange
        ),
    }
    for words, holds in checks.items():
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {words}")
    for line in (*errors[:10], *wrong[:10], *doors[:10]):
        print(f"  {line}")
    print(f"said of faults that were injected: {len(found['said'])}; solved anew after one: {found['mended']}")
    for program, _ in groups:
        program.hears({"do": "end"})
        program.said()
    board.stop()
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
