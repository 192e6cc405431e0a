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
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from spokekit import _portal
from spokekit._words import comparable
from spokekit.audit.frames import CONFIRMED, FAILED, PARTIAL, WALKED, Frames, Site
from spokekit.audit.history.snapshot import Snapshot
from spokekit.audit.history.snapshots import Snapshots
from spokekit.audit.walk.assemble import assemble
from spokekit.audit.walk.beside import read_accounts, read_spaces
from spokekit.audit.walk.changed import AT_MOST, BUCKETS, Base, confirm_sizes
from spokekit.audit.walk.checkpoint import Checkpoint, Ended, Unfinished, begin_anew, unfinished
from spokekit.audit.walk.estimate import WalkPlan, plan
from spokekit.audit.walk.members import GroupReader
from spokekit.audit.walk.run import UnderWay
from spokekit.confluence.actions import AsyncSpoke
from spokekit.confluence.pull import STOPS
from spokekit.confluence.report import Cancel, ProgressCallback
from spokekit.errors import Conflict, InputError, SpokekitError, StoreError, TransportError

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
    changed:
        Read whole only the groups that are new, whose size differs from the last snapshot, or whose turn it is after
        `at_most` days; of the others only the size is confirmed, for 3 points a group. What a size cannot show, one who
        came while one left, stays unseen until the group's turn. Without an earlier snapshot all groups are read.
    at_most:
        Days after which a group is read whole again all the same, the oldest first, some of them with each walk.
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
        changed: bool = False,
        at_most: float = AT_MOST,
        folder: Path | None = None,
    ) -> None:
        if not 0 < at_most <= 3650:
            raise InputError(
                f"{at_most} days are not possible.", field="at_most", hint="Choose 1 day or more, such as 7 or 30."
            )
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
        self.changed, self.at_most = changed, at_most
        self._base: Base | None = None
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
                    base=self._base,
                    at_most=self.at_most,
                    scope=self.scope,
                )
            )

    async def _run(self, progress: ProgressCallback | None, cancel: Cancel | None) -> Snapshot:
        async with self._under_way(progress, cancel) as run:
            await self._list(run)
            if self._base is not None:
                await confirm_sizes(run, self._base)
            for _ in range(_ROUNDS):
                await self._walk_groups(run)
                if not await self._list_again(run):
                    break
            if self.with_spaces:
                await read_spaces(run)
            await read_accounts(run, self._base)
            frames = await anyio.to_thread.run_sync(assemble, run.record, self.site, self.scope, self._base)
            snapshot = await anyio.to_thread.run_sync(self._write, frames)
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
        asked: dict[str, Any] = {"groups": list(self.groups) if isinstance(self.groups, tuple) else self.groups}
        words = f"what changed in {self.scope}" if self.changed else self.scope
        if self.changed:
            asked["at_most"] = self.at_most
        about = {"scope": asked, "scope_words": words, "with_spaces": self.with_spaces}
        if kept is None:
            record.put(**about, started_at=datetime.now(UTC).isoformat())
        elif kept != asked or bool(record.get("with_spaces")) != self.with_spaces:
            started, theirs = record.get("started_at"), record.get("scope_words")
            if record.ended():
                record.close()
                raise Conflict(
                    f"A walk of {theirs} from {started[:16].replace('T', ' ')} UTC is not finished.",
                    hint="Continue it as it was, or start fresh.",
                )
            # Only the list of groups was paid for, and it serves any scope.
            record.put(**about, chosen=None, base=None)
        return record

    def _is_in_snapshot(self, record: Checkpoint) -> bool:
        """Tell whether the walk in `record` ended with the newest snapshot, and only the file outlived it."""
        started = record.get("started_at")
        if started is None or not self.snapshots.exists():
            return False
        return bool(self.snapshots.latest().completeness.get("started_at") == started)

    def _write(self, frames: Frames) -> Snapshot:
        if self._base is not None and self.snapshots.latest().at != self._base.number:
            raise StoreError(
                f"The snapshot {self._base.number}, which this walk goes on from, is no longer the newest one that can "
                "be used.",
                likely="Another program wrote a snapshot meanwhile, or files of it were damaged.",
                hint="Walk again: what is read anew will be little.",
            )
        return self.snapshots.write(frames)

    # -- groups --

    async def _go_on_from(self, record: Checkpoint) -> None:
        """Choose, for a walk of what changed, the snapshot that it goes on from, and which groups have their turn."""
        if not self.changed:
            return
        self._base = await anyio.to_thread.run_sync(Base.of, self.snapshots)
        about = record.get("base")
        number = self._base.number if self._base is not None else 0
        if about is None or about["snapshot"] != number or about["whole"] is None:
            now = datetime.now(UTC)
            whole, parts = [], []
            if self._base is not None:
                whole = self._base.due(record.get("chosen"), self.at_most, now)
                # Statuses of a walk of other groups may be older than it says.
                if self._base.snapshot.scope.get("groups") == self.scope:
                    parts = sorted(self._base.due_accounts(self.at_most, now))
                else:
                    parts = list(range(BUCKETS))
            record.put(base={"snapshot": number, "whole": whole, "parts": parts, "at": now.isoformat(), "unfilled": ""})
            if about is not None:
                # Sizes that were confirmed are those of another snapshot.
                record.forget_confirmed()

    async def _list(self, run: UnderWay) -> None:
        record = run.record
        if record.get("groups") is None:
            rows = await run.counted(await self.spoke.look_up_groups(progress=run.progress, cancel=run.cancel))
            record.put(groups=rows, listed_at=datetime.now(UTC).isoformat())
        if record.get("chosen") is None:
            groups = {row["group_id"]: row["name"] for row in record.get("groups")}
            chosen = await anyio.to_thread.run_sync(self._choose, groups)
            record.put(chosen=[i for i in chosen if i in groups], unknown=[i for i in chosen if i not in groups])
        await self._go_on_from(record)

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
        operation = run.operation("look_up_members_by_group_id", "groups", of=len(chosen), left=len(left))
        reader = GroupReader(self.gateway, operation, record, run.cancel)
        before = run.members

        async def one(group_id: str) -> None:
            kept = ended.get(group_id)
            await self._walk_group(run, reader, group_id, disturbed=kept is not None and kept.disturbed)
            run.members = before + reader.members
            operation.advance()

        await run.each(one, left, operation)

    async def _walk_group(self, run: UnderWay, reader: GroupReader, group_id: str, *, disturbed: bool) -> None:
        began = datetime.now(UTC)
        state, reason = WALKED, ""
        try:
            await reader.read(group_id)
        except SpokekitError as error:
            if isinstance(error, STOPS):
                raise
            state, reason = (PARTIAL if run.record.page_count(group_id) else FAILED), str(error)
            if isinstance(error, TransportError):
                reader.in_a_row += 1
                if reader.in_a_row >= 3 * self.gateway.in_flight:
                    raise
        else:
            reader.in_a_row = 0
        run.record.end(group_id, Ended(state, began, disturbed or group_id in reader.disturbed, reason))

    async def _list_again(self, run: UnderWay) -> bool:
        """Look at the list of groups again; True when there is more to walk: new groups, or failed ones."""
        record = run.record
        ended = await anyio.to_thread.run_sync(record.ended)
        first = {row["group_id"]: row for row in record.get("groups")}
        # After minutes the list is as it was, unless something could not be read.
        quick = self._base is not None and all(how.state in (WALKED, CONFIRMED) for how in ended.values())
        if not self.recheck or quick:
            return await self._failed_once(run, set(first))
        again = await run.counted(await self.spoke.look_up_groups(with_access=False, cancel=run.cancel))
        now = {row["group_id"]: row for row in again}
        appeared = [i for i in now if i not in first]
        changed = {
            "appeared": appeared,
            "gone": [i for i in first if i not in now],
            "renamed": [i for i in now if i in first and now[i]["name"] != first[i]["name"]],
        }
        seen = record.get("changed") or dict.fromkeys(changed, ())
        rows = [{**row, "access": first[i]["access"] if i in first else ""} for i, row in now.items()]
        if appeared:
            rows = await run.counted(await self.spoke.look_up_groups(cancel=run.cancel))
        chosen = record.get("chosen")
        more = appeared if self.groups == "all" else []
        kept = {row["group_id"] for row in rows}
        record.put(
            changed={kind: sorted({*seen[kind], *ids}) for kind, ids in changed.items()},
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
