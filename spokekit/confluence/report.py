"""What the actions of the spoke hand back beside frames: progress, the completeness report, and its tally."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from spokekit._words import some

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 3


class Cancel(Protocol):
    """Anything with ``is_set()``, for example a `threading.Event`: once set, the action stops."""

    def is_set(self) -> bool: ...


class Guard(Protocol):
    """What decides whether a group may be changed; the registry of groups is one."""

    def check(self, group_id: str) -> None:
        """Return when the group may be changed, raise `GuardRefused` when not."""


class Fence(Protocol):
    """What decides last whether a change is still this process's to send; the lease of an apply is one."""

    def ask(self) -> None:
        """Raise `Conflict` when it is not; may take a moment."""

    def due(self) -> bool:
        """Say at once whether too much time has passed since it was last asked."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a long action stands.

    ``done`` of ``total`` (None while nobody knows) in ``unit``, the same as ``words``, the points that this hour still
    holds (None without a ledger), and until when the action pauses (None while it works). ``pause`` are those of the
    words that say why and until when it pauses; empty while it works.
    """

    done: int
    total: int | None
    unit: str
    words: str
    points_left: int | None = None
    paused_until: datetime | None = None
    pause: str = ""


ProgressCallback = Callable[[Progress], None]


class WatchOptions(TypedDict):
    """The options of an action that `Watching` stands for."""

    progress: ProgressCallback | None
    cancel: Cancel | None


@dataclass(frozen=True, slots=True)
class Watching:
    """Who watches a long action: what is told where it stands, and what stops it."""

    progress: ProgressCallback | None = None
    cancel: Cancel | None = None

    @property
    def options(self) -> WatchOptions:
        """Both as the options of a public action."""
        return {"progress": self.progress, "cancel": self.cancel}


UNWATCHED = Watching()


class ChangeOutcome(TypedDict):
    """What a change of one membership came to; ``status`` is the HTTP status of the answer."""

    group_id: str
    account_id: str
    action: str
    status: int
    message: str


@dataclass(frozen=True)
class CompletenessReport:
    """Say whether a pull holds every row, and if not, what is missing.

    Attributes
    ----------
    complete:
        True only when every row that the site holds is in the frame.
    listed, walked:
        How many things were to be read, and how many were read to their end.
    failed, partial:
        The ids of which no row, or only some rows, could be read. ``reasons`` says why, by id.
    pages, retries, duplicates, points, rows:
        Requests that brought a page, requests repeated, rows that came twice and were dropped, points spent as the
        documents count them, rows in the frame.
    notes:
        Sentences about things that a reader of the frame should know.
    """

    complete: bool
    listed: int = 0
    walked: int = 0
    failed: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    pages: int = 0
    retries: int = 0
    duplicates: int = 0
    points: int = 0
    notes: tuple[str, ...] = ()
    rows: int = 0
    unit: str = "groups"
    reasons: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain lists, numbers and strings (what ``frame.attrs["completeness"]`` holds)."""
        plain = asdict(self)
        for name in ("failed", "partial", "notes"):
            plain[name] = list(plain[name])
        plain["reasons"] = dict(self.reasons)
        plain["words"] = self.words
        return plain

    @property
    def words(self) -> str:
        """The report in one or two sentences."""
        counts = f"{self.rows:,} rows, {self.walked:,} of {self.listed:,} {self.unit}, {self.pages:,} pages"
        if self.complete:
            return f"Complete: {counts}."
        parts = []
        if self.failed:
            parts.append(f"{len(self.failed):,} {self.unit} missing ({some(self.failed, _NAMED)})")
        if self.partial:
            parts.append(f"{len(self.partial):,} {self.unit} in part ({some(self.partial, _NAMED)})")
        if not parts:
            parts.append("the list was not read to its end")
        return f"Incomplete: {counts}; {', '.join(parts)}."


@dataclass
class Tally:
    """Counts that the gateway and the pagers add to while an action runs."""

    pages: int = 0
    retries: int = 0
    duplicates: int = 0
    points: int = 0


def stamp(
    frame: pd.DataFrame, report: CompletenessReport, site: str, pulled_at: datetime | None = None
) -> pd.DataFrame:
    """Put the report, the site and the time of the pull into ``frame.attrs`` and return the frame."""
    frame.attrs["completeness"] = report.as_dict()
    frame.attrs["site"] = site
    frame.attrs["pulled_at"] = (pulled_at or datetime.now(UTC)).isoformat(timespec="seconds")
    return frame
