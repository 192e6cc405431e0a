"""Reading an instance by its Table API: signing in, paging, and refusals that each have their own sentence.

Nothing is written. No column is used that ``sys_dictionary`` does not name, and every row is held against the query
that asked for it, since an instance leaves parts of a query out that it does not understand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from spokekit._http import clean, client, is_web_page, json_of, page_words, retry_after
from spokekit._ids import BLANK
from spokekit._secret import Secret, guard_logs
from spokekit._surroundings import is_loopback
from spokekit._unreachable import failures, unreachable
from spokekit._words import span
from spokekit.errors import (
    InputError,
    NotPermitted,
    RateLimited,
    ServiceError,
    SpokekitError,
    TokenRejected,
    TransportError,
    UnexpectedAnswer,
)

Row = dict[str, str]
_PAGE = 500
_MOST_BYTES = 20_000_000
_MOST_ROWS = 200_000
_WAYS = "OAuth client credentials, an API key, or the session of a browser that is signed in"


class Unreadable(SpokekitError):
    """One table cannot be read, or not wholly; what would follow from it is not said."""


@dataclass(frozen=True)
class SignIn:
    """How somebody signs in: a client id with its secret, an API key, or the cookie of a session."""

    kind: Literal["oauth", "api-key", "session"]
    secret: Secret = field(repr=False)
    client_id: str = ""


def check_address(text: str) -> str:
    """Return an instance's address with its slash; raises `InputError` for what is none."""
    plain = text.strip(BLANK)
    try:
        parts = urlsplit(plain if "://" in plain else f"https://{plain}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.username or parts.password:
        raise InputError(
            "The address holds a name and a password.",
            field="instance",
            likely="That is basic authentication, which newer instances refuse even with the right password.",
            hint=f"Give the address alone, and sign in by {_WAYS}.",
        )
    if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", host) or parts.path.strip("/") or parts.query or parts.fragment:
        raise InputError(
            "This is not the address of an instance.",
            field="instance",
            hint="Give it as https://acme.service-now.com/, without a page behind it.",
        )
    if "." not in host and not is_loopback(host):
        host = f"{host}.service-now.com"
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise InputError(
            "The address of an instance begins with https://.",
            field="instance",
            hint="Without encryption whoever is between could read the secret.",
        )
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}/"


