"""What passes between the server's front and its handlers: an answer, a call, and the record of an exchange."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

JSON = "application/json"
HTML = "text/html; charset=utf-8"


@dataclass(slots=True)
class Answer:
    """What a handler answers; ``points`` is what the answer costs from the hourly quota of the app."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: list[tuple[str, str]] = field(default_factory=list)
    points: int = 1
    delivery: str = ""
    """How the answer travels: whole, or ``reset``, ``cut``, ``hang-up``, ``drip`` or ``stall``."""
    seconds: float = 0.0
    broken: str = ""
    """The fault that damaged the answer."""


def encoded(text: str) -> bytes:
    """Return a text as UTF-8."""
    # JSON lets a name hold half a surrogate pair, UTF-8 does not: it goes out as the escape that JSON has for it.
    return text.encode("utf-8", "backslashreplace")


def json_text(value: str) -> str:
    """Return a text as JSON."""
    return json.dumps(value, ensure_ascii=False)


def json_answer(status: int, value: Any, *, points: int = 1) -> Answer:
    """Answer with a value as JSON."""
    return Answer(status, encoded(json.dumps(value, ensure_ascii=False, separators=(",", ":"))), points=points)


def read_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a body is, or None."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def read_form(body: bytes) -> list[tuple[str, str]]:
    """Return the fields of a body that a form made."""
    return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)


def v1_error(status: int, message: str, *, kind: str = "") -> Answer:
    """Answer with an error body as REST v1 writes it; ``kind`` is the Java exception that it names."""
    prefix = f"com.atlassian.confluence.api.service.exceptions.{kind}: " if kind else ""
    data = {"authorized": status != 403, "valid": True, "errors": [], "successful": status == 400}
    return json_answer(status, {"statusCode": status, "data": data, "message": prefix + message})


def v2_error(status: int, code: str, title: str, detail: str | None = None) -> Answer:
    """Answer with an error body as REST v2 writes it."""
    return json_answer(status, {"errors": [{"status": status, "code": code, "title": title, "detail": detail}]})


def gateway_error(status: int, message: str) -> Answer:
    """Answer with an error body of the gateway in front of Confluence."""
    return json_answer(status, {"code": status, "message": message})


def oauth_error(status: int, error: str, description: str) -> Answer:
    """Answer with an error body of the token endpoint."""
    return json_answer(status, {"error": error, "error_description": description})


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request that the practice site answered; never holds a token, a code, a secret or a state.

    ``name`` is the operation (``groups``, ``members``, ``refresh`` ...), ``points`` what it cost, ``account_id``
    who asked, ``at`` when, by the site's own clock,
    and ``broken`` the fault that damaged the answer.
    """

    method: str
    path: str
    query: str
    status: int
    points: int
    name: str = ""
    account_id: str = ""
    at: float = 0.0
    broken: str = ""


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """One membership write that came over the API, refused or done.

    ``name`` is ``add`` or ``remove``, ``account_id`` who was to be put in or taken out, ``by`` whose token it was,
    ``group`` the group's name, ``changed`` whether somebody is in or out of it since, and ``request`` the place of its
    request among the site's.
    """

    at: float
    name: str
    cloud_id: str
    group_id: str
    group: str
    account_id: str
    by: str
    client_id: str
    status: int
    changed: bool
    request: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer in full, for an observer such as a contract test; handed on, never kept."""

    method: str
    path: str
    query: str
    request_headers: Mapping[str, str]
    request_body: bytes
    status: int
    headers: Mapping[str, str]
    body: bytes
    name: str
    broken: str = ""
    """The fault that damaged this answer, or empty: a contract does not bind damaged answers."""


@dataclass(slots=True)
class Query:
    """Query parameters of a request, with the conversions that the endpoints need."""

    pairs: Sequence[tuple[str, str]]

    def first(self, name: str, default: str = "") -> str:
        """Return the first value of a parameter, or the default."""
        return next((value for key, value in self.pairs if key == name), default)

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter, also those written with commas in one."""
        return [part for key, value in self.pairs if key == name for part in value.split(",") if part]

    def has(self, name: str) -> bool:
        """Whether the parameter was sent at all."""
        return any(key == name for key, _ in self.pairs)

    def number(self, name: str, default: int) -> int | None:
        """Return a parameter as a whole number, the default when it is missing, None when it is no number."""
        text = self.first(name)
        if not text:
            return default
        return int(text) if text.isascii() and text.removeprefix("-").isdigit() and len(text) < 12 else None

    def flag(self, name: str) -> bool:
        """Whether a parameter says true."""
        return self.first(name).lower() == "true"
