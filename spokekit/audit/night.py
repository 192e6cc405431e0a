"""The nightly audit of several sites, unattended: walk, ask, see what is new, and say it once.

What an earlier night has reported is kept in the home (``nights/``), so that the next one reports what is new since
then. It is written down last: a night that is killed before reports again rather than never.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from spokekit._home import home, lock_file, private_folder, write_private
from spokekit._words import counted, moment
from spokekit.audit.audit import Audit
from spokekit.audit.compare import diff
from spokekit.audit.findings import Findings
from spokekit.audit.questions.registry import REGISTRY
from spokekit.audit.walk.changed import AT_MOST
from spokekit.audit.walk.walk import Walk
from spokekit.errors import Cancelled, Conflict, InputError, SpokekitError, StoreError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit.history.snapshot import Snapshot
    from spokekit.confluence.report import Cancel, ProgressCallback
    from spokekit.confluence.spoke import Spoke
    from spokekit.connections.connection import Connection
    from spokekit.connections.store import Store
    from spokekit.groups.registry import Registry

Outcome = Literal["nothing new", "new findings", "incomplete", "failed"]

NOTHING_NEW, FAILED, INCOMPLETE, NEW_FINDINGS = 0, 1, 3, 4
"""Exit codes of a night; of several sites the worst counts: failed, then incomplete, then new findings."""

DEFAULT_ASK = ("inactive-in-groups", "unlicensed-with-access", "guests-in-groups", "admins")
"""What is asked when nothing is named: rows that somebody has to decide about, and no question needs a name for."""


class Place(Protocol):
    """What a night needs of a workspace."""

    @property
    def store(self) -> Store: ...

    def connection(self, name: str | None = None) -> Connection: ...
    def sited(self, name: str | None = None) -> Connection: ...
    def registry(self, name: str | None = None) -> Registry: ...
    def spoke(self, name: str | None = None) -> Spoke: ...


@dataclass
class Asked:
    """What one question came to on one site.

    Attributes
    ----------
    frame:
        Rows that nobody has accepted, with ``finding_id`` and ``first_seen``, then ``tonight`` (bool: no earlier night
        has reported it), then the columns of the question.
    accepted, fixed:
        How many rows somebody has accepted, and how many are gone since the last time.
    """

    question: str
    title: str
    frame: pd.DataFrame
    accepted: int
    fixed: int

    @property
    def new(self) -> int:
        """How many rows no earlier night has reported."""
        return int(self.frame["tonight"].sum())


@dataclass
class SiteNight:
    """What a night came to on one site.

    Attributes
    ----------
    words:
        What happened, in a sentence or two.
    do:
        The one thing to do; empty where nothing is.
    changes:
        Memberships that came and went since ``since``, with the columns of `spokekit.audit.compare.diff`; None where
        there is nothing to compare with.
    """

    connection: str
    site: str = ""
    cloud_id: str = ""
    outcome: Outcome = "nothing new"
    words: str = ""
    do: str = ""
    snapshot: Snapshot | None = None
    since: datetime | None = None
    changes: pd.DataFrame | None = None
    asked: list[Asked] = field(default_factory=list)

    @property
    def new(self) -> int:
        """How many findings no earlier night has reported."""
        return sum(one.new for one in self.asked)

    @property
    def open(self) -> int:
        """How many findings nobody has accepted."""
        return sum(len(one.frame) for one in self.asked)


@dataclass
class Night:
    """What a night came to on all its sites."""

    began: datetime
    sites: list[SiteNight]

    @property
    def exit_code(self) -> int:
        """0 nothing new, 1 failed, 3 incomplete, 4 new findings."""
        codes = {"failed": FAILED, "incomplete": INCOMPLETE, "new findings": NEW_FINDINGS}
        found = {codes.get(site.outcome, NOTHING_NEW) for site in self.sites}
        return next((code for code in (FAILED, INCOMPLETE, NEW_FINDINGS) if code in found), NOTHING_NEW)

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to tell anybody: no finding, no change, no trouble."""
        return self.exit_code == NOTHING_NEW and not any(
            site.changes is not None and len(site.changes) for site in self.sites
        )


def night(
    place: Place,
    connections: Sequence[str | None] = (None,),
    *,
    ask: Sequence[str] = (),
    groups: str = "all",
    with_spaces: bool = False,
    changed: bool = False,
    at_most: float = AT_MOST,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
    folder: Path | None = None,
) -> Night:
    """Walk the site of each connection, one after the other, ask, and say what is new.

    A site that fails does not keep the others from their turn. Sites of one app share its points of the hour: the
    ledger is that of the app, and a walk waits for the next hour by itself.

    Parameters
    ----------
    connections:
        Names as `Workspace.connection` takes them. One site is walked once, whoever leads there.
    ask:
        Questions by name, without parameters; `DEFAULT_ASK` when none is given.
    groups, with_spaces, changed, at_most:
        As in `Walk`.
    folder:
        Where ``walks``, ``snapshots`` and ``nights`` are; the home by default.

    Raises
    ------
    InputError
        A question is not known, or needs a parameter: before anything is read.
    Cancelled
        It was cancelled; what was read is kept, and the next night goes on from there.
    """
    asked = tuple(dict.fromkeys(ask or DEFAULT_ASK))
    _check_questions(asked)
    made = Night(datetime.now(UTC), [])
    seen: dict[str, str] = {}
    for name in connections:
        one = SiteNight(name or "")
        made.sites.append(one)
        try:
            connection = place.connection(name)
            one.connection, one.site = connection.name, connection.site_name or connection.cloud_id or ""
            one.cloud_id = place.sited(name).cloud_id or ""
            if one.cloud_id in seen:
                one.words = f"The same site as “{seen[one.cloud_id]}”: it is walked once."
                continue
            seen[one.cloud_id] = connection.name
            nights = private_folder((folder or home()) / "nights")
            with _alone(nights / one.cloud_id), place.spoke(name) as spoke:
                walk = Walk(
                    spoke,
                    groups=groups,
                    registry=place.registry(name) if groups == "registered" else None,
                    with_spaces=with_spaces,
                    changed=changed,
                    at_most=at_most,
                    folder=folder,
                )
                one.snapshot = walk.run(progress=progress, cancel=cancel)
                _look(one, asked, Reported.read(nights / f"{one.cloud_id}.json"), place.store, folder)
        except Cancelled:
            raise
        except SpokekitError as error:
            one.outcome, one.words = "failed", " ".join(filter(None, (error.message, error.likely)))
            one.do = error.hint or "Run it again by hand: spokekit audit night."
    return made


