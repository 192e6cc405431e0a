"""Each thing that a person does, ended at each of its writes: by a kill, a torn write, a full disk, a broken one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spokekit.practice import PracticeSite
from tests.crashes.disk import CONNECTION, Disk, How, Person


@pytest.fixture(scope="module")
def base(disk: Disk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    with PracticeSite(size="class", seed=1) as site:
        yield Person.connected(disk, site, tmp_path_factory.mktemp("base").resolve() / "home")


def another(base: Person, home: Path) -> Person:
    """Return the same person with a copy of the home, from which each try starts."""
    shutil.copytree(base.home, home)
    return replace(
        base,
        home=home,
        secrets={name: set(values) for name, values in base.secrets.items()},
        maybe=set(),
        registered=set(base.registered),
        maybe_registered=set(),
        typed=list(base.typed),
        tries=0,
        kills=0,
        refusals=0,
    )


def steps(base: Person) -> dict[str, dict[str, Any]]:
    site = base.site
    second = {"name": "Second", "url": site.url, "auth_url": site.auth_url, "client_id": "SecondClientId"}
    return {
        "save": {"draft": {**second, "redirect_uri": site.redirect_uris[0]}},
        "secret": {"name": CONNECTION, "value": site.client_secret + "-new"},
        "register": {"groups": [site.world.find_group("legal-counsel").group_id]},
        "unregister": {"groups": base.groups[:2]},
        "rotate": {},
        "refresh": {},
        "apply": {"pairs": [[group, base.stranger] for group in base.groups], "mode": "add"},
    }


STEPS = ("save", "secret", "register", "unregister", "rotate", "refresh", "apply")
# How many of a step's writes are tried, spread over all; 0 tries each (`python -m tests.bench.crashes`).
TRIES = int(os.environ.get("SPOKEKIT_TRIES", "3"))


def _as_before(base: Person, what: dict[str, Any]) -> None:
    for pair in what.get("pairs", ()):
        base.site.world.remove_member(*pair)


def end_at(base: Person, folder: Path, step: str, how: How, tries: int) -> Person:
    """Try one step from the same home again and again, each time in trouble at a later write."""
    what = steps(base)[step]
    people = another(base, folder / "whole")
    writes = people.does(step, **what)["writes"]
    assert writes > 3, "the step writes something"
    _as_before(base, what)
    happened = 0
    stride = max(1, writes // tries) if tries else 1
    for at in range(1 + (writes + how) % stride, writes + 1, stride):
        person = another(base, folder / str(at))
        if step == "refresh":
            # The consents of many tries may take longer than the ten minutes in which a used token is accepted.
            person.consents()
        said = person.does(step, at=at, how=how, **what)
        happened += bool(said["killed"] or "refused" in said)
        seen = person.looks()
        if step == "refresh":
            # The process has ended at once: what it had in hand is gone, and the token before it lives ten minutes.
            assert "refused" not in person.disk.step(person.home, "refresh")
        if step == "apply":
            begun = bool(seen["applies"])
            person.does("resume")
            seen = person.looks()
            assert all(one["finished"] for one in seen["applies"].values())
            there = {tuple(pair) for pair in what["pairs"] if pair[1] in base.site.world.member_ids(pair[0])}
            assert there == ({tuple(pair) for pair in what["pairs"]} if begun else set())
            _as_before(base, what)
        people.tries, people.kills, people.refusals = (
            people.tries + person.tries,
            people.kills + person.kills,
            people.refusals + person.refusals,
        )
        shutil.rmtree(person.home)
    assert happened or stride > 1, "at least one of the writes was one that matters"
    return people


@pytest.mark.parametrize("how", list(How), ids=lambda how: how.name.lower())
@pytest.mark.parametrize("step", STEPS)
def test_a_step_ended_at_its_writes(base: Person, tmp_path: Path, step: str, how: How) -> None:
    end_at(base, tmp_path.resolve(), step, how, TRIES)


def test_a_token_in_hand_on_a_full_disk_is_down_before_its_ten_minutes_are_over(base: Person, tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    writes = another(base, folder / "whole").does("refresh")["writes"]
    for at in sorted({1, writes // 2, writes}):
        person = another(base, folder / str(at))
        person.consents()
        person.does("refresh", at=at, how=How.FULL, stays=3)
        person.token_lives()
        person.looks()
