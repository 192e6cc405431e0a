"""Holds every exchange with a practice site against Atlassian's own OpenAPI documents, in the whole test run.

Each practice site of the process reports its exchanges to the judge; after each test the judge settles what it has
collected and fails the test that met a violation. openapi-core takes about 50 ms for a page of 200 people, so an
answer is checked once per operation, status and *shape*: the nested keys and types, with the values of those fields
that are enumerations. What a test deliberately breaks (faults) is not held against the documents.

The documents are Atlassian's and not part of this repository: they are read from ``../shared/specs`` beside it.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter, deque
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from spokekit.practice import Exchange, PracticeSite

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "specs"
DOCUMENTS = {"v1": "confluence-v1.openapi.json", "v2": "confluence-v2.openapi.json"}
MISSING = (
    "THE CONTRACT IS NOT CHECKED: Atlassian's OpenAPI documents are not in ../shared/specs beside the repository. "
    "Nothing is held against them in this run."
)
_HOST = "https://practice.invalid"
# What waits for the end of a test may not grow with the size of the test's walk.
_WAITING_BYTES = 12_000_000


@dataclass(frozen=True)
class Deviation:
    """A known difference between the documents and the service (or what is reported of it), with its source."""

    name: str
    operations: tuple[str, ...]
    complaint: str
    source: str

    def covers(self, operation: str, complaint: str) -> bool:
        return (not self.operations or operation in self.operations) and re.search(
            self.complaint, complaint
        ) is not None


DEVIATIONS = (
    Deviation(
        "the gateway answers for every operation",
        (),
        r"^answer: status (401|403|404|429) is not documented",
        "measured and reported: the gateway in front of Confluence checks token, scope, site and quota by itself, "
        "which the documents of the operations do not say (Atlassian's pages on OAuth 2.0 (3LO) and rate limits)",
    ),
    Deviation(
        "bad parameters are a 400 also where no 400 is documented",
        ("groups", "picker", "user", "bulk", "memberof", "members", "current", "search", "search-users"),
        r"^answer: status 400 is not documented",
        "inferred: a limit above the cap, a limit that is no number, an unknown accessType or a missing id; and the "
        "practice site's own strict mode",
    ),
    Deviation(
        "a full licence is a 500",
        ("add",),
        r"^answer: status 500 is not documented",
        "documented in CONFCLOUD-84635 on jira.atlassian.com",
    ),
    Deviation(
        "principals of type access-class",
        ("space-permissions",),
        r"^answer: .*principal.*'access-class' is not one of",
        "measured by confluence.js's live tests: the type is an open string",
    ),
    Deviation(
        "space role ids are UUIDs",
        ("space-role",),
        r"^request: .*id.*",
        "measured by confluence.js's live tests; the document says integer",
    ),
    Deviation(
        "v1 links lead on with next=true",
        ("groups", "picker", "members", "memberof", "search-users"),
        r"^request: parameter next is not documented",
        "measured on the live service by markfluence: `_links.next` holds it",
    ),
)


class Judge:
    """Collects exchanges and compares them with the documents."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._waiting: deque[Exchange] = deque()
        self._bytes = 0
        self._settled: set[tuple[Any, ...]] = set()
        self._documents: dict[str, tuple[Any, dict[str, Any]]] = {}
        self.judged: Counter[tuple[str, int]] = Counter()
        self.met: Counter[str] = Counter()
        self.left_out = 0

    def observe(self, exchange: Exchange) -> None:
        """Take an exchange in; called in the practice site's thread, so it only keeps it."""
        if exchange.broken or not exchange.path.startswith("/ex/confluence/"):
            return
        if self._bytes > _WAITING_BYTES:
            self.left_out += 1
            return
        self._bytes += len(exchange.body) + 500
        self._waiting.append(exchange)

    def settle(self) -> list[str]:
        """Judge what was collected; return the complaints that are no known deviation."""
        complaints: list[str] = []
        while self._waiting:
            exchange = self._waiting.popleft()
            for complaint in self._judge(exchange):
                known = next((d for d in DEVIATIONS if d.covers(exchange.name, complaint)), None)
                if known is None:
                    place = exchange.path.split("/", 4)[-1]
                    complaints.append(f"{exchange.method} /{place} ({exchange.name or 'no operation'}) {complaint}")
                else:
                    self.met[known.name] += 1
        self._bytes = 0
        return complaints

    def _judge(self, exchange: Exchange) -> list[str]:
        value = _parsed(exchange.body)
        sent = _parsed(exchange.request_body)
        pairs = parse_qsl(exchange.query, keep_blank_values=True)
        key = (
            exchange.method,
            exchange.name or exchange.path,
            exchange.status,
            shape(value),
            shape(sent),
            tuple(sorted({(name, shape_of_text(text)) for name, text in pairs})),
        )
        self.judged[exchange.name, exchange.status] += 1
        if key in self._settled:
            return []
        self._settled.add(key)
        return list(self._compare(exchange, pairs))

    def _compare(self, exchange: Exchange, pairs: list[tuple[str, str]]) -> Any:
        from openapi_core.exceptions import OpenAPIError
        from openapi_core.templating.paths.exceptions import PathError
        from openapi_core.testing import MockRequest, MockResponse

        path = "/" + exchange.path.split("/", 4)[4]
        version = "v2" if path.startswith("/wiki/api/v2") else "v1"
        document, operation = self.document(version), self.operation(version, exchange.method, path)
        if operation is None:
            if exchange.status < 400:
                yield f"answer: {exchange.status} for an operation that is not documented"
            return
        arguments: dict[str, Any] = {}
        for name, text in pairs:
            arguments.setdefault(name, []).append(text)
        request = MockRequest(
            _HOST,
            exchange.method.lower(),
            path,
            args=_multi(arguments),
            headers=dict(exchange.request_headers),
            data=exchange.request_body or None,
            content_type=exchange.request_headers.get("content-type", "application/json"),
        )
        if exchange.status < 300:
            documented = {p["name"] for p in operation["parameters"]}
            for name in arguments.keys() - documented:
                yield f"request: parameter {name} is not documented"
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    document.validate_request(request)
                except (OpenAPIError, PathError) as problem:
                    yield f"request: {_words(problem)}"
            yield from {f"request: {warning.message}" for warning in caught}
        if str(exchange.status) not in operation["responses"]:
            yield f"answer: status {exchange.status} is not documented for {operation['operationId']}"
            return
        if not operation["responses"][str(exchange.status)].get("content"):
            return
        response = MockResponse(
            exchange.body,
            status_code=exchange.status,
            headers=dict(exchange.headers),
            content_type=exchange.headers.get("content-type", ""),
        )
        try:
            document.validate_response(request, response)
        except (OpenAPIError, PathError) as problem:
            yield f"answer: {_words(problem)}"

    def document(self, version: str) -> Any:
        """Return a document as openapi-core has it; loaded when first needed."""
        from openapi_core import Config, OpenAPI

        if version not in self._documents:
            content = json.loads((self._folder / DOCUMENTS[version]).read_text("utf-8"))
            content["servers"] = [{"url": _HOST + ("/wiki/api/v2" if version == "v2" else "")}]
            content.pop("security", None)
            for item in content["paths"].values():
                for operation in item.values():
                    if isinstance(operation, dict):
                        # Scopes are compared by a test of their own; openapi-core knows no OAuth 2.
                        operation.pop("security", None)
            # v2 has a default that its own enumeration lacks, so the document itself is not checked.
            config = Config(spec_validator_cls=None)
            self._documents[version] = (OpenAPI.from_dict(content, config=config), content)
        return self._documents[version][0]

    def operation(self, version: str, method: str, path: str) -> dict[str, Any] | None:
        """Return what a document says of a method and a path, its parameters resolved; None when it says nothing."""
        self.document(version)
        content = self._documents[version][1]
        if version == "v2":
            path = path.removeprefix("/wiki/api/v2")
        exact = content["paths"].get(path)
        for template, item in content["paths"].items() if exact is None else [(path, exact)]:
            pattern = re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(template))
            if method.lower() in item and re.fullmatch(pattern, path):
                found = dict(item[method.lower()])
                given = [*item.get("parameters", ()), *found.get("parameters", ())]
                found["parameters"] = [_resolved(content, parameter) for parameter in given]
                found["responses"] = {k: _resolved(content, v) for k, v in found["responses"].items()}
                return found
        return None

    def figures(self) -> dict[str, Any]:
        """Return what was judged, as plain values that one process can tell another."""
        return {
            "judged": sum(self.judged.values()),
            "shapes": [str(key) for key in self._settled],
            "left_out": self.left_out,
            "met": list(self.met),
        }


