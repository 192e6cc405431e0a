"""The walk: read a site's groups and members once, completely, and write a snapshot.

It says before it starts what it will cost, keeps what it has paid for page by page, and ends with a snapshot and a
completeness report that names what is missing and what changed while it walked.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial as bind
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from spokekit import _portal
from spokekit.audit._members import GroupReader
from spokekit.audit.assemble import assemble
from spokekit.audit.checkpoint import Checkpoint, Ended, Unfinished, unfinished
from spokekit.audit.flight import in_flight
from spokekit.audit.frames import FAILED, PARTIAL, WALKED, Site
from spokekit.audit.snapshots import Snapshot, Snapshots
from spokekit.audit.walk_plan import WalkPlan, plan
from spokekit.confluence.async_spoke import AsyncSpoke
from spokekit.confluence.models import Cancel, Progress, ProgressCallback
from spokekit.confluence.operation import Operation
from spokekit.confluence.walk import STOPS
from spokekit.errors import Cancelled, Conflict, InputError, SpokekitError, TransportError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.spoke import Spoke
    from spokekit.groups.registry import Registry

_ROUNDS = 3
_ACCOUNTS = 250
_SPACES = 25
_REGISTERED, _ALL = "registered groups", "all groups"


class Walk:
    """One walk of one site.

    Parameters
    ----------
    spoke:
        A `Spoke` or `AsyncSpoke`.
    groups:
        ``"registered"`` (needs `registry`), ``"all"``, a pattern for names such as ``"okta-*"``, or group ids.
    registry:
        The registered groups of the connection.
    with_spaces:
        Read spaces and their grants too.
    recheck:
        List the groups once more at the end, to see what changed; it costs 2 points a group.
    fresh:
        Forget an unfinished walk instead of continuing it.
    folder:
        Where ``walks`` and ``snapshots`` are; the home by default.

    An unfinished walk of the same scope is continued, one of another scope is a Conflict unless `fresh`.
    """

    def __init__(
        self,
        spoke: Spoke | AsyncSpoke,
        *,
        groups: str | Iterable[str] = "registered",
        registry: Registry | None = None,
        with_spaces: bool = False,
        recheck: bool = True,
        fresh: bool = False,
        folder: Path | None = None,
    ) -> None:
        self.spoke: AsyncSpoke = spoke if isinstance(spoke, AsyncSpoke) else spoke.aio
        self.gateway = self.spoke.gateway
        connection = self.spoke.connection
        self.site = Site(connection.cloud_id or "", connection.site_name or "", connection.site_url or "")
        self.registry = registry
        if groups == "registered" and registry is None:
            raise InputError("Walking the registered groups needs the registry of the connection.", field="registry")
        self.groups: str | tuple[str, ...] = groups if isinstance(groups, str) else tuple(groups)
        self.with_spaces = with_spaces
        self.recheck = recheck
        self._fresh = fresh
        self._walks = folder / "walks" if folder else None
        self.snapshots = Snapshots(self.site, folder / "snapshots" if folder else None)
        self._progress: ProgressCallback | None = None
        self._cancel: Cancel | None = None
        self._record: Checkpoint | None = None
        self._members = 0

    @property
    def scope(self) -> str:
        """What is walked, in words."""
        if isinstance(self.groups, tuple):
            return f"{len(self.groups):,} chosen groups"
        return {"registered": _REGISTERED, "all": _ALL}.get(self.groups, f"groups named {self.groups}")

    def unfinished(self) -> Unfinished | None:
        """Tell what an unfinished walk of this site has done, or None."""
        return unfinished(self.site.cloud_id, self._walks)

    # -- for notebooks, scripts and the command line --

    def prepare(self, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None) -> WalkPlan:
        """List the groups, unless an unfinished walk has done so, and say what the walk will cost.

        The list is kept: `run` does not pay for it again.
        """
        return _portal.call(bind(self.aprepare, progress=progress, cancel=cancel))

    def run(self, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None) -> Snapshot:
        """Walk, write the snapshot and return it; ``snapshot.completeness`` is the report.

        Parameters
        ----------
        progress:
            Called in the I/O thread with `Progress`, at most ten times a second.
        cancel:
            Anything with ``is_set()``. What is under way is still kept; the walk can be continued.

        Raises
        ------
        Cancelled, and whatever stops every request (consent, permission, scope, quota, disk). What was read is kept;
        the same call goes on from there.
        """
        return _portal.call(bind(self.arun, progress=progress, cancel=cancel))

    # -- in the event loop --

    async def aprepare(self, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None) -> WalkPlan:
        """See `prepare`."""
        self._progress, self._cancel = progress, cancel
        before = None if self._fresh else await anyio.to_thread.run_sync(self.unfinished)
        await self._open()
        try:
            await self._list()
            return await anyio.to_thread.run_sync(
                bind(
                    plan,
                    self.gateway,
                    self._open_record,
                    self.snapshots,
                    self.registry,
                    before=before,
                    with_spaces=self.with_spaces,
                    recheck=self.recheck,
                )
            )
        finally:
            await self._close()

    async def arun(self, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None) -> Snapshot:
        """See `run`."""
        self._progress, self._cancel = progress, cancel
        await self._open()
        try:
            await self._list()
            for _ in range(_ROUNDS):
                await self._walk_groups()
                if not await self._list_again():
                    break
            if self.with_spaces:
                await self._spaces()
            await self._accounts()
            frames = await anyio.to_thread.run_sync(assemble, self._open_record, self.site, self.scope)
            snapshot = await anyio.to_thread.run_sync(self.snapshots.write, frames)
            await anyio.to_thread.run_sync(self._open_record.remove)
            self._record = None
            return snapshot
        finally:
            await self._close()

    @property
    def _open_record(self) -> Checkpoint:
        if self._record is None:
            raise RuntimeError("The walk is not running.")
        return self._record

    async def _open(self) -> None:
        def opened() -> Checkpoint:
            record = Checkpoint(self.site.cloud_id, self._walks)
            if self._fresh:
                record.remove()
                record = Checkpoint(self.site.cloud_id, self._walks)
            kept = record.get("scope")
            asked = {"groups": list(self.groups) if isinstance(self.groups, tuple) else self.groups}
            if kept is not None and (kept != asked or bool(record.get("with_spaces")) != self.with_spaces):
                started, words = record.get("started_at"), record.get("scope_words")
                walked = bool(record.ended())
                if walked:
                    record.close()
                    raise Conflict(
                        f"A walk of {words} from {started[:16].replace('T', ' ')} UTC is not finished.",
                        hint="Continue it as it was, or start fresh.",
                    )
                # Only the list of groups was paid for, and it serves any scope.
                record.put(scope=asked, scope_words=self.scope, with_spaces=self.with_spaces, chosen=None)
            elif kept is None:
                record.put(
                    scope=asked,
                    scope_words=self.scope,
                    with_spaces=self.with_spaces,
                    started_at=datetime.now(UTC).isoformat(),
                )
            return record

        self._record = await anyio.to_thread.run_sync(opened)
        self._fresh = False

    async def _close(self) -> None:
        record, self._record = self._record, None
        if record is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(record.close)

    # -- groups --

    async def _list(self) -> None:
        record = self._open_record
        if record.get("groups") is None:
            frame = await self.spoke.look_up_groups(progress=self._progress, cancel=self._cancel)
            await self._counted(frame)
            record.put(groups=_rows(frame), listed_at=datetime.now(UTC).isoformat())
        if record.get("chosen") is None:
            groups = {row["group_id"]: row["name"] for row in record.get("groups")}
            chosen = await anyio.to_thread.run_sync(self._choose, groups)
            record.put(chosen=[i for i in chosen if i in groups], unknown=[i for i in chosen if i not in groups])

    def _choose(self, groups: dict[str, str]) -> list[str]:
        if isinstance(self.groups, tuple):
            return list(dict.fromkeys(self.groups))
        if self.groups == "all":
            return list(groups)
        if self.groups == "registered":
            ids = sorted(self.registry.ids() if self.registry is not None else ())
            if not ids:
                raise InputError(
                    "No group is registered yet.",
                    hint="Register groups first (notebook 03, spokekit groups add), or walk all groups.",
                    field="groups",
                )
            return ids
        found = [i for i, name in groups.items() if fnmatch.fnmatchcase(name.lower(), self.groups.lower())]
        if not found:
            raise InputError(f"No group of this site is named like {self.groups!r}.", field="groups")
        return found

    async def _walk_groups(self) -> None:
        record = self._open_record
        chosen: list[str] = record.get("chosen")
        ended = await anyio.to_thread.run_sync(record.ended)
        # Failed ones last: in this run's second round, or at the end of a run that continues an earlier one.
        left = [i for i in chosen if i not in ended]
        left += [i for i in chosen if i in ended and ended[i].state in (FAILED, PARTIAL)]
        operation = self._operation("look_up_members_by_group_id", "groups")
        operation.total, operation.done = len(chosen), len(chosen) - len(left)
        reader = GroupReader(self.gateway, operation, record, self._cancel)

        async def one(group_id: str) -> None:
            kept = ended.get(group_id)
            await self._walk_group(reader, group_id, disturbed=kept is not None and kept.disturbed)
            self._members = reader.members
            operation.advance()

        try:
            await in_flight(one, left, operation, most=self.gateway.in_flight, cancel=self._cancel)
        finally:
            await self._count(operation)
        operation.advance(0, force=True)

    async def _walk_group(self, reader: GroupReader, group_id: str, *, disturbed: bool) -> None:
        began = datetime.now(UTC)
        state, reason = WALKED, ""
        try:
            disturbed = await reader.read(group_id) or disturbed
        except SpokekitError as error:
            if isinstance(error, STOPS):
                raise
            pages = await anyio.to_thread.run_sync(self._open_record.page_count, group_id)
            state, reason = (PARTIAL if pages else FAILED), str(error)
            if isinstance(error, TransportError):
                reader.in_a_row += 1
                if reader.in_a_row >= 3 * self.gateway.in_flight:
                    raise
            disturbed = disturbed or reader.was_disturbed(group_id)
        else:
            reader.in_a_row = 0
        await anyio.to_thread.run_sync(self._open_record.end, group_id, Ended(state, began, disturbed, reason))

    async def _list_again(self) -> bool:
        """Look at the list of groups again; True when there is more to walk: new groups, or failed ones."""
        record = self._open_record
        if not self.recheck:
            return await self._failed_once({row["group_id"] for row in record.get("groups")})
        first = {row["group_id"]: row for row in record.get("groups")}
        frame = await self.spoke.look_up_groups(with_access=False, cancel=self._cancel)
        await self._counted(frame)
        now = {row["group_id"]: row for row in _rows(frame)}
        appeared = [i for i in now if i not in first]
        gone = [i for i in first if i not in now]
        renamed = [i for i in now if i in first and now[i]["name"] != first[i]["name"]]
        seen = record.get("changed") or {"appeared": [], "gone": [], "renamed": []}
        for kind, ids in (("appeared", appeared), ("gone", gone), ("renamed", renamed)):
            seen[kind] = sorted({*seen[kind], *ids})
        rows = [{**row, "access": first[i]["access"] if i in first else ""} for i, row in now.items()]
        if appeared:
            with_access = await self.spoke.look_up_groups(cancel=self._cancel)
            await self._counted(with_access)
            rows = _rows(with_access)
        chosen = record.get("chosen")
        more = appeared if self.groups == "all" else []
        kept = {row["group_id"] for row in rows}
        record.put(
            changed=seen,
            groups=rows,
            chosen=[i for i in [*chosen, *more] if i in kept],
            unknown=[*(record.get("unknown") or []), *(i for i in chosen if i not in kept)],
        )
        return await self._failed_once(kept) or bool(more)

    async def _failed_once(self, kept: set[str]) -> bool:
        """True the first time that there are failed groups: each gets a second chance when all others are done."""
        record = self._open_record
        ended = await anyio.to_thread.run_sync(record.ended)
        failed = [i for i, how in ended.items() if how.state in (FAILED, PARTIAL) and i in kept]
        if not failed or record.get("retried"):
            return False
        record.put(retried=True)
        return True

    # -- accounts and spaces --

    async def _accounts(self) -> None:
        """Status and type of all accounts, 250 a request."""
        record = self._open_record
        accounts = [account for account, _ in await anyio.to_thread.run_sync(record.people)]
        named = (row for part in record.kept("grants").values() for row in part["rows"])
        accounts += sorted({row["principal_id"] for row in named if row["principal_type"] == "user"} - set(accounts))
        kept = record.kept_keys("accounts")
        parts = [accounts[i : i + _ACCOUNTS] for i in range(0, len(accounts), _ACCOUNTS)]
        # A part is known by its first account and length: people who came since are at the end.
        left = [part for part in parts if _part_key(part) not in kept]
        operation = self._operation("look_up_users", "accounts")
        operation.total, operation.done = len(accounts), len(accounts) - sum(map(len, left))

        async def one(part: list[str]) -> None:
            frame = await self.spoke.look_up_users(part, partial="keep")
            await self._counted(frame)
            await anyio.to_thread.run_sync(record.keep, "accounts", _part_key(part), _rows(frame))
            operation.advance(len(part))

        await self._optional(one, left, operation, "accounts", "The status of accounts")

    async def _spaces(self) -> None:
        record = self._open_record
        operation = self._operation("look_up_spaces", "spaces")
        if not record.get("spaces_listed"):

            async def listing(_: int) -> None:
                number = 0
                frame = None
                async for frame in self.spoke.look_up_spaces(cancel=self._cancel):
                    await anyio.to_thread.run_sync(record.keep, "spaces", f"{number:06d}", _rows(frame))
                    operation.advance(len(frame))
                    number += 1
                if frame is not None:
                    # Each frame's report counts from the first one on.
                    await self._counted(frame)
                record.put(spaces_listed=True)

            await self._optional(listing, [0], operation, "spaces", "The list of spaces")
        spaces = [row["space_id"] for rows in record.kept("spaces").values() for row in rows]
        kept = record.kept_keys("grants")
        parts = [spaces[i : i + _SPACES] for i in range(0, len(spaces), _SPACES)]
        left = [part for part in parts if _part_key(part) not in kept]
        grants = self._operation("look_up_space_permissions", "spaces")
        grants.total, grants.done = len(spaces), len(spaces) - sum(map(len, left))

        async def one(part: list[str]) -> None:
            frame = await self.spoke.look_up_space_permissions(part, partial="keep")
            await self._counted(frame)
            report = frame.attrs.get("completeness", {})
            missing = [*report.get("failed", ()), *report.get("partial", ())]
            rows = {"rows": _rows(frame), "missing": missing}
            await anyio.to_thread.run_sync(record.keep, "grants", _part_key(part), rows)
            grants.advance(len(part))

        await self._optional(one, left, grants, "grants", "The grants of spaces")

    async def _optional(
        self, one: Callable[[Any], Any], parts: list[Any], operation: Operation, kind: str, what: str
    ) -> None:
        """Do a part of the walk without which the rest is still worth keeping; what went wrong is noted."""
        record = self._open_record
        lost: dict[str, str] = {}

        async def guarded(part: Any) -> None:
            try:
                await one(part)
            except SpokekitError as error:
                if isinstance(error, Cancelled):
                    raise
                lost[_part_key(part) if isinstance(part, list) else kind] = str(error)
                if isinstance(error, STOPS):
                    raise

        try:
            await in_flight(guarded, parts, operation, most=self.gateway.in_flight, cancel=self._cancel)
        except STOPS as error:
            # A scope or permission that is missing here says nothing against the members that were read.
            if isinstance(error, Cancelled) or error.next_step not in ("consent", "ask_site_admin", "enable_scope"):
                raise
        notes = {key: note for key, note in (record.get("notes") or {}).items() if key != kind}
        if lost:
            notes[kind] = f"{what} could not be read: {next(iter(lost.values()))}"
        record.put(notes=notes)
        await self._count(operation)
        operation.advance(0, force=True)

    # -- many at a time, stoppable --

    def _operation(self, action: str, unit: str) -> Operation:
        def tell(progress: Progress) -> None:
            if self._progress is not None:
                words = progress.words
                if unit == "groups":
                    words = words.replace(" groups", f" groups, {self._members:,} members", 1)
                self._progress(replace(progress, words=words))

        operation = Operation(action, unit=unit, progress=tell if self._progress else None)
        if self.gateway.ledger is not None:
            operation.points_left = self.gateway.ledger.left_now
        return operation

    async def _count(self, operation: Operation) -> None:
        tally = operation.tally
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(
                bind(
                    self._open_record.add,
                    pages=tally.pages,
                    retries=tally.retries,
                    duplicates=tally.duplicates,
                    points=tally.points,
                )
            )

    async def _counted(self, frame: pd.DataFrame) -> None:
        report = frame.attrs.get("completeness", {})
        counts = {key: int(report.get(key, 0)) for key in ("pages", "retries", "duplicates", "points")}
        await anyio.to_thread.run_sync(bind(self._open_record.add, **counts))


def _part_key(part: list[str]) -> str:
    return f"{part[0]}+{len(part)}"


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    plain = frame.astype(dict.fromkeys(frame.columns, object))
    return [
        {
            str(key): value if isinstance(value, str | bool) else ("" if value != value else str(value))
            for key, value in row.items()
        }
        for row in plain.to_dict("records")
    ]


__all__ = ["Walk", "WalkPlan"]
