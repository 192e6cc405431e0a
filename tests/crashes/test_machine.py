"""Random steps in random order, each ended or not at a random write: what was acknowledged is there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from spokekit.practice import PracticeSite
from tests.crashes.disk import CONNECTION, OURS, Disk, How, Person

MORE_GROUPS = ("legal-counsel", "procurement")
troubles = st.one_of(
    st.none(),
    st.tuples(st.integers(1, 60), st.sampled_from(list(How))),
    st.tuples(st.integers(1, 400), st.just(How.KILL)),
)


class Machine(RuleBasedStateMachine):
    """One person, one home, one site; every rule may meet a disk in trouble."""

    disk: Disk

    @initialize(number=st.integers(0, 3))
    def begin(self, number: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.site = PracticeSite(size="class", seed=number)
        self.site.start()
        self.person = Person.connected(self.disk, self.site, Path(self.folder.name).resolve() / "home")
        frames = self.site.world.frames(tables=["users"])["users"]
        plain = frames[(frames["account_type"] == "atlassian") & (frames["account_status"] == "active")]
        self.accounts = [one for one in plain["account_id"] if one != self.site.account_id][:8]
        self.before = self.members()
        self.seen: dict[str, Any] = {"applies": {}}

    def members(self) -> set[tuple[str, str]]:
        groups = [self.site.world.find_group(name).group_id for name in (*OURS, *MORE_GROUPS)]
        return {(group, account) for group in groups for account in self.site.world.member_ids(group)}

    def does(self, step: str, trouble: tuple[int, How] | None, **what: Any) -> dict[str, Any]:
        at, how = trouble or (0, 0)
        said = self.person.does(step, at=at, how=how, **what)
        if trouble is None:
            assert "refused" not in said, f"{step} was refused on a disk that works: {said['refused']}"
        return said

    @rule(trouble=troubles, number=st.integers(0, 9))
    def type_a_secret(self, trouble: Any, number: int) -> None:
        second = "Second" in self.person.secrets
        self.does("secret", trouble, name="Second" if second else CONNECTION, value=self.secret(number))
        if not second:
            self.does("secret", None, name=CONNECTION, value=self.site.client_secret)

    def secret(self, number: int) -> str:
        return f"typed-secret-{number}-{self.site.client_secret}"

    @rule(trouble=troubles)
    def save_a_second_connection(self, trouble: Any) -> None:
        draft = {"name": "Second", "url": self.site.url, "auth_url": self.site.auth_url, "client_id": "SecondId"}
        if "Second" not in self.person.secrets:
            self.does("save", trouble, draft={**draft, "redirect_uri": self.site.redirect_uris[0]})

    @rule(trouble=troubles)
    def refresh(self, trouble: Any) -> None:
        self.does("refresh", trouble)

    @rule(trouble=troubles)
    def rotate_the_key(self, trouble: Any) -> None:
        self.does("rotate", trouble)

    @rule(trouble=troubles, name=st.sampled_from(MORE_GROUPS), on=st.booleans())
    def register(self, trouble: Any, name: str, on: bool) -> None:
        group = self.site.world.find_group(name).group_id
        if on or group in self.person.registered:
            self.does("register" if on else "unregister", trouble, groups=[group])

    @rule(
        trouble=troubles,
        pairs=st.lists(st.tuples(st.sampled_from(OURS), st.integers(0, 7)), min_size=1, max_size=3, unique=True),
        mode=st.sampled_from(["add", "remove"]),
    )
    def apply(self, trouble: Any, pairs: list[tuple[str, int]], mode: str) -> None:
        wanted = [[self.site.world.find_group(name).group_id, self.accounts[one]] for name, one in pairs]
        self.does("apply", trouble, pairs=wanted, mode=mode)

    @precondition(lambda self: any(not one["finished"] for one in self.seen["applies"].values()))
    @rule(trouble=troubles)
    def resume(self, trouble: Any) -> None:
        self.does("resume", trouble)

    @invariant()
    def everything_acknowledged_is_there(self) -> None:
        if hasattr(self, "person"):
            self.seen = self.person.looks()
            noted = {(r[0], r[1]) for one in self.seen["applies"].values() for r in one["rows"]}
            assert self.members() ^ self.before <= noted, "a change on the site that no journal knows"

    def teardown(self) -> None:
        if not hasattr(self, "person"):
            return
        try:
            self.does("resume", None)
            seen = self.person.looks()
            assert all(one["finished"] for one in seen["applies"].values())
            self.person.token_lives()
            TOLD.update(
                tries=TOLD.get("tries", 0) + self.person.tries,
                kills=TOLD.get("kills", 0) + self.person.kills,
                refusals=TOLD.get("refusals", 0) + self.person.refusals,
            )
        finally:
            self.site.stop()
            self.folder.cleanup()


TOLD: dict[str, int] = {}


def run(disk: Disk, examples: int, *, fresh: bool = False) -> dict[str, int]:
    """Run the machine; returns how many steps, kills and refusals there were."""
    TOLD.clear()
    machine = type("Machine", (Machine,), {"disk": disk})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=8,
            derandomize=not fresh,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return dict(TOLD)


@pytest.mark.filterwarnings("default::hypothesis.errors.HypothesisWarning")
def test_random_steps_on_a_disk_in_trouble(disk: Disk) -> None:
    examples = int(os.environ.get("SPOKEKIT_EXAMPLES", "4"))
    # Each Python draws others, and a few may meet no trouble of one kind.
    for more in (1, 2, 4):
        told = run(disk, more * examples)
        if told["kills"] and told["refusals"]:
            break
    assert told["kills"] and told["refusals"], "there was trouble"