def summary(figures: list[dict[str, Any]]) -> str:
    """Say in one line what the processes of a run judged."""
    shapes = {shape for one in figures for shape in one["shapes"]}
    met = {name for one in figures for name in one["met"]}
    left_out = sum(one["left_out"] for one in figures)
    judged = sum(one["judged"] for one in figures)
    told = f"contract: {judged} exchanges in {len(shapes)} shapes held against the documents"
    left = f", {left_out} of very long walks left out" if left_out else ""
    known = f"; known deviations met: {', '.join(sorted(met))}" if met else ""
    return told + left + known


def _resolved(content: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    reference = value.get("$ref", "")
    for part in reference.removeprefix("#/").split("/") if reference else ():
        content = content[part]
    return content if reference else value


def _multi(arguments: dict[str, list[str]]) -> Any:
    from werkzeug.datastructures import ImmutableMultiDict

    return ImmutableMultiDict([(name, text) for name, texts in arguments.items() for text in texts])


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return "not JSON"


_WORDS = ("type", "status", "operation", "targetType", "usageType", "managedBy", "accountType", "accountStatus", "mode")
_ENUMERATED = frozenset((*_WORDS, "principalType", "key", "parentType", "entityType", "subtype", "representation"))


def shape(value: Any, key: str = "") -> Any:
    """Return the nested keys and types of a JSON value, and the values of its enumerated fields."""
    if isinstance(value, dict):
        return frozenset((name, shape(inner, name)) for name, inner in value.items())
    if isinstance(value, list):
        return ("list", frozenset(shape(inner, key) for inner in value))
    if isinstance(value, str):
        # A key of an operation is a word of a list; a key of a space is not.
        return value if key in _ENUMERATED and value.islower() else shape_of_text(value)
    return type(value).__name__


def shape_of_text(text: str) -> str:
    """Return a text's kind: number, moment, empty or text."""
    if not text:
        return "empty"
    if text.removeprefix("-").isdigit():
        return "number"
    return "moment" if re.match(r"\d{4}-\d\d-\d\dT", text) else "text"


def _words(problem: BaseException) -> str:
    cause = problem.__cause__
    errors = getattr(cause, "schema_errors", None) or getattr(problem, "schema_errors", None)
    if errors:
        return "; ".join(f"{'.'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in list(errors)[:3])
    return f"{problem} {cause or ''}".strip()[:300]


@lru_cache(maxsize=1)
def the_judge() -> Judge | None:
    """Return the judge of this run, which from then on sees every practice site; None without the documents."""
    if not all((FOLDER / name).is_file() for name in DOCUMENTS.values()):
        return None
    judge = Judge()
    PracticeSite.observe_all.append(judge.observe)
    return judge


@pytest.fixture(autouse=True)
def judged() -> Any:
    """Fail the test during which a practice site or spokekit broke the contract."""
    judge = the_judge()
    yield judge
    complaints = judge.settle() if judge is not None else []
    if complaints:
        pytest.fail("Against Atlassian's documents:\n  " + "\n  ".join(complaints), pytrace=False)


@pytest.fixture
def off_contract(judged: Judge | None) -> Any:
    """Let a test leave the documents on purpose, for example where it sets a switch or sends a typing error."""
    yield
    if judged is not None:
        judged.settle()
