"""Some learners of a class in one process, for `tests.bench.class_of_30`: each with a practice site and a reporter.

A lesson is done with spokekit's real client. Attempts use the process's environment, so that the learners of one
process take turns; their sites and reporters run all the time. The address of the board is one of our own that passes
everything on, and can be cut. Commands come as lines of JSON on standard input, and answers go out as lines of JSON.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from spokekit.errors import SpokekitError
from spokekit.practice import PracticeSite
from spokekit.training.attempts import Attempts
from spokekit.training.course import lesson
from spokekit.training.desk import Desk
from spokekit.training.doer import Doer
from spokekit.training.joining import join_class
from spokekit.training.my_class import read_class
from spokekit.training.progress import by_lesson
from spokekit.training.reporter import Reporter
from spokekit.training.testing import free_ports

LESSONS = ("first-connection", "the-right-groups", "leavers-with-access", "licence-is-full", "killed-in-the-middle")


class Way:
    """Passes connections on to the board, unless it is cut."""

    def __init__(self, port: int) -> None:
        self.board_port = port
        self.cut = False
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            one, _ = self._listener.accept()
            try:
                if self.cut:
                    raise OSError
                other = socket.create_connection(("127.0.0.1", self.board_port), 5)
            except OSError:
                one.close()
                continue
            self._open = [s for s in self._open if s.fileno() >= 0] + [one, other]
            for here, there in ((one, other), (other, one)):
                here.settimeout(None)
                threading.Thread(target=_pass_on, args=(here, there), daemon=True).start()

    def set(self, cut: bool) -> None:
        """Cut it, or mend it."""
        self.cut = cut
        for one in self._open if cut else ():
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _pass_on(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):
        while part := here.recv(65_536):
            there.sendall(part)
    for one in (here, there):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
    here.close()


class Learner:
    """One learner: a home, a practice site, a reporter, and lessons that are done."""

    def __init__(self, home: Path, port: int, code: str, chance: random.Random) -> None:
        self.home, self._chance = home, chance
        self.way = Way(port)
        self.site = PracticeSite(redirect_uris=[f"http://localhost:{free_ports()}/callback"]).start()
        joined = join_class(home, f"http://127.0.0.1:{self.way.port}", code)
        self.number = joined.learner
        self.reporter = Reporter(home, self.site.describe())
        assert self.reporter.start()
        self.attempts = Attempts(Desk(self.site.describe()), home)
        self.done: set[str] = set()

    def do_a_lesson(self) -> dict[str, Any]:
        """Begin one, perhaps take a wrong turn and ask for a hint, reach the goal, check."""
        name = self._chance.choice([n for n in LESSONS if n not in self.done] or LESSONS)
        self.done.add(name)
        told: dict[str, Any] = {"lesson": name, "turns": 0, "mended": 0, "errors": []}
        wrong = [turn for turn in lesson(name).turns if not turn.remark]
        if self._chance.random() < 0.6:
            told["turns"] = 1
            turn = self._chance.choice(wrong)
            attempt = self._try(told, "begin", lambda: self.attempts.begin(lesson(name)))
            if attempt is not None:
                self._try(told, turn.name, lambda: turn.make(Doer(attempt)))
                attempt.check()
                attempt.hint()
        # What the trainer does to a site may be in the way: then a learner starts over.
        for again in range(6):
            attempt = self._try(told, "begin", lambda: self.attempts.begin(lesson(name), again=told["turns"] > 0))
            if attempt is None:
                continue
            self._try(told, "solve", partial(attempt.lesson.solve, Doer(attempt)))
            verdict = attempt.check()
            if verdict.right:
                break
            told["mended"] = again + 1
        else:
            told["errors"].append(f"not right after six attempts: {verdict.outcome} {verdict.turn} {verdict.words}")
        return told

    def _try(self, told: dict[str, Any], what: str, do: Any) -> Any:
        """Do something; what spokekit says of a fault is no error, anything else is one."""
        try:
            return do()
        except SpokekitError as error:
            told.setdefault("said", []).append(f"{what}: {error.message}"[:200])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            told["errors"].append(f"{what}: {type(error).__name__}: {error}"[:300])
        return None

    def own(self) -> dict[str, Any]:
        """Return what this learner's own computer knows."""
        rows = by_lesson(self.attempts.events, (lesson(name) for name in LESSONS))
        joined = read_class(self.home)
        assert joined is not None
        return {
            "outcomes": {row["lesson"]: [row["outcome"], row["turn"]] for row in rows if row["checks"]},
            "events": [(e.seq, e.lesson, e.attempt, e.event, e.outcome, e.turn) for e in self.attempts.events.all()],
            "key": joined.key.reveal(),
            "faults": [[f.name, f.on, f.struck] for f in self.site.faults.active],
            "strange": [r.path for r in self.site.requests if "/ex/confluence/" in r.path and self._is_strange(r.path)],
            "begun": self.site.begun,
        }

    def _is_strange(self, path: str) -> bool:
        return not any(f"/ex/confluence/{cloud_id}/" in path for cloud_id in self.site.worlds)


def _hear(commands: list[dict[str, Any]]) -> None:
    for line in sys.stdin:
        commands.append(json.loads(line))
    # Whoever has started this has ended.
    os._exit(1)


def main() -> None:
    home, port, code, count, seed = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5]
    chance = random.Random(seed)
    learners = [Learner(home / str(number), port, code, chance) for number in range(count)]
    commands: list[dict[str, Any]] = []
    threading.Thread(target=_hear, args=(commands,), daemon=True).start()
    say({"learners": [one.number for one in learners]})
    going, errors, lessons, turns, mended, said = True, [], 0, 0, 0, []
    while True:
        while commands:
            told = commands.pop(0)
            if told["do"] == "cut":
                for one in learners:
                    if one.number in told["learners"]:
                        one.way.set(told["cut"])
            elif told["do"] == "port":
                for one in learners:
                    one.way.board_port = told["port"]
            elif told["do"] == "rest":
                going = False
                say({"rest": True})
            elif told["do"] == "tell":
                found = {one.number: one.own() for one in learners}
                figures = {"lessons": lessons, "turns": turns, "mended": mended, "errors": errors, "said": said}
                say({"own": found, **figures})
            elif told["do"] == "end":
                for one in learners:
                    one.reporter.stop()
                    one.site.stop()
                say({"end": True})
                os._exit(0)
        if not going:
            time.sleep(0.05)
            continue
        one = chance.choice(learners)
        # A lesson happens in the environment of its home.
        os.environ["SPOKEKIT_HOME"] = str(one.home)
        os.environ.pop("SPOKEKIT_VAULT", None)
        what = one.do_a_lesson()
        lessons, turns, mended = lessons + 1, turns + what["turns"], mended + what["mended"]
        errors += [f"{what['lesson']}: {error}" for error in what["errors"]]
        said += what.get("said", [])


def say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
