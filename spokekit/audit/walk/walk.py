"""The walk: read a site's groups and members once, completely, and write a snapshot.

It says before it starts what it will cost, keeps what it has paid for page by page, and ends with a snapshot and a
completeness report that names what is missing and what changed while it walked.
"""

from __future__ import annotations

import fnmatch
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial as bind
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from spokekit import _portal
from spokekit._words import comparable
from spokekit.audit.frames import FAILED, PARTIAL, WALKED, Site
from spokekit.audit.history.snapshot import Snapshot
from spokekit.audit.history.snapshots import Snapshots
from spokekit.audit.walk.assemble import assemble
from spokekit.audit.walk.beside import read_accounts, read_spaces
from spokekit.audit.walk.checkpoint import Checkpoint, Ended, Unfinished, begin_anew, unfinished
from spokekit.audit.walk.estimate import WalkPlan, plan
from spokekit.audit.walk.members import GroupReader
from spokekit.audit.walk.run import UnderWay, plain_rows
from spokekit.confluence.actions import AsyncSpoke
from spokekit.confluence.pull import STOPS
from spokekit.confluence.report import Cancel, ProgressCallback
from spokekit.errors import Conflict, InputError, SpokekitError, TransportError

if TYPE_CHECKING:
    from spokekit.confluence.spoke import Spoke
    from spokekit.groups.registry import Registry

