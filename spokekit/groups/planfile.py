"""A previewed plan as a JSON file: to be looked at by somebody else, and applied later from the command line.

A seal over the whole content shows any change: by an editor, by a mail program, by half a download. Everybody can make
one, so it proves nothing; the signature, made with the key of the store's vault, says that this store wrote the file.
A file without a valid one is foreign. Whatever a file says, it is a list of ids: applying it reads names, access and
dangers from the site, and refuses a file that says something else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, astuple, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from spokekit._home import write_private
from spokekit.confluence.wire import sendable
from spokekit.errors import NotFound, PlanError
from spokekit.groups.plan import PLANNED, Plan, Row
from spokekit.groups.preview import Cost, Preview, Seats
from spokekit.groups.site_state import Footing, Place

FORMAT = "spokekit plan"
VERSION = 2
MOST_BYTES = 256_000_000
"""Longer than any plan: 100,000 rows on groups of a million members take half of it."""

PURPOSE = "plan file"

Sign = Callable[[bytes], str]
Signed = Callable[[bytes, str], bool]

_MOST_NUMBER = 10**12
_YEARS = range(1970, 10_000)


def save(preview: Preview, path: str | Path, sign: Sign | None = None) -> Path:
    """Write `preview` to `path`, readable by its owner only; it holds names and account ids.

    Raises `PlanError` for a preview that was read from a foreign file: signed here, it would pass for ours.
    """
    if preview.foreign:
        raise PlanError(
            "A plan from a foreign file is not written again.",
            hint="Preview it anew, and write that.",
            next_step="preview_again",
        )
    target = Path(path)
    write_private(target.absolute(), dumps(preview, sign).encode())
    return target


def load(path: str | Path, signed: Signed | None = None) -> Preview:
    """Read a plan file; it is foreign unless `signed` says that the signature on it is good.

    Raises
    ------
    NotFound
        There is no such file.
    PlanError
        It is no plan file, was written by a newer version, or was changed after it was written.
    """
    source = Path(path)
    try:
        with source.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(
            f"There is no plan file {source}.", hint="Make one: spokekit members plan … --out FILE."
        ) from None
    except OSError as error:
        raise PlanError(f"{source} cannot be read: {error.strerror or error}.") from None
    if len(data) > MOST_BYTES:
        raise PlanError(f"{source} is longer than any plan: more than {MOST_BYTES:,} bytes.")
    return loads(data, source.name, signed)


def dumps(preview: Preview, sign: Sign | None = None) -> str:
    """Return the text of a plan file."""
    plan = preview.plan
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "place": asdict(plan.place),
        "mode": plan.mode,
        "only": plan.only,
        "undo_of": plan.undo_of,
        "by": plan.by,
        "made_at": plan.made_at.isoformat(),
        "notes": list(plan.notes),
        "rows": [list(astuple(row)) for row in plan.rows],
        "ground": [vars(footing) | {"members": sorted(footing.members)} for footing in plan.ground.values()],
        "preview": {
            "seats": asdict(preview.seats),
            "cost": asdict(preview.cost),
            "dangers": list(preview.dangers),
            "grave": list(preview.grave),
        },
        "fingerprint": plan.fingerprint,
    }
    if sign is not None:
        content["signature"] = sign(_canonical(content))
    content["seal"] = _seal(content)
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def loads(data: bytes | str, name: str = "The file", signed: Signed | None = None) -> Preview:
    """Read the text of a plan file; raises `PlanError` as `load` does."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise PlanError(
            f"{name} is not a plan file: it is not JSON, or it was cut short.", hint="Make the plan again."
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise PlanError(f"{name} is not a plan file.", hint="Make one: spokekit members plan … --out FILE.")
    version = content.get("version")
    if type(version) is not int or version != VERSION:
        told = f" (format {version})" if type(version) is int and 0 <= version < 1000 else ""
        raise PlanError(
            f"{name} was written by another version of spokekit{told}.",
            hint="Make the plan again with this version.",
        )
    changed = PlanError(
        f"{name} was changed after it was written.",
        likely="Somebody edited it by hand, or a program rewrote it.",
        hint="A plan is never edited: change the list and make the plan again.",
    )
    try:
        if content.pop("seal", None) != _seal(content):
            raise changed
        signature = content.pop("signature", "")
        preview = _preview(content)
        if preview.fingerprint != content["fingerprint"]:
            raise changed
        ours = signed is not None and isinstance(signature, str) and signed(_canonical(content), signature)
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError):
        raise changed from None
    return preview if ours else replace(preview, foreign=True)


class _Ground(msgspec.Struct):
    group_id: str
    name: str
    managed_by: str
    registered: bool
    members: frozenset[str]
    access: str


class _Said(msgspec.Struct):
    seats: Seats
    cost: Cost
    dangers: tuple[str, ...]
    grave: tuple[str, ...]


class _Content(msgspec.Struct):
    """What a plan file holds; what is neither add nor remove would be carried out as a removal."""

    place: Place
    mode: Literal["add", "remove", "sync", "undo"]
    only: Literal["", "add-only", "remove-only"]
    undo_of: str
    by: str
    made_at: Annotated[datetime, msgspec.Meta(tz=True)]
    notes: tuple[str, ...]
    rows: list[
        tuple[str, str, str, str, Literal["add", "remove"], str, Literal["planned", "already so", "refused"], str]
    ]
    ground: list[_Ground]
    preview: _Said


def _preview(content: dict[str, Any]) -> Preview:
    said = msgspec.convert(sane(content), _Content)
    made_at = said.made_at.astimezone(UTC)
    if made_at.year not in _YEARS:
        raise ValueError("a time that no clock shows")
    rows = tuple(Row(*cells) for cells in said.rows)
    if any(row.status == PLANNED and not (row.group_id.strip() and row.account_id.strip()) for row in rows):
        raise ValueError("a change of nothing, or of nobody")
    ground = {item.group_id: Footing(**msgspec.structs.asdict(item)) for item in said.ground}
    facts = msgspec.structs.asdict(said) | {"rows": rows, "ground": ground, "made_at": made_at}
    previewed: _Said = facts.pop("preview")
    return Preview(Plan(**facts), **msgspec.structs.asdict(previewed))


def sane(value: Any) -> Any:
    """Return `value` when all its texts can be kept and sent, and all its numbers are of this world."""
    if isinstance(value, str):
        # Half of a surrogate pair is no character of any encoding, and no database takes a null character.
        if "\x00" in value or not sendable(value):
            raise ValueError("not a text that can be kept or sent")
    elif isinstance(value, dict | list):
        for one in (*value, *value.values()) if isinstance(value, dict) else value:
            sane(one)
    elif isinstance(value, int | float) and not 0 <= value <= _MOST_NUMBER:
        raise ValueError("not a number of this world")
    return value


def _canonical(content: dict[str, Any]) -> bytes:
    plain = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return plain.encode("utf-8", "surrogatepass")


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()
