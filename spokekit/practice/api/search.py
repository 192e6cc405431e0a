"""CQL search of the practice site: enough of the language for titles, text, spaces and people."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from spokekit.practice.api.contents import Page, pages_of, remembered, visible_spaces
from spokekit.practice.api.paging import Call, make_cursor, read_cursor, start_and_limit, v1_links, v1_page, window
from spokekit.practice.api.v1 import user_json
from spokekit.practice.exchange import Answer, json_answer, json_text, v1_error

_TOKEN = re.compile(r'\s*(?:(")((?:[^"\\]|\\.)*)"|(!=|!~|[=~(),])|([^\s"=~!(),]+))')
_ARCHIVED = ("includeArchivedSpaces", "excludeCurrentSpaces")
_DEEPEST = 100


class CqlError(ValueError):
    """The query is not CQL, or asks for a field that this endpoint does not have."""


Field = Callable[[Any], str]
"""Reads a field of what is searched."""
Test = Callable[[Any], bool]


def _words(page: Page) -> str:
    return f"{page.title} {page.text}"


_CONTENT: Mapping[str, Field] = {
    "type": lambda page: "page",
    "title": lambda page: page.title,
    "text": _words,
    "sitesearch": _words,
    "space": lambda page: page.space.key,
    "space.key": lambda page: page.space.key,
    "space.title": lambda page: page.space.name,
    "space.type": lambda page: page.space.type,
    "id": lambda page: str(page.page_id),
    "parent": lambda page: str(page.parent_id),
}
_PEOPLE: Mapping[str, Field] = {
    "user": lambda person: person.account_id,
    "user.accountid": lambda person: person.account_id,
    "user.fullname": lambda person: person.display_name,
    "user.userkey": lambda person: "",
}


@dataclass
class _Parser:
    """Recursive descent over AND, OR, NOT, parentheses, ``field op value`` and ``field in (...)``."""

    text: str
    fields: Mapping[str, Field]
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
        return self._joined("or", self._both, any)

    def _both(self) -> Test:
        return self._joined("and", self._one, all)

    def _joined(self, word: str, part: Callable[[], Test], holds: Callable[[Iterable[bool]], bool]) -> Test:
        tests = [part()]
        while self._word() == word:
            self.place += 1
            tests.append(part())
        return tests[0] if len(tests) == 1 else lambda row: holds(test(row) for test in tests)

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
        of = self.fields.get(name.lower())
        if quoted or of is None:
            raise CqlError(self.text)
        operator = self._next()[0].lower()
        if operator == "not" and self._word() == "in":
            self.place += 1
            operator = "not in"
        if operator in ("in", "not in"):
            values = self._values()
            return lambda row: (of(row).lower() in values) == (operator == "in")
        if operator not in ("=", "!=", "~", "!~"):
            raise CqlError(self.text)
        value, quoted = self._next()
        if not quoted and value in ("(", ")", ",", "=", "~"):
            raise CqlError(self.text)
        return _test(of, operator, value.lower())

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


def _test(of: Field, operator: str, value: str) -> Test:
    wanted = not operator.startswith("!")
    if operator.endswith("="):
        return lambda row: (of(row).lower() == value) == wanted
    words = [word.strip("*") for word in re.findall(r"[\w*]+", value)]

    def matches(row: Any) -> bool:
        there = re.findall(r"\w+", of(row).lower())
        return all(any(one.startswith(word) for one in there) for word in words if word)

    return lambda row: matches(row) == wanted


def _parsed(call: Call, fields: Mapping[str, Field]) -> Test | Answer:
    cql = call.query.first("cql")
    try:
        return _Parser(cql, fields).parse()
    except CqlError:
        return v1_error(400, f"Could not parse cql : {cql}", kind="BadRequestException")


def search(call: Call) -> Answer:
    """GET /search: content by CQL; ``start`` is ignored, short pages are not the end, ``next`` forgets parameters."""
    test = _parsed(call, _CONTENT)
    if isinstance(test, Answer):
        return test
    limit = call.query.number("limit", 25)
    if limit is None or limit < 1:
        return v1_error(400, "limit has to be a whole number above 0.", kind="BadRequestException")
    limit = min(limit, 250)
    start = read_cursor(call)
    if start is None:
        return v1_error(400, "The cursor is not valid.", kind="BadRequestException")
    statuses = {"archived"} if call.query.flag("includeArchivedSpaces") else set()
    statuses |= {"archived"} if call.query.flag("excludeCurrentSpaces") else {"current"}
    spaces, matches = [space for space in visible_spaces(call) if space.status in statuses], test
    pages = remembered(call, lambda: [p for s in spaces for p in pages_of(s) if p.status == "current" and matches(p)])
    short = call.switches.search_short_pages and limit > 2
    shown, ahead, total = window(call, pages, start, limit - 1 if short else limit, cursor=True)
    links = {"base": call.base, "context": "/wiki", "self": f"{call.base}/rest/api/search"}
    if ahead < total:
        # Which list the cursor is a place of is kept; how its rows are shown is forgotten.
        kept = {key: call.query.first(key) for key in ("cql", *_ARCHIVED) if call.query.has(key)}
        kept |= {"limit": str(limit), "cursor": make_cursor(ahead, call.name), "next": "true"}
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
        test = _parsed(call, _PEOPLE)
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
        if test(world.person(row)):
            rows.append(row)
            if len(rows) >= 10_000:
                break
    shown, ahead, total = window(call, rows, start, count)
    more = {"cql": call.query.first("cql")} | ({"sitePermissionTypeFilter": kind} if kind != "none" else {})
    links = v1_links(call, "/rest/api/search/user", start, ahead, count, total, **more)
    hits = [_person_hit(call, row) for row in shown]
    told = f',"cqlQuery":{json_text(call.query.first("cql"))},"searchDuration":9'
    return v1_page(hits, start, count, links, total, 1 + 2 * len(hits), told)


def _person_hit(call: Call, row: int) -> str:
    name = json_text(call.world.person(row).display_name)
    return (
        f'{{"user":{user_json(call, row, call.query.all("expand"))},"title":{name},"excerpt":"","url":"/people",'
        '"breadcrumbs":[],"entityType":"user","iconCssClass":"aui-icon","lastModified":"2025-06-02T09:00:00.000Z",'
        '"friendlyLastModified":"","score":0.0}'
    )