_ROUNDS = 3
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

    @property
    def scope(self) -> str:
        """What is walked, in words."""
        if isinstance(self.groups, tuple):
            return f"{len(self.groups):,} chosen groups"
        return {"registered": _REGISTERED, "all": _ALL}.get(self.groups, f"groups named {self.groups}")

    def unfinished(self) -> Unfinished | None:
        """Tell what an unfinished walk of this site has done, or None."""
        return unfinished(self.site.cloud_id, self._walks)

    def prepare(self, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None) -> WalkPlan:
        """List the groups, unless an unfinished walk has done so, and say what the walk will cost.

        The list is kept: `run` does not pay for it again.
        """
        return _portal.call(self._prepare, progress, cancel)

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
        return _portal.call(self._run, progress, cancel)

    # -- in the event loop --

    async def _prepare(self, progress: ProgressCallback | None, cancel: Cancel | None) -> WalkPlan:
        async with self._under_way(progress, cancel) as run:
            before = await anyio.to_thread.run_sync(run.record.unfinished)
            await self._list(run)
            return await anyio.to_thread.run_sync(
                bind(
                    plan,
                    self.gateway,
                    run.record,
                    self.snapshots,
                    self.registry,
                    before=before,
                    with_spaces=self.with_spaces,
                    recheck=self.recheck,
                )
            )

    async def _run(self, progress: ProgressCallback | None, cancel: Cancel | None) -> Snapshot:
        async with self._under_way(progress, cancel) as run:
            await self._list(run)
            for _ in range(_ROUNDS):
                await self._walk_groups(run)
                if not await self._list_again(run):
                    break
            if self.with_spaces:
                await read_spaces(run)
            await read_accounts(run)
            frames = await anyio.to_thread.run_sync(assemble, run.record, self.site, self.scope)
            snapshot = await anyio.to_thread.run_sync(self.snapshots.write, frames)
            await anyio.to_thread.run_sync(run.record.remove)
            return snapshot

    @asynccontextmanager
    async def _under_way(self, progress: ProgressCallback | None, cancel: Cancel | None) -> AsyncIterator[UnderWay]:
        record = await anyio.to_thread.run_sync(self._open)
        self._fresh = False
        try:
            yield UnderWay(self.spoke, record, progress, cancel)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(record.close)

    def _open(self) -> Checkpoint:
        if self._fresh:
            record = begin_anew(self.site.cloud_id, self._walks)
        else:
            record = Checkpoint(self.site.cloud_id, self._walks)
            if self._is_in_snapshot(record):
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

    def _is_in_snapshot(self, record: Checkpoint) -> bool:
        """Tell whether the walk in `record` ended with the newest snapshot, and only the file outlived it."""
        started = record.get("started_at")
        if started is None or not self.snapshots.exists():
            return False
        return bool(self.snapshots.latest().completeness.get("started_at") == started)

    # -- groups --

    async def _list(self, run: UnderWay) -> None:
        record = run.record
        if record.get("groups") is None:
            frame = await self.spoke.look_up_groups(progress=run.progress, cancel=run.cancel)
            await run.counted(frame)
            record.put(groups=plain_rows(frame), listed_at=datetime.now(UTC).isoformat())
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
                    hint="Register groups first (notebook 04, spokekit groups add), or walk all groups.",
                    field="groups",
                )
            return ids
        found = [i for i, name in groups.items() if fnmatch.fnmatchcase(comparable(name), comparable(self.groups))]
        if not found:
            raise InputError(f"No group of this site is named like {self.groups!r}.", field="groups")
        return found

    async def _walk_groups(self, run: UnderWay) -> None:
        record = run.record
        chosen: list[str] = record.get("chosen")
        ended = await anyio.to_thread.run_sync(record.ended)
        # Failed ones last: in this run's second round, or at the end of a run that continues an earlier one.
        left = [i for i in chosen if i not in ended]
        left += [i for i in chosen if i in ended and ended[i].state in (FAILED, PARTIAL)]
        operation = run.operation("look_up_members_by_group_id", "groups")
        operation.total, operation.done = len(chosen), len(chosen) - len(left)
        reader = GroupReader(self.gateway, operation, record, run.cancel)
        before = run.members

        async def one(group_id: str) -> None:
            kept = ended.get(group_id)
            await self._walk_group(run, reader, group_id, disturbed=kept is not None and kept.disturbed)
            run.members = before + reader.members
            operation.advance()

        try:
            await run.each(one, left, operation)
        finally:
            await run.count(operation)
        operation.advance(0, force=True)

    async def _walk_group(self, run: UnderWay, reader: GroupReader, group_id: str, *, disturbed: bool) -> None:
        began = datetime.now(UTC)
        state, reason = WALKED, ""
        try:
            disturbed = await reader.read(group_id) or disturbed
        except SpokekitError as error:
            if isinstance(error, STOPS):
                raise
            state, reason = (PARTIAL if run.record.page_count(group_id) else FAILED), str(error)
            if isinstance(error, TransportError):
                reader.in_a_row += 1
                if reader.in_a_row >= 3 * self.gateway.in_flight:
                    raise
            disturbed = disturbed or reader.was_disturbed(group_id)
        else:
            reader.in_a_row = 0
        run.record.end(group_id, Ended(state, began, disturbed, reason))

    async def _list_again(self, run: UnderWay) -> bool:
        """Look at the list of groups again; True when there is more to walk: new groups, or failed ones."""
        record = run.record
        if not self.recheck:
            return await self._failed_once(run, {row["group_id"] for row in record.get("groups")})
        first = {row["group_id"]: row for row in record.get("groups")}
        frame = await self.spoke.look_up_groups(with_access=False, cancel=run.cancel)
        await run.counted(frame)
        now = {row["group_id"]: row for row in plain_rows(frame)}
        appeared = [i for i in now if i not in first]
        gone = [i for i in first if i not in now]
        renamed = [i for i in now if i in first and now[i]["name"] != first[i]["name"]]
        seen = record.get("changed") or {"appeared": [], "gone": [], "renamed": []}
        for kind, ids in (("appeared", appeared), ("gone", gone), ("renamed", renamed)):
            seen[kind] = sorted({*seen[kind], *ids})
        rows = [{**row, "access": first[i]["access"] if i in first else ""} for i, row in now.items()]
        if appeared:
            with_access = await self.spoke.look_up_groups(cancel=run.cancel)
            await run.counted(with_access)
            rows = plain_rows(with_access)
        chosen = record.get("chosen")
        more = appeared if self.groups == "all" else []
        kept = {row["group_id"] for row in rows}
        record.put(
            changed=seen,
            groups=rows,
            chosen=[i for i in [*chosen, *more] if i in kept],
            unknown=[*(record.get("unknown") or []), *(i for i in chosen if i not in kept)],
        )
        return await self._failed_once(run, kept) or bool(more)

    async def _failed_once(self, run: UnderWay, kept: set[str]) -> bool:
        """True the first time that there are failed groups: each gets a second chance when all others are done."""
        record = run.record
        ended = await anyio.to_thread.run_sync(record.ended)
        failed = [i for i, how in ended.items() if how.state in (FAILED, PARTIAL) and i in kept]
        if not failed or record.get("retried"):
            return False
        record.put(retried=True)
        return True


__all__ = ["Walk", "WalkPlan"]