def reported(made: Night, *, folder: Path | None = None) -> None:
    """Write down what this night has reported, so that the next one reports what is new since then."""
    for one in made.sites:
        if one.snapshot is not None and one.outcome != "failed":
            nights = private_folder((folder or home()) / "nights")
            Reported.of(one).write(nights / f"{one.cloud_id}.json")


@dataclass
class Reported:
    """What the last night has reported of a site: which snapshot, and the findings of each question."""

    snapshot: int | None = None
    findings: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Reported:
        """Return what stands in a file; nothing for one that is not there or says nothing: then all is new."""
        try:
            found = json.loads(path.read_bytes())
            snapshot, findings = found["snapshot"], found["findings"]
            return cls(int(snapshot), {str(name): [str(i) for i in ids] for name, ids in findings.items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    @classmethod
    def of(cls, one: SiteNight) -> Reported:
        """Return what this night has reported of a site."""
        assert one.snapshot is not None  # noqa: S101 - only such a site is reported
        return cls(one.snapshot.at, {asked.question: list(asked.frame["finding_id"]) for asked in one.asked})

    def write(self, path: Path) -> None:
        """Write it down; what is said of questions that were not asked this time stays."""
        kept = Reported.read(path).findings | self.findings
        write_private(path, json.dumps({"snapshot": self.snapshot, "findings": kept}).encode())


def _check_questions(names: Sequence[str]) -> None:
    for name in names:
        question = REGISTRY.get(name)
        if needed := [param.name for param in question.params if param.required]:
            raise InputError(
                f"The question {name} needs {' and '.join(needed)}, and a night asks without.",
                hint=f"Ask it by hand: spokekit audit ask {name} --param {needed[0]}=…",
                field="ask",
            )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the night of a site; it goes with the process, however that ends."""
    try:
        with lock_file(path, wait=0.0):
            yield
    except StoreError as error:
        if "held by another program" not in error.message:
            raise
        raise Conflict(
            "Another night is under way on this site.",
            likely="The night before has not ended yet: it may be waiting for the points of the next hour.",
            hint="Wait until it ends; nothing was read twice.",
            next_step="wait",
        ) from None


def _look(one: SiteNight, asked: Sequence[str], before: Reported, store: Store, folder: Path | None) -> None:
    """Ask the newest state of a site, and say what is new since the night before."""
    assert one.snapshot is not None  # noqa: S101 - it was walked
    with closing(Audit.of_snapshot(one.snapshot)) as audit:
        findings = Findings(audit.site, folder / "snapshots" if folder else None, store=store)
        one.changes, one.since = _changes(audit, one.snapshot, before.snapshot)
        for name in asked:
            one.asked.append(_ask(audit, findings, name, set(before.findings.get(name, ()))))
        report = one.snapshot.completeness
        complete = bool(report["complete"])
        one.outcome = "new findings" if one.new else "nothing new"
        parts = [f"{counted(one.new, 'new finding')}, {one.open:,} open."] if one.new else ["Nothing new."]
        if one.changes is not None and one.since is not None and len(one.changes):
            came = int((one.changes["change"] == "added").sum())
            parts.append(f"Since {moment(one.since)}: {came:,} came, {len(one.changes) - came:,} left.")
        if not complete:
            one.outcome = "incomplete"
            parts.insert(0, str(report["words"]))
            one.do = (
                "See what could not be read (spokekit audit snapshots), mend that, and walk again: the rest is kept."
            )
        elif one.new:
            one.do = "Mend each, or accept it: spokekit audit findings QUESTION --accept ID --reason WHY --by NAME"
        if caution := audit.caution():
            parts.append(caution)
        one.words = " ".join(parts)


def _changes(audit: Audit, snapshot: Snapshot, last: int | None) -> tuple[pd.DataFrame | None, datetime | None]:
    """Return what came and went since the snapshot that was reported last, or since the one before this."""
    earlier = [moment for moment in audit.moments() if moment.number < snapshot.at]
    if not earlier:
        return None, None
    since = next((moment for moment in earlier if moment.number == last), earlier[-1])
    with closing(Audit.of_snapshot(snapshot, at=since.number)) as older:
        return diff(older, audit), since.taken_at


def _ask(audit: Audit, findings: Findings, name: str, told: set[str]) -> Asked:
    answer = findings.review(audit, name)
    open_ones = answer[answer["state"] == "new"].drop(
        columns=["state", "reason", "accepted_by", "accepted_until"], errors="ignore"
    )
    open_ones = open_ones.reset_index(drop=True)
    tonight = np.array([finding not in told for finding in open_ones["finding_id"]], dtype=bool)
    open_ones.insert(1, "tonight", tonight)
    attrs = answer.attrs
    open_ones.attrs = {"title": attrs["title"], "cannot_know": attrs["cannot_know"]}
    return Asked(name, str(attrs["title"]), open_ones, int(attrs["accepted"]), int(attrs["fixed"]))
