"""Accounts: who they are, which sites the grant reaches, and what Atlassian wants done about stored personal data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from spokekit._frames import frame_of
from spokekit.confluence.operation import Operation
from spokekit.confluence.paging import USER_POINTS
from spokekit.confluence.pull import STOPS, Partial, Pull, finish, report_of
from spokekit.confluence.report import stamp
from spokekit.confluence.shapes import BULK_USERS, REPORT, RESOURCES, BulkUser, Page, PersonalDataReport
from spokekit.confluence.wire import too_heavy
from spokekit.errors import InputError, ScopeMissing, SpokekitError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.gateway import Gateway

V2_USERS, V1_USERS = 250, 100
REPORT_MOST = 90
REPORT_CYCLE_DAYS = 7
USER_COLUMNS = {
    **dict.fromkeys(("account_id", "display_name", "public_name", "email", "account_type", "account_status"), "text"),
    "is_guest": "bool",
    "time_zone": "text",
}


# -- sites -------------------------------------------------------------------------------------------------------------


async def accessible_resources(gateway: Gateway, operation: Operation) -> pd.DataFrame:
    """Return the sites that the grant reaches; the request is the platform's and costs no points of Confluence."""
    answer = await gateway.read(
        "/oauth/token/accessible-resources",
        RESOURCES,
        operation=operation,
        worst=0,
        at_root=True,
    )
    frame = frame_of(
        ((row.id, row.name, row.url, _product(row.scopes or []), " ".join(row.scopes or [])) for row in answer.value),
        dict.fromkeys(("cloud_id", "name", "url", "product", "scopes"), "text"),
    )
    return stamp(frame, report_of(operation, len(frame), "lists"), gateway.connection.site_url or "")


def _product(scopes: list[str]) -> str:
    """One site may appear twice under one id, for Jira and for Confluence; only its scopes tell which is which."""
    text = " ".join(scopes)
    if "confluence" in text:
        return "confluence"
    return "jira" if "jira" in text else ""


# -- users -------------------------------------------------------------------------------------------------------------


async def users_in_bulk(
    gateway: Gateway, operation: Operation, account_ids: list[str], partial: Partial
) -> pd.DataFrame:
    """Look accounts up, 250 a request with the granular scope, 100 with the classic one."""
    started = datetime.now(UTC)
    wanted = list(dict.fromkeys(account_ids))
    found: dict[str, BulkUser] = {}
    by_v2 = "read:user:confluence" in gateway.connection.scopes
    notes: list[str] = []
    while True:
        size = V2_USERS if by_v2 else V1_USERS
        chunks = {f"{i:09d}": wanted[i : i + size] for i in range(0, len(wanted), size)}
        pull = Pull(operation, gateway.in_flight)

        async def read(number: str, chunks: dict[str, list[str]] = chunks, by_v2: bool = by_v2) -> None:
            page = await _chunk(gateway, operation, chunks[number], by_v2)
            found.update((user.account_id, user) for user in page.results)

        await pull.run(chunks, read)
        if by_v2 and not pull.walked and isinstance(pull.first_error(), ScopeMissing):
            # The connection lists the granular scope, but the consent is older: the classic one may do.
            by_v2 = False
            continue
        break
    error = pull.first_error()
    if error is not None and not pull.walked and (isinstance(error, STOPS) or len(chunks) == 1):
        raise error
    pull.spread(chunks)
    unknown = [account for account in wanted if account not in found and account not in pull.failed]
    if unknown:
        notes.append(f"{len(unknown):,} account ids are not known on this site; attrs['unknown'] lists them.")
    frame = frame_of((_row(found[account]) for account in wanted if account in found), USER_COLUMNS)
    report = pull.report(len(frame), "accounts", notes)
    frame.attrs["unknown"] = unknown
    return finish(frame, report, gateway, started, partial, error)


def _row(user: BulkUser) -> tuple[object, ...]:
    names = user.account_id, user.display_name, user.public_name, user.email, user.account_type, user.account_status
    return *names, user.is_guest or user.is_external_collaborator, user.time_zone


