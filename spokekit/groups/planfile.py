"""A previewed plan as a JSON file: to be looked at by somebody else, and applied later from the command line.

A seal over the whole content shows any change: by an editor, by a mail program, by half a download. It is no
signature. Whatever a file says, applying it judges every row again against the registry and the site.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, astuple
from datetime import datetime
from pathlib import Path
from typing import Any

from spokekit._home import write_private
from spokekit.errors import NotFound, PlanError
from spokekit.groups.plan import ALREADY, PLANNED, REFUSED, Plan, Row
from spokekit.groups.present import Footing, Place
from spokekit.groups.preview import Cost, Preview, Seats

FORMAT = "spokekit plan"
VERSION = 1


def save(preview: Preview, path: str | Path) -> Path:
    """Write `preview` to `path`, readable by its owner only; it holds names and account ids."""
    target = Path(path)
    write_private(target.absolute(), dumps(preview).encode())
    return target


def load(path: str | Path) -> Preview:
    """Read a plan file.

    Raises
    ------
    NotFound
        There is no such file.
    PlanError
        It is no plan file, was written by a newer version, or was changed after it was written.
    """
    source = Path(path)
    try:
        data = source.read_bytes()
    except FileNotFoundError:
        raise NotFound(
            f"There is no plan file {source}.", hint="Make one: spokekit members plan … --out FILE."
        ) from None
    except OSError as error:
        raise PlanError(f"{source} cannot be read: {error.strerror or error}.") from None
    return loads(data, source.name)


def dumps(preview: Preview) -> str:
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
                "members": sorted(footing.members),
            }
            for footing in plan.ground.values()
        ],
        "preview": {
            "seats": asdict(preview.seats),
            "cost": asdict(preview.cost),
            "dangers": list(preview.dangers),
        },
        "fingerprint": plan.fingerprint,
    }
    content["seal"] = _seal(content)
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def loads(data: bytes | str, name: str = "The file") -> Preview:
    """Read the text of a plan file; raises `PlanError` as `load` does."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise PlanError(
            f"{name} is not a plan file: it is not JSON, or it was cut short.", hint="Make the plan again."
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise PlanError(f"{name} is not a plan file.", hint="Make one: spokekit members plan … --out FILE.")
    if content.get("version") != VERSION:
        raise PlanError(
            f"{name} was written by another version of spokekit (format {content.get('version')}).",
            hint="Make the plan again with this version.",
        )
    changed = PlanError(
        f"{name} was changed after it was written.",
        likely="Somebody edited it by hand, or a program rewrote it.",
        hint="A plan is never edited: change the list and make the plan again.",
    )
    if content.pop("seal", None) != _seal(content):
        raise changed
    try:
        preview = _preview(content)
        told = content["fingerprint"]
        if preview.fingerprint != told:
            raise changed
    except (KeyError, TypeError, ValueError, AttributeError):
        raise changed from None
    return preview


def _preview(content: dict[str, Any]) -> Preview:
    plan = Plan(
        mode=_one_of(content["mode"], "add", "remove", "sync", "undo"),
        only=_one_of(content["only"], "", "add-only", "remove-only"),
        rows=tuple(map(_row, content["rows"])),
        ground={
            item["group_id"]: Footing(
                _text(item["group_id"]),
                _text(item["name"]),
                _text(item["managed_by"]),
                bool(item["registered"]),
                frozenset(map(_text, item["members"])),
            )
            for item in content["ground"]
        },
        place=Place(**{name: _text(value) for name, value in content["place"].items()}),
        by=_text(content["by"]),
        made_at=_moment(content["made_at"]),
        notes=tuple(map(_text, content["notes"])),
        undo_of=_text(content["undo_of"]),
    )
    said = content["preview"]
    cost = Cost(**{name: _number(value) for name, value in said["cost"].items()})
    seats = Seats(**{name: _number(value) for name, value in said["seats"].items()})
    return Preview(plan, seats, cost, tuple(map(_text, said["dangers"])))


def _one_of(value: Any, *allowed: str) -> Any:
    if value not in allowed:
        raise ValueError("not one of those allowed")
    return value


def _row(cells: list[Any]) -> Row:
    row = Row(*map(_text, cells))
    # What is neither of the two would be carried out as a removal.
    _one_of(row.action, "add", "remove")
    _one_of(row.status, PLANNED, ALREADY, REFUSED)
    return row


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(_text(text))
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone")
    return moment


def _number(value: Any) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError("a number is expected")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is expected")
    return value


def _seal(content: dict[str, Any]) -> str:
    plain = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
