"""A previewed plan as a JSON file: to be looked at by somebody else, and applied later from the command line.

A seal over the whole content shows any change: by an editor, by a mail program, by half a download. Everybody can make
one, so it proves nothing; the signature, made with the key of the store's vault, says that this store wrote the file.
A file without a valid one is foreign. Whatever a file says, it is a list of ids: applying it reads names, access and
dangers from the site, and refuses a file that says something else.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, astuple, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spokekit._home import write_private
from spokekit.confluence.wire import sendable
from spokekit.errors import NotFound, PlanError
from spokekit.groups.plan import ALREADY, PLANNED, REFUSED, Plan, Row
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
        "ground": [
            {
                "group_id": footing.group_id,
                "name": footing.name,
                "managed_by": footing.managed_by,
                "registered": footing.registered,
                "access": footing.access,
                "members": sorted(footing.members),
            }
            for footing in plan.ground.values()
        ],
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
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        raise changed from None
    return preview if ours else replace(preview, foreign=True)


def _preview(content: dict[str, Any]) -> Preview:
    plan = Plan(
        mode=_one_of(content["mode"], "add", "remove", "sync", "undo"),
        only=_one_of(content["only"], "", "add-only", "remove-only"),
        rows=tuple(map(_row, _list(content["rows"]))),
        ground=dict(map(_footing, _list(content["ground"]))),
        place=Place(**{name: _text(value) for name, value in content["place"].items()}),
        by=_text(content["by"]),
        made_at=_moment(content["made_at"]),
        notes=_texts(content["notes"]),
        undo_of=_text(content["undo_of"]),
    )
    said = content["preview"]
    cost = Cost(_whole(said["cost"]["points"]), _number(said["cost"]["seconds"]), _left(said["cost"]["left"]))
    seats = Seats(**{name: _whole(value) for name, value in said["seats"].items()})
    return Preview(plan, seats, cost, _texts(said["dangers"]), _texts(said["grave"]))


def _one_of(value: Any, *allowed: str) -> Any:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError("not one of those allowed")
    return value


def _list(value: Any) -> list[Any]:
    # A mapping or a text can be gone through like a list, and would be taken for one.
    if not isinstance(value, list):
        raise TypeError("a list is expected")
    return value


def _row(cells: Any) -> Row:
    row = Row(*_texts(cells))
    # What is neither of the two would be carried out as a removal.
    _one_of(row.action, "add", "remove")
    _one_of(row.status, PLANNED, ALREADY, REFUSED)
    if row.status == PLANNED and not (row.group_id.strip() and row.account_id.strip()):
        raise ValueError("a change of nothing, or of nobody")
    return row


def _footing(item: dict[str, Any]) -> tuple[str, Footing]:
    if not isinstance(item["registered"], bool):
        raise TypeError("yes or no is expected")
    footing = Footing(
        _text(item["group_id"]),
        _text(item["name"]),
        _text(item["managed_by"]),
        item["registered"],
        frozenset(_texts(item["members"])),
        _text(item["access"]),
    )
    return footing.group_id, footing


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(_text(text))
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone")
    moment = moment.astimezone(UTC)
    if moment.year not in _YEARS:
        raise ValueError("a time that no clock shows")
    return moment


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number is expected")
    if not 0 <= value <= _MOST_NUMBER or not math.isfinite(value):
        raise ValueError("not a number of this world")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError("a whole number is expected")
    _number(value)
    return value


def _left(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is expected")
    # Half of a surrogate pair is no character of any encoding, and no database takes a null character.
    if "\x00" in value or not sendable(value):
        raise ValueError("not a text that can be kept or sent")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(_text, _list(values)))


def _canonical(content: dict[str, Any]) -> bytes:
    plain = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return plain.encode("utf-8", "surrogatepass")


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()