async def _chunk(gateway: Gateway, operation: Operation, ids: list[str], by_v2: bool) -> Page[BulkUser]:
    # Accounts that are too many for one answer are asked for in halves.
    heavy = (2 if len(ids) in (V1_USERS, V2_USERS) else 1) if len(ids) > 1 else 0
    try:
        answer = await gateway.read(
            "/wiki/api/v2/users-bulk" if by_v2 else "/wiki/rest/api/user/bulk",
            BULK_USERS,
            operation=operation,
            worst=1 + USER_POINTS * len(ids),
            points=lambda page: 1 + USER_POINTS * len(page.results),
            query=[] if by_v2 else [("accountId", account) for account in ids],
            body={"accountIds": ids} if by_v2 else None,
            too_heavy=heavy,
        )
    except SpokekitError as error:
        if not heavy or not too_heavy(error):
            raise
        half = len(ids) // 2
        first = await _chunk(gateway, operation, ids[:half], by_v2)
        second = await _chunk(gateway, operation, ids[half:], by_v2)
        return Page([*first.results, *second.results])
    operation.tally.pages += 1
    return answer.value


# -- personal data -----------------------------------------------------------------------------------------------------


async def personal_data(
    gateway: Gateway, operation: Operation, accounts: Mapping[str, datetime] | pd.DataFrame, partial: Partial
) -> pd.DataFrame:
    """Report accounts 90 a request, one request after another: Atlassian asks for no more than one report a cycle."""
    started = datetime.now(UTC)
    moments = _moments(accounts)
    ids = list(moments)
    chunks = {f"{i:09d}": ids[i : i + REPORT_MOST] for i in range(0, len(ids), REPORT_MOST)}
    answers: dict[str, str] = {}
    cycles: list[int] = []

    async def read(number: str) -> None:
        answer = await gateway.read(
            "/app/report-accounts/",
            REPORT,
            operation=operation,
            worst=0,
            body={"accounts": [{"accountId": one, "updatedAt": moments[one]} for one in chunks[number]]},
            at_root=True,
            empty=PersonalDataReport([]),
        )
        operation.tally.pages += 1
        answers.update((one.account_id, one.status) for one in answer.value.accounts)
        cycles.append(_cycle(answer.headers.get("cycle-period") or ""))

    pull = Pull(operation, 1)
    await pull.run(chunks, read)
    error = pull.first_error()
    if error is not None and not pull.walked:
        raise error
    pull.spread(chunks)
    reported = [one for one in ids if one not in pull.failed]
    frame = frame_of(
        [(one, answers.get(one, "unchanged")) for one in reported],
        {"account_id": "text", "status": ("unchanged", "updated", "closed")},
    )
    report = pull.report(len(frame), "accounts")
    frame.attrs["cycle_days"] = min(cycles, default=REPORT_CYCLE_DAYS)
    return finish(frame, report, gateway, started, partial, error)


def _moments(accounts: Mapping[str, datetime] | pd.DataFrame) -> dict[str, str]:
    if isinstance(accounts, Mapping):
        pairs: Iterable[tuple[object, object]] = accounts.items()
    else:
        missing = {"account_id", "updated_at"} - set(accounts.columns)
        if missing:
            raise InputError(f"The frame lacks {', '.join(sorted(missing))}.", field="accounts")
        pairs = zip(accounts["account_id"].astype(str), accounts["updated_at"], strict=True)
    clean: dict[str, str] = {}
    for account, moment in pairs:
        if not isinstance(account, str) or not account.strip():
            raise InputError(f"{account!r} is not an account id.", field="accounts")
        if not isinstance(moment, datetime) or moment.tzinfo is None or moment != moment:
            raise InputError(
                f"When the data of {account} was last fetched has to be a time with a time zone.", field="accounts"
            )
        # Atlassian's page on privacy: nothing may be stored about the account "unknown", so nothing is reported of it.
        if account != "unknown":
            clean[account] = moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if not clean:
        raise InputError("No account is given to report.", field="accounts")
    return clean


def _cycle(text: str) -> int:
    """Return days from ``P7D``, or from a plain number; Atlassian's default where the header is missing."""
    found = re.fullmatch(r"P?(\d{1,4})D?", text.strip())
    return int(found[1]) if found else REPORT_CYCLE_DAYS
