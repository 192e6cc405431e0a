"""What a walk reads beside groups and members: the state of accounts, and on request spaces and their grants.

The rest of the walk is worth keeping without these, so what cannot be read is noted and ends nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import anyio.to_thread

from spokekit.audit.walk.changed import Base, unread
from spokekit.audit.walk.checkpoint import Checkpoint
from spokekit.audit.walk.run import UnderWay, plain_rows
from spokekit.confluence.operation import Operation
from spokekit.confluence.pull import STOPS
from spokekit.errors import Cancelled, SpokekitError

_ACCOUNTS = 250
_SPACES = 25


async def read_accounts(run: UnderWay, base: Base | None = None) -> None:
    """Status and type of all accounts, 250 a request; after `base` only of those that are new or have their turn."""
    record = run.record
    accounts = record.accounts()
    accounts += sorted(record.named_by_grants() - set(accounts))
    if base is not None:
        still = await anyio.to_thread.run_sync(base.carried, unread(record))
        accounts = base.to_look_up(dict.fromkeys([*accounts, *sorted(still)]), set(record.get("base")["parts"]))
        record.put(accounts_asked=accounts)
    left = _left(record, "accounts", accounts, _ACCOUNTS)
    operation = run.operation("look_up_users", "accounts", of=len(accounts), left=sum(map(len, left)))

    async def one(part: list[str]) -> None:
        rows = await run.counted(await run.spoke.look_up_users(part, partial="keep"))
        await anyio.to_thread.run_sync(record.keep, "accounts", _part_key(part), rows)
        operation.advance(len(part))

    await _optional(run, one, left, operation, "accounts", "The status of accounts")


async def read_spaces(run: UnderWay) -> None:
    """List all spaces, then read who may do what in each."""
    record = run.record
    operation = run.operation("look_up_spaces", "spaces")
    if not record.get("spaces_listed"):

        async def listing(_: int) -> None:
            number = 0
            frame = None
            async for frame in run.spoke.look_up_spaces(cancel=run.cancel):
                await anyio.to_thread.run_sync(record.keep, "spaces", f"{number:06d}", plain_rows(frame))
                operation.advance(len(frame))
                number += 1
            if frame is not None:
                # Each frame's report counts from the first one on.
                await run.counted(frame)
            record.put(spaces_listed=True)

        await _optional(run, listing, [0], operation, "spaces", "The list of spaces")
    spaces = [row["space_id"] for row in record.rows("spaces")]
    left = _left(record, "grants", spaces, _SPACES)
    grants = run.operation("look_up_space_permissions", "spaces", of=len(spaces), left=sum(map(len, left)))

    async def one(part: list[str]) -> None:
        frame = await run.spoke.look_up_space_permissions(part, partial="keep")
        rows = await run.counted(frame)
        report = frame.attrs.get("completeness", {})
        missing = [*report.get("failed", ()), *report.get("partial", ())]
        found = {"rows": rows, "missing": missing, "asked": part, "notes": list(report.get("notes", ()))}
        await anyio.to_thread.run_sync(record.keep, "grants", _part_key(part), found)
        grants.advance(len(part))

    await _optional(run, one, left, grants, "grants", "The grants of spaces")


async def _optional(
    run: UnderWay, one: Callable[[Any], Any], parts: list[Any], operation: Operation, kind: str, what: str
) -> None:
    record = run.record
    lost: list[str] = []

    async def guarded(part: Any) -> None:
        try:
            await one(part)
        except SpokekitError as error:
            if isinstance(error, Cancelled):
                raise
            lost.append(str(error))
            if isinstance(error, STOPS):
                raise

    try:
        await run.each(guarded, parts, operation)
    except STOPS as error:
        # A scope or permission that is missing here says nothing against the members that were read.
        if isinstance(error, Cancelled) or error.next_step not in ("consent", "ask_site_admin", "enable_scope"):
            raise
        operation.advance(0, force=True)
    notes = {key: note for key, note in (record.get("notes") or {}).items() if key != kind}
    if lost:
        notes[kind] = f"{what} could not be read: {lost[0]}"
    record.put(notes=notes)


def _left(record: Checkpoint, kind: str, things: list[str], most: int) -> list[list[str]]:
    """Return `things` in parts of so many, without those parts that are in the record."""
    kept = record.kept_keys(kind)
    parts = (things[i : i + most] for i in range(0, len(things), most))
    return [part for part in parts if _part_key(part) not in kept]


def _part_key(part: list[str]) -> str:
    # By all that is in it: when a walk goes on, others may have come among the accounts and spaces.
    return hashlib.sha256("\n".join(part).encode()).hexdigest()[:24]