class InstanceClient:
    """Reads tables of one instance; raises the errors that `Unreadable` and `spokekit.errors` describe.

    Use it as a context manager: it holds a connection open.
    """

    def __init__(self, address: str, sign_in: SignIn) -> None:
        guard_logs()
        self.address = check_address(address)
        self._sign_in = sign_in
        self._http = client(
            self.address.rstrip("/"), timeout=20.0, follow_redirects=False, headers={"Accept": "application/json"}
        )
        self._token: Secret | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # -- tables --------------------------------------------------------------------------------------------------------

    def rows(
        self, table: str, columns: Iterable[str], query: str = "", holds: Callable[[Row], bool] | None = None
    ) -> list[Row]:
        """Return all rows of a table, as text, by `columns`.

        Parameters
        ----------
        query, holds:
            An encoded query, and the same as a test: a row for which it is not so means that the query was ignored.

        Raises
        ------
        Unreadable
            The table is unknown or forbidden, rows are hidden, or a part of the query was ignored.
        """
        wanted = list(columns)
        found: list[Row] = []
        last: list[Row] = []
        while True:
            parameters = {
                "sysparm_query": f"{query}^ORDERBYsys_id" if query else "ORDERBYsys_id",
                "sysparm_fields": ",".join(wanted),
                "sysparm_limit": str(_PAGE),
                "sysparm_offset": str(len(found)),
                "sysparm_display_value": "false",
                "sysparm_exclude_reference_link": "true",
            }
            body, headers = self._get(table, parameters)
            page = [{name: _plain(one.get(name)) for name in wanted} for one in body]
            if holds is not None and not all(map(holds, page)):
                raise Unreadable(
                    f"The instance left a part of the query on {table} out, so its answer is not what was asked for.",
                    likely="A column of the query is unknown there, or this account may not see it.",
                    hint="Let the account read the table's columns, then compare again.",
                )
            if page and page == last:
                raise Unreadable(
                    f"The instance gives the same rows of {table} again instead of the next ones.",
                    likely="Something between the instance and here leaves a part of the address out.",
                    hint="Compare again; where it stays so, ask whoever runs the network in between.",
                )
            last = page
            found += page
            if len(found) > _MOST_ROWS:
                raise Unreadable(
                    f"The instance has more than {_MOST_ROWS:,} rows in {table}, or does not stop giving them.",
                    hint="Look at the table on the instance; nothing is said about its records.",
                )
            total = headers.get("x-total-count", "")
            count = int(total) if total.isascii() and total.isdigit() else None
            if len(page) < _PAGE or (count is not None and len(found) >= count):
                if count is not None and len(found) < count:
                    raise Unreadable(
                        f"The instance counts {count:,} rows in {table} and shows {len(found):,} of them.",
                        likely="An access control hides the others from this account.",
                        hint=f"Sign in with an account that may read {table}, then compare again.",
                    )
                return found

    def _get(self, table: str, parameters: dict[str, str]) -> tuple[list[dict[str, Any]], Any]:
        endpoint = f"GET /api/now/table/{table}"
        status, headers, body = self._send("GET", f"api/now/table/{table}", endpoint, params=parameters)
        said = json_of(body)
        if status == 200:
            result = said.get("result") if isinstance(said, dict) else None
            if not isinstance(result, list) or not all(isinstance(one, dict) for one in result):
                raise self.no_data(body, endpoint)
            return result, headers
        if status == 404 and message_of(said).startswith("No Record"):
            return [], headers
        raise self.refusal(status, headers, body, said, table, endpoint)

    # -- one request ---------------------------------------------------------------------------------------------------

    def _send(self, method: str, path: str, endpoint: str, **more: Any) -> tuple[int, Any, bytes]:
        import httpx2

        failed: SpokekitError
        try:
            with self._http.stream(method, self.address + path, headers=self._headers(path), **more) as answer:
                parts, size = [], 0
                for part in answer.iter_bytes():
                    size += len(part)
                    if size > _MOST_BYTES:
                        raise UnexpectedAnswer("The instance's answer is too long.", endpoint=endpoint)
                    parts.append(part)
                return answer.status_code, answer.headers, b"".join(parts)
        except failures() as error:
            told = unreachable(error, self.address, endpoint)
            if told is not None:
                failed = TransportError(
                    told.message, likely=told.likely, hint="Check the address and the network.", endpoint=endpoint
                )
            else:
                failed = TransportError(
                    f"No answer came from the instance to {endpoint}.",
                    likely="It is slow, or the connection was cut.",
                    hint="Try again.",
                    endpoint=endpoint,
                )
        except (httpx2.InvalidURL, UnicodeError, ValueError):
            failed = InputError(
                "The secret or the address holds characters that cannot be sent.",
                field="instance",
                hint="Copy them again.",
            )
        raise failed

    def _headers(self, path: str) -> dict[str, str]:
        kind = self._sign_in.kind
        if path == "oauth_token.do":
            return {}
        if kind == "api-key":
            return {"x-sn-apikey": self._sign_in.secret.reveal()}
        if kind == "session":
            said = self._sign_in.secret.reveal()
            return {"Cookie": said if "=" in said else f"JSESSIONID={said}"}
        if self._token is None:
            self._token = self._new_token()
        return {"Authorization": f"Bearer {self._token.reveal()}"}

    def _new_token(self) -> Secret:
        endpoint = "POST /oauth_token.do"
        status, headers, body = self._send(
            "POST",
            "oauth_token.do",
            endpoint,
            data={
                "grant_type": "client_credentials",
                "client_id": self._sign_in.client_id,
                "client_secret": self._sign_in.secret.reveal(),
            },
        )
        said = json_of(body)
        if status == 200 and isinstance(said, dict) and isinstance(said.get("access_token"), str):
            return Secret(said["access_token"])
        if status in (400, 401):
            raise TokenRejected(
                "The instance gives no token for this client ID and secret.",
                status=status,
                endpoint=endpoint,
                likely="One of them is wrong, the registry there is not active or has no OAuth Application User, or "
                "glide.oauth.inbound.client.credential.grant_type.enabled is not true.",
                hint="Look at the registry on the instance, or sign in in another way.",
                next_step="fix_secret",
            )
        raise self.refusal(status, headers, body, said, "", endpoint)

    # -- refusals ------------------------------------------------------------------------------------------------------

    def no_data(self, body: bytes, endpoint: str) -> UnexpectedAnswer:
        """Return the error for a good status without data."""
        if is_web_page(body):
            return UnexpectedAnswer(
                f"The instance answered with a web page (“{page_words(body)}”) instead of data.",
                status=200,
                endpoint=endpoint,
                likely="A developer instance that was not used goes to sleep, and shows a page until it is woken.",
                hint=f"Open {self.address} in a browser, wake it or sign in, wait until it is there, and try again.",
            )
        return UnexpectedAnswer(
            "The instance's answer is not what the Table API documents.",
            status=200,
            endpoint=endpoint,
            likely="Something between changed it, or another program answers at this address.",
            hint="Check the address.",
        )

    def refusal(self, status: int, headers: Any, body: bytes, said: Any, table: str, endpoint: str) -> SpokekitError:
        """Return the error for a status that says no."""
        words = clean(message_of(said), 160)
        more: dict[str, Any] = {"status": status, "endpoint": endpoint}
        if status == 401:
            if "basic" in message_of(said).lower():
                return TokenRejected(
                    "The instance refuses basic authentication.",
                    likely="Newer instances refuse it even with the right password, unless the account is made for it.",
                    hint=f"Sign in by {_WAYS}.",
                    **more,
                )
            return TokenRejected(
                f"The instance does not accept this {_KINDS[self._sign_in.kind]} ({words or 'no reason given'}).",
                likely=_WHY[self._sign_in.kind],
                hint="Make a new one on the instance, or sign in in another way.",
                next_step="fix_secret",
                **more,
            )
        if status == 400 and "invalid table" in words.lower():
            return Unreadable(
                f"The instance has no table {table}.",
                likely="The plugin that brings it is not installed, or the table has another name there.",
                hint="Install the Confluence Cloud spoke, or look the table up on the instance.",
            )
        if status == 403 and table:
            return Unreadable(
                f"The instance does not let this account read {table}.",
                likely="An access control forbids it, or the table is not open to web services.",
                hint="Sign in with an account that has the roles admin or credential_admin and connection_admin.",
            )
        if status == 429:
            seconds = retry_after(headers, datetime.now(UTC))
            wait = f"in {span(seconds)}" if seconds else "later"
            return RateLimited(
                "The instance asks to slow down.",
                retry_after=seconds,
                likely="An administrator made a limit for requests.",
                hint=f"Try again {wait}.",
                **more,
            )
        if 300 <= status < 400:
            return UnexpectedAnswer(
                "The instance sends the request to another page.",
                likely="It wants somebody to sign in, or it moved to another address.",
                hint=f"Open {self.address} in a browser, and give the address that it has then.",
                **more,
            )
        if status == 403:
            return NotPermitted(f"The instance refuses this account ({words}).", **more)
        shown = words or (page_words(body) if is_web_page(body) else "")
        return ServiceError(
            f"The instance answered {status}{f' ({shown})' if shown else ''}.",
            likely="It is being upgraded or restarted, or no instance answers at this address.",
            hint="Check the address, then try again.",
            **more,
        )


