"""Things that go wrong on the way: a menu that can be ordered from at start and while the site runs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from spokekit.errors import InputError
from spokekit.practice.exchange import HTML, Answer, encoded, read_object
from spokekit.practice.limits import Limits


def _busy(status: int, seconds: int | None) -> Callable[[Fault, Limits], Answer]:
    def make(_: Fault, limits: Limits) -> Answer:
        if status == 429 and seconds is None:
            answer = limits.too_many(None, "")
            answer.headers.append(limits.reset_header())
            return answer
        if status == 429:
            return limits.too_many(seconds, "confluence-burst-based")
        answer = Answer(503, b"upstream connect error", "text/plain")
        if seconds is not None:
            answer.headers.append(("Retry-After", limits.retry_after(seconds)))
        return answer

    return make


def _html(status: int) -> Callable[[Fault, Limits], Answer]:
    text = "<!doctype html><html><head><title>Sorry</title></head><body><h1>We'll be back</h1></body></html>"
    return lambda *_: Answer(status, text.encode(), HTML)


def _json(status: int, value: Any) -> Callable[[Fault, Limits], Answer]:
    return lambda *_: Answer(status, json.dumps(value).encode())


def _elsewhere(fault: Fault, _: Limits) -> Answer:
    return Answer(302, b"", "text/plain", [("location", f"{fault.value}/elsewhere")])


def _changed(change: Callable[[Fault, Any], None]) -> Callable[[Fault, bytes], bytes]:
    def apply(fault: Fault, body: bytes) -> bytes:
        value = read_object(body)
        if value is None:
            return body  # another fault has made it unreadable already
        change(fault, value)
        return encoded(json.dumps(value, ensure_ascii=False))

    return apply


def _foreign(fault: Fault, value: Any) -> None:
    links = value.get("_links") or {}
    if "next" in links:
        links["next"] = f"{fault.value}{links['next']}"


def _set_null(_: Fault, value: Any) -> None:
    for row in value.get("results", [value]):
        person = row.get("user", row) if isinstance(row, dict) else {}
        if "accountId" in person:
            person.update(displayName=None, email=None, timeZone=None)


def _number_ids(_: Fault, value: Any) -> None:
    for number, row in enumerate(value["results"]):
        for key in ("id", "accountId"):
            if key in row:
                row[key] = number


def _drop_id(_: Fault, value: Any) -> None:
    rows = value["results"]
    for row in rows[:1] if isinstance(rows, list) else ():
        row.pop("id", None)
        row.pop("accountId", None)


def _rows(body: bytes) -> int:
    rows = (read_object(body) or {}).get("results")  # another fault may have made it unreadable already
    return len(rows) if isinstance(rows, list) else 0


def _abroad(link: str, fault: Fault) -> str:
    return link.replace("</wiki", f"<{fault.value}/wiki", 1)


@dataclass(frozen=True)
class Kind:
    """All there is to know about one fault.

    Parameters
    ----------
    words:
        What it does.
    every:
        Of the requests that it concerns, every so many-th is hit, unless the order says otherwise.
    value, unit:
        What it takes instead of N, such as 7 rows.
    of:
        What it concerns: ``calls`` of Confluence, ``writes`` and ``lists`` among them, calls of the ``token`` endpoint,
        or what ``redeems`` a code or a refresh token there.
    instead:
        Makes the answer that is given in place of doing the call.
    delivery:
        How the answer is delivered.
    heavy:
        The status of a page with more rows than `value`.
    spoil:
        Damages the body.
    """

    words: str
    every: int = 5
    value: Any = None
    unit: str = ""
    of: str = "calls"
    instead: Callable[[Fault, Limits], Answer] | None = None
    delivery: str = ""
    heavy: int = 0
    spoil: Callable[[Fault, bytes], bytes] | None = None

    @property
    def told(self) -> str:
        """The words, with the default of what can be ordered."""
        if self.unit:
            return f"{self.words} ({self.unit}: {self.value})".replace(".0)", ")")
        return f"{self.words} (N: {self.every})" if "N-th" in self.words else self.words

    def concerns(self, operation: str, confluence: bool) -> bool:
        """Say whether it is a fault of such a call."""
        return confluence is (self.of not in ("token", "redeems")) and operation in _CALLS.get(self.of, (operation,))


_CALLS = {
    "writes": ("add", "remove"),
    "token": ("exchange", "refresh", "service-token", "token"),
    "redeems": ("exchange", "refresh"),
}
_ELSEWHERE = "http://127.0.0.2:9"
_UNAUTHORIZED = {"code": 401, "message": "Unauthorized"}
# ``N`` counts the requests that the fault concerns: every N-th is hit. Faults of paging strike in `api.paging`.
KINDS: dict[str, Kind] = {
    "429": Kind("every N-th call is refused with 429 and Retry-After: 1", instead=_busy(429, 1)),
    "429-no-retry-after": Kind(
        "every N-th call is refused by the gateway: 429 with X-RateLimit-Reset only", instead=_busy(429, None)
    ),
    "503": Kind("every N-th call is refused with 503 and Retry-After: 1", instead=_busy(503, 1)),
    "503-no-retry-after": Kind("every N-th call is refused with 503 and no word how long", instead=_busy(503, None)),
    "reset": Kind("every N-th answer is cut off, in mid-body if it has one, by a connection reset", delivery="reset"),
    "cut": Kind("every N-th answer ends with an orderly close, in mid-body if it has one", delivery="cut"),
    "hang-up": Kind(
        "every N-th call gets no answer at all: the connection is closed",
        instead=lambda *_: Answer(500, delivery="hang-up"),
    ),
    "slow-drip": Kind("every body comes in eight pieces over so many seconds", 1, 1.0, "seconds", delivery="drip"),
    "stall": Kind("every answer waits so many seconds first", 1, 5.0, "seconds", delivery="stall"),
    "short-pages": Kind("a page never holds more than so many rows, whatever is asked; `next` is right", 1, 7, "rows"),
    "foreign-next": Kind(
        "`next` is an absolute address on another host", 1, _ELSEWHERE, "address", spoil=_changed(_foreign)
    ),
    "duplicates": Kind(
        "from the second page on, one row more stands before the list: a row comes twice (lists by position)", 1
    ),
    "vanishing": Kind(
        "from the second page on, the first row is gone: a row is never shown (lists paged by position)", 1
    ),
    "empty-page": Kind("every N-th page is empty and still has a `next`", 3),
    "too-heavy": Kind(
        "a page with more rows than so many ends in 504, however often it is asked for", 1, 60, "rows", heavy=504
    ),
    "too-heavy-500": Kind(
        "a page with more rows than so many ends in 500, however often it is asked for", 1, 60, "rows", heavy=500
    ),
    "byte-order-mark": Kind(
        "every body begins with the byte order mark of UTF-8", 1, spoil=lambda _, body: b"\xef\xbb\xbf" + body
    ),
    "401-after": Kind(
        "after so many calls the access tokens given until then are dead; a refresh helps",
        1,
        10,
        "calls",
        instead=_json(401, _UNAUTHORIZED),
    ),
    "401-always": Kind("every call is refused with 401, whatever the token", 1, instead=_json(401, _UNAUTHORIZED)),
    "licence-full": Kind("nobody more can be added to a group that gives access: 500", 1),
    "html-502": Kind("every N-th answer is a gateway's HTML error page with 502", instead=_html(502)),
    "html-200": Kind("every N-th answer is an HTML page with 200, as from a captive portal", instead=_html(200)),
    "truncated-json": Kind(
        "every N-th body is JSON cut in half, complete as HTTP", spoil=lambda _, body: body[: len(body) // 2]
    ),
    "not-utf8": Kind(
        "every N-th body has bytes that are not UTF-8", spoil=lambda _, body: body.replace(b'"', b'"\xff\xfe', 3)
    ),
    "wrong-types": Kind(
        "every N-th list answer has an object where the list should be",
        of="lists",
        spoil=_changed(lambda _, value: value.update(results={"0": value["results"]})),
    ),
    "wrong-ids": Kind(
        "every N-th list answer has numbers where ids should be", of="lists", spoil=_changed(_number_ids)
    ),
    "null-fields": Kind(
        "fields of people that may be null are null: name, e-mail address, time zone", 1, spoil=_changed(_set_null)
    ),
    "null-links": Kind(
        "every N-th list answer has null instead of its links",
        of="lists",
        spoil=_changed(lambda _, value: value.update(_links=None)),
    ),
    "missing-ids": Kind("every N-th list answer has a row without its id", of="lists", spoil=_changed(_drop_id)),
    "missing-results": Kind(
        "every N-th list answer has no list", of="lists", spoil=_changed(lambda _, value: value.pop("results"))
    ),
    "deep-json": Kind("every N-th body is nested 100,000 deep", spoil=lambda *_: b"[" * 100_000 + b"]" * 100_000),
    "huge": Kind(
        "every N-th body is so many MB long",
        value=80,
        unit="MB",
        spoil=lambda fault, _: b'{"results":["' + b"x" * (int(fault.value) * 1_000_000) + b'"]}',
    ),
    "redirect": Kind(
        "every N-th call is sent to another host with 302", value=_ELSEWHERE, unit="address", instead=_elsewhere
    ),
    "write-lost": Kind(
        "every N-th membership write is done, and its answer never comes", 2, of="writes", delivery="hang-up"
    ),
    "write-500": Kind(
        "every N-th membership write fails with 500 and is not done",
        2,
        of="writes",
        instead=_json(500, {"statusCode": 500, "message": "Internal server error"}),
    ),
    "token-502": Kind(
        "every N-th call of the token endpoint gets an HTML page with 502", 1, of="token", instead=_html(502)
    ),
    "token-429": Kind(
        "every N-th call of the token endpoint gets 429 with Retry-After: 1", 1, of="token", instead=_busy(429, 1)
    ),
    "token-lost": Kind(
        "every N-th call of the token endpoint is done, and its answer never comes",
        1,
        of="redeems",
        delivery="hang-up",
    ),
    "token-empty": Kind("every N-th answer of the token endpoint is 200 and {}", 1, of="token", instead=_json(200, {})),
    "token-odd-error": Kind(
        "every N-th answer of the token endpoint is a 401 whose JSON has no `error`",
        1,
        of="token",
        instead=_json(401, _UNAUTHORIZED),
    ),
}
#: Name to what it does.
FAULTS: dict[str, str] = {name: kind.told for name, kind in KINDS.items()}

_TEXT = re.compile(r"(?P<name>[a-z0-9-]+?)(?::(?P<value>[^@]+?))?(?:x(?P<times>\d{1,9}))?(?:@(?P<on>[\w-]+))?")


@dataclass
class Fault:
    """One fault at work.

    Parameters
    ----------
    name:
        From the menu `FAULTS`.
    value:
        Seconds, rows, calls, MB or an address, where the fault takes one.
    every:
        Of the requests that it concerns, every so many-th is hit.
    times:
        How often it strikes at most; None for always.
    on:
        Only requests of this operation (``members``, ``groups`` ...), or all when empty.
    """

    name: str
    value: Any = None
    every: int = 0
    times: int | None = None
    on: str = ""
    seen: int = field(default=0, compare=False)
    struck: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise InputError(
                f"There is no fault {self.name!r} on the menu.", field="fault", hint=f"Choose from {', '.join(FAULTS)}."
            )
        self.every = self.every or self.kind.every
        if self.value is None:
            self.value = self.kind.value
        if isinstance(self.value, str) and not (self.value.isascii() and self.value.isprintable()):
            # It is written into a header.
            raise InputError(f"The fault {self.name} takes an address, not {self.value!r}.", field="fault")
        if isinstance(self.value, float) and not 0 <= self.value < math.inf:
            raise InputError(f"The fault {self.name} takes a number, not {self.value!r}.", field="fault")

    @property
    def kind(self) -> Kind:
        """What is known about it."""
        return KINDS[self.name]

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``NAME[:ARGUMENT][xTIMES][@OPERATION]``; the argument is what the menu says.

        Raises `InputError`.
        """
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise InputError(
                f"{text!r} is no fault.", field="fault", hint="Write NAME, NAME:ARGUMENT or NAME:5x2@members."
            )
        name, value, times = found["name"], found["value"], int(found["times"]) if found["times"] else None
        default = KINDS[name].value if name in KINDS else None
        if value is None or isinstance(default, str):
            return cls(name, value, times=times, on=found["on"] or "")
        try:
            if default is None:
                return cls(name, every=max(1, int(value)), times=times, on=found["on"] or "")
            return cls(name, type(default)(value), times=times, on=found["on"] or "")
        except ValueError:
            raise InputError(f"The fault {name} takes a number, not {value!r}.", field="fault") from None

    def strikes(self, operation: str) -> bool:
        """Count a request that the fault concerns, and say whether it is hit."""
        if self.on and self.on != operation:
            return False
        if self.times is not None and self.struck >= self.times:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.struck += 1
        return True


