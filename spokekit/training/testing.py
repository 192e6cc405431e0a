"""Run lessons without a person: what ``spokekit lessons test`` does, and a trainer's own tests.

Each run has a practice site and a home of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from spokekit._home import locked
from spokekit._http import clean
from spokekit.connections.store import let_go
from spokekit.training.attempts import Attempt, Attempts, environment_kept
from spokekit.training.desk import Desk
from spokekit.training.doer import Doer
from spokekit.training.lesson import Lesson, Tool, Turn, Verdict, parts

if TYPE_CHECKING:
    from spokekit.training.seen import Seen

SECONDS = 20.0
"""How much of a processor's time one run may take; what a busy machine adds does not count."""
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w+")
_ACCOUNT = re.compile(r"\b[0-9a-z]+:[0-9a-f]{8}-[0-9a-f-]{20,}|\b[0-9a-f]{24}\b")
_SECRET = re.compile(r"practice-secret|\beyJ[\w-]{10}")


@dataclass(frozen=True)
class Failure:
    """What is wrong with a lesson: its name, the state in which it showed (``untouched``, a turn …), and the words."""

    lesson: str
    state: str
    words: str


def three_states(lesson: Lesson, *, seeds: Iterable[int] = (1, 2)) -> list[Failure]:
    """Run a lesson untouched, through each turn, and solved; return what is wrong with it, nothing when all is well.

    For a trainer's own tests::

        def test_my_lesson():
            assert three_states(MyLesson()) == []
    """
    first, *others = seeds
    try:
        found = list(_hygiene(lesson))
    except Exception as fault:  # noqa: BLE001 - whatever a lesson has in place of what it should have
        return [Failure(lesson.name, "as written", f"{type(fault).__name__}: {clean(fault, 400)}")]
    for state in _states(lesson):
        found += _run(lesson, state, first)
    for seed in others:
        found += _run(lesson, "solved", seed)
    return found


def run_all(lessons: Sequence[Lesson], folder: Path | None = None) -> Iterator[tuple[str, list[Failure]]]:
    """Run lessons, two at a time, and yield each one's name with what is wrong; `folder` is where they come from."""
    if len(lessons) < 3:
        for lesson in lessons:
            yield lesson.name, three_states(lesson)
        return
    # A home is chosen by the environment of a process, so two runs at a time are two processes.
    processes = min(2, os.cpu_count() or 1)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        # The longest first, so that none of them is left to run alone at the end.
        longest = sorted(lessons, key=lambda lesson: -len(_states(lesson)))
        runs = {lesson.name: pool.submit(_by_name, lesson.name, folder) for lesson in longest}
        for lesson in lessons:
            try:
                yield lesson.name, runs[lesson.name].result()
            except BrokenExecutor:
                words = "The process in which the lessons ran ended; this lesson or one beside it ended it."
                yield lesson.name, [Failure(lesson.name, "as a whole", words)]