_KINDS = {"oauth": "token", "api-key": "API key", "session": "session"}
_WHY = {
    "oauth": "The account behind the registry lacks a role, or the token ended.",
    "api-key": "It is mistyped or not active, or the plugin com.glide.tokenbased_auth is not there.",
    "session": "It ended, or the cookie was not copied whole.",
}


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("value")
    return "" if value is None else value if isinstance(value, str) else str(value)


def message_of(said: Any) -> str:
    """Return message and detail of an error of the Table API."""
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict):
        return " ".join(str(error[name]) for name in ("message", "detail") if error.get(name))
    return str(error or "")


# -- what the instance knows of its tables -----------------------------------------------------------------------------


def read_dictionary(source: InstanceClient, tables: Iterable[str], prefix: str) -> dict[str, dict[str, str]]:
    """Return the columns of tables with their labels, those that are inherited too; a table without any is unknown.

    ``sys_db_object`` and ``sys_dictionary`` are read for `tables`, and for those whose name begins with `prefix`.
    """
    wanted = list(tables)
    fields = ("sys_id", "name", "super_class")

    def is_wanted(row: Row) -> bool:
        return row["name"] in wanted or row["name"].startswith(prefix)

    query = f"nameIN{','.join(wanted)}^ORnameSTARTSWITH{prefix}"
    chosen = source.rows("sys_db_object", fields, query, is_wanted)
    objects = {row["sys_id"]: row for row in chosen}
    for _ in range(6):
        above = {row["super_class"] for row in objects.values() if row["super_class"]} - set(objects)
        if not above or not (found := _by_id(source, "sys_db_object", fields, above)):
            break
        objects |= {row["sys_id"]: row for row in found}
    names = {row["name"] for row in objects.values()}
    own: dict[str, dict[str, str]] = {name: {} for name in names}
    if names:
        for row in source.rows(
            "sys_dictionary",
            ("name", "element", "column_label"),
            f"nameIN{','.join(sorted(names))}^elementISNOTEMPTY",
            lambda row: row["name"] in names,
        ):
            own[row["name"]][row["element"]] = row["column_label"]
    made: dict[str, dict[str, str]] = {}
    for one in chosen:
        made[one["name"]] = {}
        at: Row | None = one
        for _ in range(8):
            if at is None:
                break
            made[one["name"]] |= own[at["name"]]
            at = objects.get(at["super_class"])
    return made


def _by_id(source: InstanceClient, table: str, fields: Iterable[str], ids: set[str]) -> list[Row]:
    return source.rows(table, fields, f"sys_idIN{','.join(sorted(ids))}", lambda row: row["sys_id"] in ids)
