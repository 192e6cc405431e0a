"""What happened on a practice site, in words: who asked what, what was refused, and what it cost."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING

from spokekit.practice.exchange import Answer, RequestRecord, WriteRecord, json_answer
from spokekit.practice.pages.account import links
from spokekit.practice.pages.consent import PRACTICE, page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spokekit.practice.server import PracticeSite

MOST_LINES = 200

_WORDS = {
    "authorize": "opened the consent page",
    "consent": "answered the consent page",
    "exchange": "exchanged a code for a token",
    "refresh": "renewed a token",
    "service-token": "asked for a token as a service account",
    "token": "asked the token endpoint for something else",
    "accessible-resources": "asked which sites the token reaches",
    "me": "asked who the token belongs to",
    "report-accounts": "reported whose personal data it keeps",
    "groups": "asked for the list of groups",
    "group": "asked for one group",
    "picker": "searched groups by name",
    "members": "asked who is in a group",
    "add": "put somebody into a group",
    "remove": "took somebody out of a group",
    "create-group": "created a group",
    "delete-group": "deleted a group",
    "user": "asked for one person",
    "current": "asked for the signed-in person",
    "bulk": "asked for people",
    "users-bulk": "asked for people",
    "memberof": "asked which groups a person is in",
    "search": "searched content",
    "search-users": "searched people",
    "spaces": "asked for the list of spaces",
    "space-permissions": "asked who may do what in a space",
    "role-assignments": "asked who has which role in a space",
    "pages": "asked for pages",
    "console": "used the developer console",
    "connected-apps": "used the connected apps",
}
_WHY = {400: "not possible", 401: "not signed in, or a scope is missing", 403: "not allowed", 404: "not found"}
_WHY |= {429: "too many requests", 500: "the site failed", 502: "the site failed", 503: "busy", 504: "too slow"}


@dataclass(frozen=True)
class Line:
    """One or several requests of one kind that came one after the other.

    ``at`` is when the first came (POSIX seconds by the site's clock), ``who`` the name of whose token it was or empty,
    ``words`` what was asked, ``outcome`` how it was answered, ``points`` what all cost, and ``count`` how many.
    """

    at: float
    who: str
    words: str
    outcome: str
    points: int
    count: int = 1


def lines(site: PracticeSite) -> list[Line]:
    """Return what happened, oldest first, with equal neighbours as one line."""
    writes = {write.request: write for write in site.written}
    found: list[Line] = []
    for number, record in enumerate(site.requests):
        if not record.name or record.name == "happened":
            continue
        who = site.world.find_person(record.account_id).display_name if record.account_id else ""
        line = Line(record.at, who, _asked(site, record, writes.get(number)), _outcome(record), record.points)
        last = found[-1] if found else None
        if last is not None and (last.who, last.words, last.outcome) == (line.who, line.words, line.outcome):
            found[-1] = Line(last.at, who, line.words, line.outcome, last.points + line.points, last.count + 1)
        else:
            found.append(line)
    return found


def _asked(site: PracticeSite, record: RequestRecord, write: WriteRecord | None) -> str:
    usual = _WORDS.get(record.name, f"asked for {record.name}")
    if write is None or not write.group:
        return usual
    row = site.worlds[write.cloud_id].user_row(write.account_id)
    whom = site.worlds[write.cloud_id].person(row).display_name if row is not None else "somebody unknown"
    return f"put {whom} into {write.group}" if record.name == "add" else f"took {whom} out of {write.group}"


def _outcome(record: RequestRecord) -> str:
    if record.broken:
        return f"damaged on order: {record.broken}"
    if record.status < 400:
        return "done"
    why = _WHY.get(record.status)
    return f"refused with {record.status}{f' ({why})' if why else ''}"


def answer_happened(site: PracticeSite) -> Answer:
    """Answer ``GET /practice/happened``: the lines as JSON."""
    return json_answer(200, {"lines": [asdict(line) for line in lines(site)[-MOST_LINES:]]}, points=0)


def happened_page(site: PracticeSite) -> Answer:
    """Show the lines, the newest first."""
    found = lines(site)
    shown = found[-MOST_LINES:][::-1]
    left_out = (
        f"<p class=soft>{len(found) - len(shown)} older lines are left out.</p>" if len(found) > len(shown) else ""
    )
    spent = sum(record.points for record in site.requests)
    asked = len([record for record in site.requests if record.name])
    head = "".join(f'<th scope="col">{words}</th>' for words in ("When", "Who", "What", "Answer", "Points"))
    table = (
        f'<div class="scroll" tabindex="0" role="region" aria-label="What happened"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{''.join(_rows(shown))}</tbody></table></div>"
        if shown
        else "<p>Nothing yet.</p>"
    )
    return page(
        "What happened",
        f"""{PRACTICE}{links("happened")}<h1>What happened on the practice site</h1>
<p>{asked:,} requests, {spent:,} points since the site began or was put back. The newest stands first; load the page
again for what came since.</p>{table}{left_out}""",
        wide=True,
    )


def _rows(shown: Iterable[Line]) -> Iterable[str]:
    for line in shown:
        at = dt.datetime.fromtimestamp(line.at).astimezone().strftime("%H:%M:%S")
        times = f" ({line.count:,} times)" if line.count > 1 else ""
        yield (
            f"<tr><td>{at}</td><td>{escape(line.who)}</td><td>{escape(line.words)}{times}</td>"
            f"<td>{escape(line.outcome)}</td><td class=number>{line.points:,}</td></tr>"
        )