def _end_with_parent() -> None:
    """Let this process end when the one that started it does, also when that one is killed."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _by_name(name: str, folder: Path | None) -> list[Failure]:
    from spokekit.training.course import lessons, of_folder

    found = {one.name: one for one in of_folder(folder)} if folder is not None else lessons()
    return three_states(found[name])


def _states(lesson: Lesson) -> list[str]:
    return ["untouched", *(f"turn {turn.name}" for turn in lesson.turns), "solved"]


def _run(lesson: Lesson, state: str, seed: int) -> Iterator[Failure]:
    where = state if seed == 1 else f"{state}, seed {seed}"
    began = time.process_time()
    try:
        with own_site(seed) as (desk, root):
            for words in _judged(lesson, state, Attempts(desk, root), twice=seed == 1):
                yield Failure(lesson.name, where, words)
    except KeyboardInterrupt:
        raise
    # It may leave as well: sys.exit() is no reason to end in silence.
    except BaseException as fault:  # noqa: BLE001 - whatever a lesson raises is told with its name
        yield Failure(lesson.name, where, f"{type(fault).__name__}: {clean(fault, 400)}")
    if (took := time.process_time() - began) > SECONDS:
        yield Failure(lesson.name, where, f"It took {took:.0f} seconds; {SECONDS:.0f} is the most.")


def _judged(lesson: Lesson, state: str, attempts: Attempts, *, twice: bool) -> Iterator[str]:
    attempt = attempts.begin(lesson)
    if state == "untouched":
        yield from _expect(attempt.check(), "not attempted", "")
        yield from _texts(attempt)
    elif state == "solved":
        yield from _solved(lesson, attempt, attempts, twice=twice)
    else:
        turn = next(one for one in lesson.turns if f"turn {one.name}" == state)
        turn.make(Doer(attempt))
        verdict = attempt.check()
        yield from _expect(verdict, "right with a remark" if turn.remark else "not yet", turn.name)
        yield from _truthful(turn, attempt.seen(), verdict)


def _solved(lesson: Lesson, attempt: Attempt, attempts: Attempts, *, twice: bool) -> Iterator[str]:
    do = Doer(attempt)
    lesson.solve(do)
    verdict = attempt.check()
    yield from _expect(verdict, "right", "")
    yield from _clean(verdict.words)
    yield from _expect(attempt.check(), "right", "", " when checked twice")
    if not twice:
        return
    before = _tree(attempt.home)
    again = attempts.begin(lesson, again=True)
    yield from _expect(again.check(), "not attempted", "", " after a reset")
    yield from _expect(attempt.check(), "cannot check", "", " for the attempt before a reset")
    if again.home == attempt.home or not before <= _tree(attempt.home):
        yield "The reset did not leave the home of the attempt before it as it was."
    lesson.solve(Doer(again))
    yield from _expect(again.check(), "right", "", " when solved again")


def _expect(verdict: Verdict, outcome: str, turn: str, when: str = "") -> Iterator[str]:
    if (verdict.outcome, verdict.turn) != (outcome, turn):
        wanted = f"{outcome} ({turn})" if turn else outcome
        got = f"{verdict.outcome} ({verdict.turn})" if verdict.turn else verdict.outcome
        yield f"It should be {wanted}{when}, and is {got}: {verdict.words}"


def _truthful(turn: Turn, seen: Seen, verdict: Verdict) -> Iterator[str]:
    """Hold a turn's sentence against the state: it names what this learner did, and nothing that is not there."""
    yield from _clean(verdict.words)
    names = turn.names(seen)
    if not names:
        yield "The sentence names nothing that this learner did."
    known = vocabulary(seen)
    for field, value in names.items():
        told = parts(value)
        if not told:
            yield f"The field {field} names nothing."
        for part in told:
            if part not in verdict.words:
                yield f"The sentence does not say {part!r}, which the learner did."
            if not part.isdigit() and part not in known:
                yield f"The sentence says {part!r}, which is nowhere in the state."


def vocabulary(seen: Seen) -> frozenset[str]:
    """Return every name that the state knows: groups, people, scopes, addresses, apps, sites, connections, answers."""
    words: set[str] = set()
    for site in (seen.site, seen.before):
        words |= set(site.groups) | {person.name for person in site.people.values()} | {name for _, name in site.sites}
        for app in site.apps:
            words |= {app.name, *app.scopes, *app.redirect_uris}
    for connection in seen.connections:
        words |= {connection.name, connection.redirect_uri, *connection.scopes}
    words |= {seen.marks.name, seen.marks.redirect_uri, *seen.marks.scopes, *seen.answer}
    if len(seen.findings):
        words |= set(seen.findings["about"]) | set(seen.findings["reason"].dropna())
    for instance in filter(None, (seen.site.instance, seen.before.instance)):
        for rows in instance.records.values():
            words |= {value for row in rows.values() for value in row.values()}
    if seen.snapshot is not None:
        words |= {str(one) for one in _names_in(seen.snapshot.completeness)}
    return frozenset(words - {""})


def _names_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _names_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _names_in(one)
    elif isinstance(value, str):
        yield value


