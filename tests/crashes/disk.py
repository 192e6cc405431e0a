"""A home on a disk that fails, and one person's steps on it, each in a process that may be killed at its n-th write."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spokekit.practice import PracticeSite

PROJECT = Path(__file__).parents[2]
OURS = ("marketing", "support-tier-2", "project-phoenix")
CONNECTION = "Confluence Cloud Spoke Connection"


class How(IntEnum):
    """What happens at the n-th write, sync, rename or removal under the home; the numbers are those of ``disk.c``."""

    KILL = 1
    TEAR = 2
    FULL = 3
    BROKEN = 4


def missing() -> str:
    """Say what this computer lacks for such a disk; empty when nothing is missing."""
    if sys.platform != "linux":
        return "the failing disk is made with LD_PRELOAD, which is Linux's"
    return "" if shutil.which("gcc") else "gcc is missing, which makes the failing disk"


class Disk:
    """The process that forks one child a step."""

    def __init__(self, folder: Path) -> None:
        library = folder / "disk.so"
        source = Path(__file__).with_name("disk.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
        environ = {**os.environ, "LD_PRELOAD": str(library), "SPOKEKIT_VAULT": "file"}
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "tests.crashes.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
            cwd=PROJECT,
        )

    def step(
        self, home: Path, step: str, /, *, at: int = 0, how: int = 0, stays: float = 0, **what: Any
    ) -> dict[str, Any]:
        """Do one step in the home; returns its answer, or how it was refused, what broke, or that it was killed."""
        assert self._worker.stdin is not None and self._worker.stdout is not None
        order = {"home": str(home), "step": step, "at": at, "how": int(how), "stays": stays, "what": what}
        self._worker.stdin.write(json.dumps(order) + "\n")
        self._worker.stdin.flush()
        said: dict[str, Any] = json.loads(self._worker.stdout.readline())
        if "fault" in said:
            raise AssertionError(f"{step} at write {at} ({How(how).name if how else 'no trouble'}): {said['fault']}")
        return said

    def close(self) -> None:
        assert self._worker.stdin is not None and self._worker.stdout is not None
        self._worker.stdin.close()
        self._worker.wait(10)
        self._worker.stdout.close()


@dataclass
class Person:
    """One home and its practice site, and what must or may be there: acknowledged, or interrupted."""

    disk: Disk
    site: PracticeSite
    home: Path
    tries: int = 0
    kills: int = 0
    refusals: int = 0
    secrets: dict[str, set[str | None]] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    registered: set[str] = field(default_factory=set)
    maybe_registered: set[str] = field(default_factory=set)
    entries: int = 0
    typed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        auth: Any = self.site.auth
        if hasattr(auth, "given_here"):
            return
        # The site keeps digests only, so what it gives is noted here.
        auth.given_here, pair = [], auth.tokens_of

        def noted(*family: Any) -> dict[str, Any]:
            answer: dict[str, Any] = pair(*family)
            auth.given_here += [answer[name] for name in ("access_token", "refresh_token") if name in answer]
            return answer

        auth.tokens_of = noted

    @classmethod
    def connected(cls, disk: Disk, site: PracticeSite, home: Path) -> Person:
        """Return a person whose default connection has token and site, with three registered groups."""
        self = cls(disk, site, home)
        site.switches.quota = 10**9
        draft = {"url": site.url, "auth_url": site.auth_url, "client_id": site.client_id}
        self.does("save", draft={**draft, "name": CONNECTION, "redirect_uri": site.redirect_uris[0]})
        self.does("secret", name=CONNECTION, value=site.client_secret)
        self.consents()
        self.does("register", groups=self.groups)
        return self

    def consents(self) -> None:
        """Consent, anew or for the first time."""
        where = self.site.sites[0]
        self.does(
            "consent",
            answer=self.site.issue_token(),
            site=[where.cloud_id, where.name, where.url],
            account=[self.site.account_id, "The administrator"],
        )

    @property
    def groups(self) -> list[str]:
        """The ids of the groups that are registered at the start."""
        return [self.site.world.find_group(name).group_id for name in OURS]

    @property
    def stranger(self) -> str:
        """Somebody active who is in none of the registered groups."""
        users = self.site.world.frames(tables=["users"])["users"]
        plain = users[(users["account_type"] == "atlassian") & (users["account_status"] == "active")]["account_id"]
        inside = {one for group in self.groups for one in self.site.world.member_ids(group)}
        return next(one for one in plain if one not in inside and one != self.site.account_id)

    def does(self, step: str, /, *, at: int = 0, how: int = 0, stays: float = 0, **what: Any) -> dict[str, Any]:
        """Do one step, in trouble if told, and note what must, and what may, be there from now on."""
        said = self.disk.step(self.home, step, at=at, how=how, stays=stays, **what)
        self.tries += 1
        self.kills += bool(said["killed"])
        self.refusals += "refused" in said
        sure = not said["killed"] and "refused" not in said
        if step == "save":
            name = what["draft"]["name"]
            (self.secrets.setdefault(name, {None}) if sure else self.maybe.add(name))
        elif step == "secret":
            self.typed.append(what["value"])
            now = self.secrets[what["name"]]
            self.secrets[what["name"]] = {what["value"]} if sure else now | {what["value"]}
        elif step in ("register", "unregister"):
            groups = set(what["groups"])
            after = self.registered | groups if step == "register" else self.registered - groups
            unsure = self.maybe_registered | (self.registered ^ after)
            self.registered, self.maybe_registered = (after, set()) if sure else (self.registered, unsure)
        return said

    def looks(self) -> dict[str, Any]:
        """Look at everything from a new process, on a disk that works, and hold it against what must be there."""
        said = self.disk.step(self.home, "look")
        assert "refused" not in said, f"what is stored cannot be read any more: {said['refused']}"
        seen: dict[str, Any] = said["answer"]
        connections = set(seen["connections"])
        assert self.secrets.keys() <= connections, "a saved connection is gone"
        assert connections <= self.secrets.keys() | self.maybe, "a connection that nobody saved"
        for name, value in seen["secrets"].items():
            assert value in self.secrets.setdefault(name, {None}), (
                f"the client secret of {name} is not one that was typed"
            )
            self.secrets[name] = {value}
        self.maybe.clear()
        registered = set(seen["registered"])
        assert registered ^ self.registered <= self.maybe_registered, "groups are registered that nobody registered"
        self.registered, self.maybe_registered = registered, set()
        assert seen["entries"] >= self.entries, "the journal lost entries"
        self.entries = seen["entries"]
        self.journal_is_true(seen)
        self.files_are_private()
        return seen

    def journal_is_true(self, seen: dict[str, Any]) -> None:
        """What the journal says was done is so on the site, unless a later apply changed it again."""
        last: dict[tuple[str, str], tuple[str, str]] = {}
        for apply in seen["applies"].values():
            for group, account, action, status in apply["rows"]:
                if status not in ("planned", "refused", "not done"):
                    last[group, account] = (action, status)
        for (group, account), (action, status) in last.items():
            if status in ("done", "already so"):
                there = account in self.site.world.member_ids(group)
                assert there == (action == "add"), f"the journal says {status} of {action}, the site says otherwise"
        assert set(self.site.writes) <= set(self.groups), "a group outside the registry received a write"

    def files_are_private(self) -> None:
        """No other user may read a file of the home, and none holds a secret in clear."""
        for path in self.home.rglob("*"):
            assert not path.stat().st_mode & 0o077, f"{path.name} is open to others"
            if path.is_file():
                data = path.read_bytes()
                for value in (*self.typed, *self.site.auth.given_here[-10:]):
                    assert value.encode() not in data, f"{path.name} holds a secret in clear"

    def token_lives(self) -> None:
        """The stored refresh token is good, also after the ten minutes in which the one before is accepted."""
        for _ in range(2):
            self.site.advance(700)
            said = self.disk.step(self.home, "refresh")
            assert "refused" not in said, f"the consent is lost: {said['refused']}"
