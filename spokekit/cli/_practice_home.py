"""A practice site beside a command, with a home of its own in which yesterday's work still fits."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from spokekit._home import home, locked, nothing_kept, private_folder, write_private
from spokekit._workspace import workspace
from spokekit.cli._output import say
from spokekit.cli._practice_child import practice_child
from spokekit.errors import Conflict, SpokekitError
from spokekit.oauth.practice import put_right

PRACTICE_PORT = 8750
PRACTICE_VARIABLE = "SPOKEKIT_PRACTICE"
QUOTA_WINDOW = 300
"""Seconds until spent points come back where somebody practises: nobody in a class waits for the full hour."""
_MOST_HOMES = 50


@contextlib.contextmanager
def practice_surroundings(*, more_homes: bool = False, **options: Any) -> Iterator[dict[str, Any]]:
    """Start the practice site and point this process, and so what it starts, at it and at a home of its own.

    The site keeps its port, its apps, its people and what was done on it from one day to the next, so that yesterday's
    connection still fits; what does not (the port if another program has it by now, a token that the site never gave)
    is put right and said. The client secret goes on in the environment, and is written down nowhere but sealed in the
    connection.

    Parameters
    ----------
    more_homes:
        Where another practice site runs on this home: take the next free one instead of refusing.
    options:
        Those of `PracticeSite`. Without ``port``, the port of the day before.

    Raises
    ------
    Conflict
        Another practice site runs on this home.
    """
    if nothing_kept(os.environ):
        with _started({"salt": secrets.token_hex(16), **options}, options.get("port", 0), None) as site:
            os.environ[PRACTICE_VARIABLE] = json.dumps(site)
            yield site
        return
    with _own_folder(more_homes) as (folder, lock):
        os.environ["SPOKEKIT_HOME"] = str(folder)
        # A team's database is for the team's own site.
        os.environ.pop("SPOKEKIT_STORE_URL", None)
        before = _remembered(folder)
        usual = {"size": "class", "seed": 1, "sites": 1}
        world = "-".join(str(options.get(name, value)) for name, value in usual.items())
        given = {"client_id": before.get("client_id", "")} if "seed" not in options else {}
        given |= {"salt": practice_salt(folder), "kept": str(folder / f"site-{world}.json")}
        given |= {"quota_window": QUOTA_WINDOW, **options}
        given |= {"home": folder}
        with _started(given, options.get("port") or before.get("port", PRACTICE_PORT), lock) as site:
            os.environ[PRACTICE_VARIABLE] = json.dumps(site)
            if site.get("words"):
                say(site["words"])
            if before:
                _put_right(folder, before, site)
            # Last: whoever is killed before knows tomorrow where the connections still lead.
            known = {"port": _port(site), "url": site["url"], "client_id": site["client_id"]}
            write_private(folder / "site.json", json.dumps(known).encode())
            yield site


def practice_salt(folder: Path | None = None) -> str:
    """Return what only this home's practice sites make their client secrets from; made on the first day.

    Without `folder`: the practice records of this home.
    """
    # Where secrets are kept in memory, those of the practice site are of this run alone.
    if os.environ.get("SPOKEKIT_VAULT", "").strip().lower() == "memory" or nothing_kept(os.environ):
        return secrets.token_hex(16)
    folder = folder or home() / "practice"
    path = folder / "salt"
    with contextlib.suppress(OSError, ValueError):
        found = path.read_text(encoding="ascii").strip()
        if found:
            return found
    made = secrets.token_hex(16)
    # Where nothing can be written the secrets are of this run alone.
    with contextlib.suppress(OSError, SpokekitError):
        private_folder(folder)
        write_private(path, made.encode())
    return made


@contextlib.contextmanager
def _started(options: dict[str, Any], port: int, lock: IO[str] | None) -> Iterator[dict[str, Any]]:
    options = {name: value for name, value in options.items() if name != "port"}
    with contextlib.ExitStack() as stack:
        try:
            site = stack.enter_context(practice_child(lock, **options, port=port))
        except SpokekitError as problem:
            if f"port {port}" not in str(problem.likely or ""):
                raise
            say(f"Port {port} is taken, so the practice site uses another one this time.")
            site = stack.enter_context(practice_child(lock, **options, port=0))
        yield site


def _port(site: dict[str, Any]) -> int:
    return int(str(site["url"]).rstrip("/").rpartition(":")[2])


def _remembered(folder: Path) -> dict[str, Any]:
    # Without a readable record the site starts on its usual port, as on the first day.
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((folder / "site.json").read_text(encoding="utf-8"))
        if isinstance(found, dict) and isinstance(found.get("port"), int):
            return found
    return {}


def _put_right(folder: Path, before: dict[str, Any], site: dict[str, Any]) -> None:
    """Make the connections of an earlier day fit today's site, those of the lessons too."""
    work = workspace()
    unknown = put_right(work.connections, work.tokens, site, before.get("url"))
    if unknown:
        names = ", ".join(f"“{name}”" for name in unknown)
        say(f"The practice site does not know yesterday's token: get a token again (notebook 03) for {names}.")
    if (folder / "lessons").is_dir():
        from spokekit.training.next_day import put_attempts_right

        for sentence in put_attempts_right(folder, site, before.get("url")):
            say(sentence)


@contextlib.contextmanager
def _own_folder(more_homes: bool) -> Iterator[tuple[Path, IO[str] | None]]:
    """Give a practice home that no other practice site uses, and the lock that holds it."""
    base = home()
    for number in range(1, _MOST_HOMES):
        folder = private_folder(base / ("practice" if number == 1 else f"practice-{number}"))
        with (folder / "lab.lock").open("w") as lock:
            if locked(lock.fileno()):
                if number > 1:
                    say(f"Another practice site runs on this home, so this one has records of its own: {folder}")
                yield folder, lock
                return
        if not more_homes:
            break
    raise Conflict(
        "Another `spokekit lab` with a practice site is running on this home.",
        hint="Use that one, stop it first, or choose another home with SPOKEKIT_HOME.",
    )