class Faults:
    """The faults at work on a practice site; add and clear them at any time.

    ``site.faults.add("429:3", "reset:10x2@members")`` refuses every third call, and cuts every tenth page of members
    off, twice at most. The same goes over HTTP: ``POST /practice/faults`` with ``{"clear": true, "add": [...]}``.
    """

    def __init__(self, texts: Iterable[str | Fault] = (), operations: Collection[str] = ()) -> None:
        self.active: list[Fault] = []
        self._operations = operations
        self.add(*texts)

    def add(self, *faults: str | Fault) -> None:
        """Add faults, as `Fault` or as text for `Fault.parse`.

        Raises `InputError` when the menu lacks one, or the site has no operation of the name that one is meant for.
        """
        self.active += [self.checked(fault) for fault in faults]

    def checked(self, order: str | Fault) -> Fault:
        """Return a fault that this site can have; raises `InputError` as `add` does."""
        if not isinstance(order, str | Fault):
            raise InputError(f"{order!r} is no fault.", field="fault", hint="Write it as text, for example 429:3.")
        fault = Fault.parse(order) if isinstance(order, str) else order
        # A fault on a misspelt operation would never strike, and a test with it could not fail.
        if fault.on and self._operations and fault.on not in self._operations:
            raise InputError(
                f"The practice site has no operation {fault.on!r}.",
                field="fault",
                hint=f"Choose from {', '.join(sorted(self._operations))}.",
            )
        return fault

    def clear(self, *names: str) -> None:
        """Remove the faults with these names, or all."""
        self.active = [fault for fault in self.active if names and fault.name not in names]

    def __contains__(self, name: str) -> bool:
        return any(fault.name == name for fault in self.active)

    def value(self, name: str, operation: str = "") -> Any:
        """Return the value of a fault at work on an operation, or None."""
        return next((f.value for f in self.active if f.name == name and f.on in ("", operation)), None)

    def hit(self, name: str, operation: str) -> bool:
        """Count a request for a fault of this name, and say whether it is hit."""
        # Every one of them counts the request, so no short cut.
        struck = [fault.strikes(operation) for fault in self.active if fault.name == name]
        return any(struck)

    # -- before a call is answered --------------------------------------------------------------------------

    def instead(
        self, operation: str, confluence: bool, limits: Limits, kill_tokens: Callable[[], None]
    ) -> Answer | None:
        """Return what is answered instead of doing the call, or None when it goes on."""
        for fault in self.active:
            make = fault.kind.instead
            if make is None or not fault.kind.concerns(operation, confluence):
                continue
            if fault.name == "401-after":
                fault.seen += 1
                if fault.seen == int(fault.value):
                    kill_tokens()
                continue
            if fault.strikes(operation):
                answer = make(fault, limits)
                answer.broken = fault.name
                answer.points = 0
                return answer
        return None

    # -- after a call is answered ---------------------------------------------------------------------------

    def spoil(self, operation: str, confluence: bool, answer: Answer) -> None:
        """Damage an answer, or set how it is delivered."""
        for fault in self.active:
            kind = fault.kind
            if not kind.concerns(operation, confluence):
                continue
            if kind.delivery:
                if fault.strikes(operation):
                    answer.delivery, answer.seconds, answer.broken = kind.delivery, float(fault.value or 0), fault.name
            elif answer.status != 200:
                continue
            elif kind.heavy:
                if _rows(answer.body) > int(fault.value) and fault.strikes(operation):
                    answer.status, answer.points, answer.broken = kind.heavy, 0, fault.name
                    answer.body, answer.content_type = b"upstream request timeout", "text/plain"
            elif kind.spoil and (kind.of != "lists" or b'"results"' in answer.body[:20]) and fault.strikes(operation):
                if fault.name == "foreign-next":
                    answer.headers = [(k, _abroad(v, fault) if k == "Link" else v) for k, v in answer.headers]
                answer.body, answer.broken = kind.spoil(fault, answer.body), fault.name
