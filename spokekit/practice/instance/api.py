"""The Table API of the practice instance, with what a real one ignores, hides and refuses."""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from spokekit.practice.exchange import HTML, Answer, json_answer, read_form, read_object
from spokekit.practice.instance import rules
from spokekit.practice.instance.query import Query
from spokekit.practice.instance.tables import OWN, Column, Row, columns
from spokekit.practice.keys import same

if TYPE_CHECKING:
    from spokekit.practice.instance.server import PracticeInstance

_PATH = re.compile(r"/api/now(?:/(v1|v2))?/table/([A-Za-z0-9_]+)(?:/([0-9a-f]{32}))?")
_READ_ONLY = ("sys_dictionary", "sys_db_object")
_ASLEEP = (
    b"<!doctype html><html><head><title>Instance Hibernating page</title></head><body>"
    b"<h1>Your instance is hibernating</h1></body></html>"
)


def error(status: int, message: str, detail: str | None = None, **headers: str) -> Answer:
    """Return an error in the form of the Table API."""
    answer = json_answer(status, {"error": {"message": message, "detail": detail}, "status": "failure"})
    answer.headers += [(name.replace("_", "-"), value) for name, value in headers.items()]
    return answer


class TableApi:
    """What answers under ``/api/now`` and at ``/oauth_token.do``."""

    def __init__(self, instance: PracticeInstance) -> None:
        self.instance = instance
        self.tokens: dict[str, float] = {}

    # -- who asks ------------------------------------------------------------------------------------------------------

    def token(self, body: bytes) -> Answer:
        """Answer the token endpoint: client credentials, good for half an hour."""
        form = dict(read_form(body))
        if form.get("grant_type") != "client_credentials":
            return json_answer(401, {"error": "unsupported_grant_type", "error_description": None})
        one = self.instance
        if not (
            same(form.get("client_id", ""), one.client_id) and same(form.get("client_secret", ""), one.client_secret)
        ):
            return json_answer(401, {"error": "access_denied", "error_description": "access_denied"})
        made, seconds = secrets.token_urlsafe(32), one.switches.token_seconds
        self.tokens[made] = time.monotonic() + seconds
        said = {"access_token": made, "scope": "useraccount", "token_type": "Bearer", "expires_in": seconds}
        return json_answer(200, said)

    def _refused(self, headers: Mapping[str, str]) -> Answer | None:
        """Return the 401 of a request that is nobody's, or None."""
        one = self.instance
        kind, _, said = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.tokens.get(said, 0.0) > time.monotonic():
            return None
        if same(headers.get("x-sn-apikey", ""), one.api_key):
            return None
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get("JSESSIONID")
        except CookieError:
            cookie = None
        if cookie is not None and same(cookie.value, one.session):
            return None
        if kind.lower() == "basic" and not (one.switches.basic_restricted or "basic" in one.faults):
            try:
                name, _, password = base64.b64decode(said).decode().partition(":")
            except ValueError:
                name = password = ""
            if name == "admin" and same(password, one.password):
                return None
        return error(401, "User Not Authenticated", "Required to provide Auth information")

    # -- what is asked -------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request."""
        one = self.instance
        if "asleep" in one.faults:
            return Answer(200, _ASLEEP, HTML)
        if "down" in one.faults:
            return error(503, "Service unavailable")
        if "busy" in one.faults:
            return error(429, "Rate limit exceeded", Retry_After="30")
        if path == "/oauth_token.do" and method == "POST":
            return self.token(body)
        found = _PATH.fullmatch(path)
        if found is None:
            return error(400, "Requested URI does not represent any resource", path)
        refused = self._refused(headers)
        if refused is not None:
            return refused
        if "json" not in headers.get("accept", "") and "*/*" not in headers.get("accept", ""):
            return error(400, "Invalid Accept header")
        version, table, sys_id = found[1] or "v2", found[2], found[3] or ""
        if table not in OWN or table in one.switches.hidden_tables:
            return error(400, f"Invalid table {table}")
        if f"denied:{table}" in one.faults:
            return error(403, "User Not Authorized", "Failed API level ACL Validation")
        asked = dict(parse_qsl(query, keep_blank_values=True))
        if method == "GET":
            return self._one(table, sys_id, asked) if sys_id else self._list(version, table, path, asked)
        return self._write(method, table, sys_id, asked, body)

    def known(self, table: str) -> dict[str, Column]:
        """Return the columns that this instance has in a table."""
        hidden = self.instance.switches.hidden_columns
        return {name: column for name, column in columns(table).items() if f"{table}.{name}" not in hidden}

    def _visible(self, table: str) -> list[tuple[str, Row]]:
        rows = self.instance.data.list(table)
        switches = self.instance.switches
        if table == "sys_db_object":
            return [pair for pair in rows if pair[1]["name"] not in switches.hidden_tables]
        if table == "sys_dictionary":
            return [
                (name, row)
                for name, row in rows
                if row["name"] not in switches.hidden_tables
                and f"{row['name']}.{row['element']}" not in switches.hidden_columns
            ]
        return rows

    def _list(self, version: str, table: str, path: str, asked: dict[str, str]) -> Answer:
        known = self.known(table)
        text = asked.get("sysparm_query", "")
        if "sysparm_query" not in asked:
            text = "^".join(f"{name}={value}" for name, value in asked.items() if not name.startswith("sysparm_"))
        query = Query(text, known)
        rows = [pair for pair in self._visible(table) if query.holds(pair[1])]
        if query.invalid and self.instance.switches.invalid_query_returns_no_rows:
            rows = []
        for name, down in reversed(query.order or [("sys_id", False)]):
            rows.sort(key=lambda pair, by=name: pair[1].get(by, ""), reverse=down)  # type: ignore[misc]
        limit, offset = _number(asked.get("sysparm_limit"), 10_000), _number(asked.get("sysparm_offset"), 0)
        if "repeats" in self.instance.faults:
            offset = 0
        page = rows[offset : offset + limit]
        hidden = f"hidden:{table}" in self.instance.faults
        if not rows and version == "v1":
            return error(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
        answer = json_answer(200, {"result": [] if hidden else [self._shown(name, row, asked) for name, row in page]})
        answer.headers.append(("X-Total-Count", str(len(rows))))
        if asked.get("sysparm_suppress_pagination_header") != "true":
            answer.headers.append(("Link", self._links(path, asked, limit, offset, len(rows))))
        return answer

    def _links(self, path: str, asked: dict[str, str], limit: int, offset: int, total: int) -> str:
        places = {"first": 0, "last": max(0, (total - 1) // max(limit, 1) * limit)}
        if offset + limit < total:
            places["next"] = offset + limit
        if offset > 0:
            places["prev"] = max(0, offset - limit)
        base = self.instance.url.rstrip("/") + path

        def link(rel: str, at: int) -> str:
            rest = {**asked, "sysparm_limit": str(limit), "sysparm_offset": str(at)}
            return f'<{base}?{urlencode(rest)}>;rel="{rel}"'

        return ",".join(link(rel, at) for rel, at in places.items())

    def _one(self, table: str, sys_id: str, asked: dict[str, str]) -> Answer:
        found = next((pair for pair in self._visible(table) if pair[1]["sys_id"] == sys_id), None)
        if found is None or f"hidden:{table}" in self.instance.faults:
            return error(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
        return json_answer(200, {"result": self._shown(found[0], found[1], asked)})

    def _shown(self, table: str, row: Row, asked: dict[str, str]) -> dict[str, Any]:
        known = self.known(table)
        wanted = [name for name in asked.get("sysparm_fields", "").split(",") if name] or list(known)
        how, links = asked.get("sysparm_display_value", "false"), asked.get("sysparm_exclude_reference_link") != "true"
        made: dict[str, Any] = {}
        for name in wanted:
            if name not in known:
                continue
            column = known[name]
            value = "" if column.kind == "password2" else row.get(name, "")
            link = f"{self.instance.url}api/now/table/{column.reference}/{value}"
            shown = self.instance.data.display(column.reference, value) if column.reference and value else value
            if how == "all":
                made[name] = {"display_value": shown, "value": value}
                if column.reference and value and links:
                    made[name]["link"] = link
            elif column.reference and value and links:
                made[name] = {"display_value": shown, "link": link} if how == "true" else {"link": link, "value": value}
            else:
                made[name] = shown if how == "true" else value
        return made

    def _write(self, method: str, table: str, sys_id: str, asked: dict[str, str], body: bytes) -> Answer:
        one = self.instance
        if table in _READ_ONLY:
            return error(403, "Operation Failed", "ACL Exception")
        if method in ("PUT", "PATCH", "DELETE") and sys_id not in one.data.rows[table]:
            return error(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
        if method == "DELETE":
            del one.data.rows[table][sys_id]
            return Answer(204)
        said = read_object(body or b"{}")
        if said is None:
            return error(400, "Exception while reading request", "The payload is not valid JSON")
        known = self.known(table)
        values = {name: _text(value) for name, value in said.items() if name in known}
        try:
            row = rules.write(one.data, one.switches, table, values, sys_id)
        except rules.Refused as refused:
            return error(403, "Operation Failed", str(refused))
        answer = json_answer(200 if sys_id else 201, {"result": self._shown(table, row, asked)})
        if not sys_id:
            answer.headers.append(("Location", f"{one.url}api/now/table/{table}/{row['sys_id']}"))
        return answer


def _text(value: Any) -> str:
    return "true" if value is True else "false" if value is False else "" if value is None else str(value)


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else default