def _texts(attempt: Attempt) -> Iterator[str]:
    lesson, seen = attempt.lesson, attempt.seen()
    texts = (lesson.goal, lesson.first, lesson.story, lesson.shown, lesson.at_work, *lesson.hints, *lesson.steps)
    for text in texts:
        yield from _clean(lesson.text(text, seen))


def _clean(words: str) -> Iterator[str]:
    for what, pattern in (("a secret", _SECRET), ("an account id", _ACCOUNT), ("a mail address", _ADDRESS)):
        if pattern.search(words):
            yield f"A sentence holds {what}: {clean(words)}"


def _hygiene(lesson: Lesson) -> Iterator[Failure]:
    """Look at what a lesson has to have, without running it."""

    def wrong(words: str, state: str = "as written") -> Failure:
        return Failure(lesson.name or type(lesson).__name__, state, words)

    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", lesson.name):
        yield wrong(f"The name is in small letters with hyphens, not {lesson.name!r}.")
    for what in ("goal", "first", "shown", "at_work", "story"):
        if not getattr(lesson, what):
            yield wrong(f"It has no {what}.")
    if not 2 <= len(lesson.hints) <= 3:
        yield wrong(f"It has {len(lesson.hints)} hints; two or three help.")
    if len(lesson.turns) < 2:
        yield wrong("It has fewer than two wrong turns.")
    if not lesson.steps or not 1 <= lesson.minutes <= 30:
        yield wrong("It needs the steps of its solution, and takes 1 to 30 minutes.")
    for tool in set(lesson.tools) - set(get_args(Tool)):
        yield wrong(f"It names the tool {tool!r}; there are {', '.join(get_args(Tool))}.")
    told: dict[frozenset[str], str] = {}
    for turn in lesson.turns:
        where = f"turn {turn.name}"
        if not turn.fields:
            yield wrong("The sentence has no {field}: it names nothing of the state.", where)
        elif (other := told.setdefault(turn.fields, turn.name)) != turn.name:
            words = f"Its sentence has the same fields as that of {other}: two swapped sentences would not be noticed."
            yield wrong(words, where)


@contextmanager
def own_site(seed: int = 1) -> Iterator[tuple[Desk, Path]]:
    """Serve a practice site, and open a home, for one run; what the process had before is put back."""
    from spokekit.practice import PracticeSite

    with environment_kept(), _quick_folder() as folder:
        site = PracticeSite(seed=seed, redirect_uris=[f"http://localhost:{free_ports()}/callback"]).start()
        desk = Desk(site.describe())
        try:
            yield desk, folder
        finally:
            desk.close()
            site.stop()
            for path in folder.rglob("spokekit.sqlite"):
                let_go(path)


@contextmanager
def _quick_folder() -> Iterator[Path]:
    """Make a folder for one run, and take away those of runs that were killed.

    It is in memory where the system has that: a run commits hundreds of times, and is thrown away.
    """
    memory = "/dev/shm"  # noqa: S108 - the folder made in it has a random name and is this user's alone
    within = memory if os.access(memory, os.W_OK) else None
    _sweep(Path(within or tempfile.gettempdir()))
    mine = f"{_PREFIX}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=mine, dir=within) as folder, (Path(folder) / _LOCK).open("w") as lock:
        locked(lock.fileno())
        (Path(folder) / "home").mkdir(mode=0o700)
        yield Path(folder) / "home"


_PREFIX = "spokekit-lesson-"
_LOCK = "lock"
_SETTLED = 60.0


def _sweep(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*/{_LOCK}"):
        # Somebody else's, or just gone.
        with suppress(OSError):
            if time.time() - path.stat().st_mtime < _SETTLED:
                continue
            with path.open("r+") as lock:
                # A run holds it as long as it lives.
                dead = locked(lock.fileno())
            if dead:
                shutil.rmtree(path.parent, ignore_errors=True)


def _tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.name.endswith(("-wal", "-shm"))}


def free_ports() -> int:
    """Return a port that is free together with the next one: a lesson registers a callback URL one beside."""
    while True:
        with socket.socket() as one, socket.socket() as next_:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                next_.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
