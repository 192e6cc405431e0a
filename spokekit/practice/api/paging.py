"""One page of a list: what is shown, where it goes on, and what a fault makes of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from spokekit.practice.exchange import Answer, Query, encoded, json_answer, read_object, v1_error, v2_error
from spokekit.practice.faults import Faults
from spokekit.practice.switches import Switches

if TYPE_CHECKING:
    from spokekit.practice.world import World

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """One request to Confluence, signed in and with its scopes checked."""

    world: World
    switches: Switches
    account_row: int
    query: Query
    path: dict[str, str]
    body: bytes
    faults: Faults
    name: str

    @property
    def base(self) -> str:
        """Address of the site's wiki, as ``_links.base`` has it."""
        return f"https://{self.world.site_host}/wiki"

    def json_body(self) -> dict[str, Any]:
        """Return the body's JSON object; an empty one when it is none."""
        return read_object(self.body) or {}


def window(call: Call, rows: Any, start: int, count: int, *, cursor: bool = False) -> tuple[list[Any], int, int]:
    """Return the rows to show, where the next page begins, and how many rows there are.

    A list with a ``cursor`` does not move under who reads it, unless the cursor is but a position (`Switches`).
    """
    faults, name = call.faults, call.name
    most = faults.value("short-pages", name)
    if most is not None:
        count = min(count, max(1, int(most)))
    if start > 0 and (not cursor or call.switches.cursor_marks == "position"):
        if faults.hit("duplicates", name):
            rows = [*rows[:1], *rows]
        if faults.hit("vanishing", name):
            rows = rows[1:]
    shown = list(rows[start : start + count])
    if faults.hit("empty-page", name):
        return [], start, len(rows)
    return shown, start + len(shown), len(rows)


# -- v1: start and limit ------------------------------------------------------------------------------------


def start_and_limit(
    call: Call, *, over: str = "refuse", default: int = 0, cap: int = 0
) -> tuple[int, int, int] | Answer:
    """Return start, how many rows to give, and the limit that was asked for; or the error answer."""
    cap = cap or call.switches.page_cap
    start, limit = call.query.number("start", 0), call.query.number("limit", default or cap)
    if start is None or limit is None or start < 0 or limit < 1:
        return v1_error(
            400, "start and limit have to be whole numbers that are not negative.", kind="BadRequestException"
        )
    if limit > cap and over == "refuse":
        return v1_error(400, f"limit cannot exceed {cap}.", kind="BadRequestException")
    return start, min(limit, cap), limit


def v1_links(call: Call, path: str, start: int, ahead: int, limit: int, total: int, **more: str) -> str:
    """Return the ``_links`` of a page as JSON text: ``next`` only when more follows, and without ``/wiki``."""
    own = urlencode({**more, "limit": limit, "start": start})
    links = {"base": call.base, "context": "/wiki", "self": f"{call.base}{path}?{own}"}
    if ahead < total:
        links["next"] = f"{path}?" + urlencode({**more, "next": "true", "limit": limit, "start": ahead})
    return json.dumps(links)


def v1_page(
    results: list[str], start: int, limit: int, links: str, total: int | None, points: int, more: str = ""
) -> Answer:
    """Return a v1 page of rows that are JSON text already, with `more` before its links."""
    size = "" if total is None else f',"totalSize":{total}'
    rows = ",".join(results)
    text = f'{{"results":[{rows}],"start":{start},"limit":{limit},"size":{len(results)}{size}{more},"_links":{links}}}'
    return Answer(200, encoded(text), points=points)


# -- v2: opaque cursor --------------------------------------------------------------------------------------


def v2_page(call: Call, path: str, rows: Sequence[T], show: Callable[[T], Any], *, each: int = 1) -> Answer:
    """Return a v2 page with a cursor in ``_links.next`` and in the ``Link`` header; ``each`` is points a row."""
    limit = call.query.number("limit", 25)
    if limit is None or not 1 <= limit <= 250:
        return v2_error(400, "INVALID_REQUEST_PARAMETER", "limit has to be between 1 and 250.")
    start = read_cursor(call)
    if start is None:
        return v2_error(400, "INVALID_REQUEST_PARAMETER", "The cursor is not valid.")
    shown, ahead, total = window(call, rows, start, limit, cursor=True)
    links, headers = {"base": call.base}, []
    if ahead < total:
        kept = [(key, value) for key, value in call.query.pairs if key not in ("cursor", "limit")]
        query = urlencode([*kept, ("limit", limit), ("cursor", make_cursor(ahead, call.name))])
        links["next"] = f"/wiki/api/v2{path}?{query}"
        headers = [("Link", f'<{links["next"]}>; rel="next", <{call.base}>; rel="base"')]
    results = [show(row) for row in shown]
    answer = json_answer(200, {"results": results, "_links": links}, points=1 + each * len(shown))
    answer.headers += headers
    return answer


def make_cursor(start: int, name: str) -> str:
    """Return an opaque cursor for a place in a list."""
    return base64.urlsafe_b64encode(json.dumps([start, name]).encode()).decode()


def read_cursor(call: Call) -> int | None:
    """Return the place that the cursor of a call names, the beginning without one, or None for one of another list."""
    text = call.query.first("cursor")
    if not text:
        return 0
    try:
        start, made_for = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, TypeError, RecursionError):
        return None
    return start if made_for == call.name and isinstance(start, int) and start >= 0 else None
