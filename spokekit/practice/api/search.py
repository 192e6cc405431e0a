"""CQL search of the practice site: enough of the language for titles, text, spaces and people."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from spokekit.practice.api.contents import Page, pages_of, remembered, visible_spaces
from spokekit.practice.api.paging import Call, make_cursor, read_cursor, start_and_limit, v1_links, window
from spokekit.practice.api.v1 import user_json
from spokekit.practice.exchange import Answer, encoded, json_answer, v1_error

_TOKEN = re.compile(r'\s*(?:(")((?:[^"\\]|\\.)*)"|(!=|!~|[=~(),])|([^\s"=~!(),]+))')
_USER_FIELDS = ("user", "user.fullname", "user.accountid", "user.userkey")
_CONTENT_FIELDS = (
    "type",
    "title",
    "text",
    "sitesearch",
    "space",
    "space.key",
    "space.title",
    "space.type",
    "id",
    "parent",
)


_ARCHIVED = ("includeArchivedSpaces", "excludeCurrentSpaces")
_DEEPEST = 100


class CqlError(ValueError):
    """The query is not CQL, or asks for a field that this endpoint does not have."""


Test = Callable[[dict[str, str]], bool]


@dataclass
class _Parser:
    """Recursive descent over AND, OR, NOT, parentheses, ``field op value`` and ``field in (...)``."""

    text: str
    fields: tuple[str, ...]
    tokens: list[tuple[str, bool]] = field(default_factory=list)
    place: int = 0
    depth: int = 0

    def parse(self) -> Test:
        position, text = 0, self.text.strip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise CqlError(text)
            quoted = found[1] is not None
            token = re.sub(r"\\(.)", r"\1", found[2]) if quoted else found[3] or found[4]
            self.tokens.append((token, quoted))
            position = found.end()
        test = self._either()
        if self._word() == "order":
            self.place = len(self.tokens)
        if self.place < len(self.tokens):
            raise CqlError(text)
        return test

    def _word(self) -> str:
        token, quoted = self.tokens[self.place] if self.place < len(self.tokens) else ("", False)
        return "" if quoted else token.lower()

    def _next(self) -> tuple[str, bool]:
        if self.place >= len(self.tokens):
            raise CqlError(self.text)
        self.place += 1
        return self.tokens[self.place - 1]

    def _either(self) -> Test:
        tests = [self._both()]
        while self._word() == "or":
            self.place += 1
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._word() == "and":
            self.place += 1
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise CqlError(self.text)
        try:
            return self._inner()
        finally:
            self.depth -= 1

    def _inner(self) -> Test:
        if self._word() == "not":
            self.place += 1
            inner = self._one()
            return lambda row: not inner(row)
        if self._word() == "(":
            self.place += 1
            inner = self._either()
            if self._next()[0] != ")":
                raise CqlError(self.text)
            return inner
        name, quoted = self._next()
        name = name.lower()
        if quoted or name not in self.fields:
            raise CqlError(self.text)
        operator = self._next()[0].lower()
        if operator == "not" and self._word() == "in":
            self.place += 1
            operator = "not in"
        if operator in ("in", "not in"):
            values = self._values()
            return lambda row: (row.get(name, "").lower() in values) == (operator == "in")
        if operator not in ("=", "!=", "~", "!~"):
            raise CqlError(self.text)
        value, quoted = self._next()
        if not quoted and value in ("(", ")", ",", "=", "~"):
            raise CqlError(self.text)
        return _test(name, operator, value.lower())

    def _values(self) -> set[str]:
        if self._next()[0] != "(":
            raise CqlError(self.text)
        values = {self._next()[0].lower()}
        while self._word() == ",":
            self.place += 1
            values.add(self._next()[0].lower())
        if self._next()[0] != ")":
            raise CqlError(self.text)
        return values


def _test(name: str, operator: str, value: str) -> Test:
    wanted = not operator.startswith("!")
    if operator.endswith("="):
        return lambda row: (row.get(name, "").lower() == value) == wanted
    words = [word.strip("*") for word in re.findall(r"[\w*]+", value)]

    def matches(row: dict[str, str]) -> bool:
        there = re.findall(r"\w+", row.get(name, "").lower())
        return all(any(one.startswith(word) for one in there) for word in words if word)

    return lambda row: matches(row) == wanted


def _parsed(call: Call, fields: tuple[str, ...]) -> Test | Answer:
    cql = call.query.first("cql")
    try:
        return _Parser(cql, fields).parse()
    except CqlError:
        return v1_error(400, f"Could not parse cql : {cql}", kind="BadRequestException")


def _row(page: Page) -> dict[str, str]:
    words = f"{page.title} {page.text}"
    return {
        "type": "page",
        "title": page.title,
        "text": words,
        "sitesearch": words,
        "space": page.space.key,
        "space.key": page.space.key,
        "space.title": page.space.name,
        "space.type": page.space.type,
        "id": str(page.page_id),
        "parent": str(page.parent_id),
    }


def search(call: Call) -> Answer:
    """GET /search: content by CQL; ``start`` is ignored, short pages are not the end, ``next`` forgets parameters."""
    test = _parsed(call, _CONTENT_FIELDS)
    if isinstance(test, Answer):
        return test
    limit = call.query.number("limit", 25)
    if limit is None or limit < 1:
        return v1_error(400, "limit has to be a whole number above 0.", kind="BadRequestException")
    limit = min(limit, 250)
    start = 0
    if call.query.first("cursor"):
        found = read_cursor(call.query.first("cursor"), "search")
        if found is None:
            return v1_error(400, "The cursor is not valid.", kind="BadRequestException")
        start = found
    statuses = {"archived"} if call.query.flag("includeArchivedSpaces") else set()
    statuses |= {"archived"} if call.query.flag("excludeCurrentSpaces") else {"current"}
    spaces, matches = [space for space in visible_spaces(call) if space.status in statuses], test
    pages = remembered(
        call, lambda: [p for s in spaces for p in pages_of(s) if p.status == "current" and matches(_row(p))]
    )
    short = call.switches.search_short_pages and limit > 2
    shown, ahead, total = window(call, pages, start, limit - 1 if short else limit, cursor=True)
    links = {"base": call.base, "context": "/wiki", "self": f"{call.base}/rest/api/search"}
    if ahead < total:
        # Which list the cursor is a place of is kept; how its rows are shown is forgotten.
        kept = {key: call.query.first(key) for key in ("cql", *_ARCHIVED) if call.query.has(key)}
        kept |= {"limit": str(limit), "cursor": make_cursor(ahead, "search"), "next": "true"}
        links["next"] = "/rest/api/search?" + urlencode(kept)
    return json_answer(
        200,
        {
            "results": [_hit(page) for page in shown],
            "start": start,
            "limit": limit,
            "size": len(shown),
            "totalSize": total + total // 10,
            "cqlQuery": call.query.first("cql"),
            "searchDuration": 12,
            "_links": links,
        },
        points=1 + len(shown),
    )


def _hit(page: Page) -> dict[str, Any]:
    place = f"/spaces/{page.space.key}/pages/{page.page_id}"
    return {
        "content": {
            "id": str(page.page_id),
            "type": "page",
            "status": page.status,
            "title": page.title,
            "_expandable": {},
            "_links": {"webui": place, "self": f"/rest/api/content/{page.page_id}"},
        },
        "title": page.title,
        "excerpt": page.text,
        "url": place,
        "resultGlobalContainer": {"title": page.space.name, "displayUrl": f"/spaces/{page.space.key}"},
        "breadcrumbs": [],
        "entityType": "content",
        "iconCssClass": "aui-icon content-type-page",
        "lastModified": "2025-06-02T09:00:00.000Z",
        "friendlyLastModified": "Jun 02, 2025",
        "score": 0.0,
    }


def search_users(call: Call) -> Answer:
    """GET /search/user: people by CQL; ends at 10,000 rows, and shows the licensed ones unless asked for all."""
    if call.query.first("cql").replace(" ", "").lower() == "type=user":
        test: Test | Answer = lambda row: True  # noqa: E731
    else:
        test = _parsed(call, _USER_FIELDS)
    if isinstance(test, Answer):
        return test
    kind = call.query.first("sitePermissionTypeFilter", "none")
    page = start_and_limit(call, over="cap", default=25)
    if isinstance(page, Answer) or kind not in ("none", "all", "externalCollaborator"):
        return page if isinstance(page, Answer) else v1_error(400, "Unknown sitePermissionTypeFilter.")
    start, count, _ = page
    world, rows = call.world, []
    for row in range(world.user_count):
        if (kind == "none" and not world.licensed[row]) or (kind == "externalCollaborator" and not world.is_guest[row]):
            continue
        name = world.person(row).display_name
        if test({"user": world.account_id(row), "user.accountid": world.account_id(row), "user.fullname": name}):
            rows.append(row)
            if len(rows) >= 10_000:
                break
    shown, ahead, total = window(call, rows, start, count)
    more = {"cql": call.query.first("cql")} | ({"sitePermissionTypeFilter": kind} if kind != "none" else {})
    links = v1_links(call, "/rest/api/search/user", start, ahead, count, total, **more)
    hits = ",".join(_person_hit(call, row) for row in shown)
    text = (
        f'{{"results":[{hits}],"start":{start},"limit":{count},"size":{len(shown)},"totalSize":{total},'
        f'"cqlQuery":{json_text(call.query.first("cql"))},"searchDuration":9,"_links":{links}}}'
    )
    return Answer(200, encoded(text), points=1 + 2 * len(shown))


def _person_hit(call: Call, row: int) -> str:
    name = json_text(call.world.person(row).display_name)
    return (
        f'{{"user":{user_json(call, row, call.query.all("expand"))},"title":{name},"excerpt":"","url":"/people",'
        '"breadcrumbs":[],"entityType":"user","iconCssClass":"aui-icon","lastModified":"2025-06-02T09:00:00.000Z",'
        '"friendlyLastModified":"","score":0.0}'
    )


def json_text(value: str) -> str:
    """Return a text as JSON."""
    return json_answer(200, value).body.decode()
