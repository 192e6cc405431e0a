"""Writing records to an instance by its Table API: one at a time, and never a column that could hold a secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from spokekit._http import clean, json_of
from spokekit._ids import BLANK
from spokekit.confluence.report import Fence
from spokekit.errors import NotPermitted, PlanError, ServiceError
from spokekit.handover import records as rec
from spokekit.handover.client import InstanceClient, Row, SignIn, message_of

SECRET = ("secret", "password", "token", "private_key")
"""What the name of a column that holds a secret has in it; those that end in ``_url`` are addresses."""


def is_secret(column: str) -> bool:
    """Tell whether a column may hold a secret."""
    return any(word in column for word in SECRET) and not column.endswith("_url")


class InstanceWriter(InstanceClient):
    """Reads and writes records of one instance; raises what `InstanceClient` raises, and for a write that is refused

    NotPermitted
        An access control, a business rule or a data policy says no; the sentence has the instance's own words.
    ServiceError, TransportError, UnexpectedAnswer
        It is not certain whether the record was written.
    """

    def __init__(self, address: str, sign_in: SignIn, fence: Fence | None = None) -> None:
        super().__init__(address, sign_in)
        # Asked last before each write; it raises when somebody else has taken the instance over.
        self._fence = fence

    def one(self, table: str, sys_id: str, columns: Iterable[str]) -> Row | None:
        """Return one record by its sys_id, or None where there is none."""
        wanted = list(dict.fromkeys(("sys_id", *columns)))
        found = self.rows(table, wanted, f"sys_id={sys_id}", lambda row: row["sys_id"] == sys_id)
        return found[0] if found else None

    def create(self, table: str, values: Mapping[str, str]) -> str:
        """Make a record and return its sys_id, which the instance chooses."""
        said, endpoint = self._write("POST", table, "", values)
        made = said.get("sys_id") if isinstance(said, dict) else None
        made = made.get("value") if isinstance(made, dict) else made
        if not isinstance(made, str) or not rec.SYS_ID.fullmatch(made.strip(BLANK)):
            raise self.no_data(b"", endpoint)
        return made

    def change(self, table: str, sys_id: str, values: Mapping[str, str]) -> None:
        """Change columns of a record."""
        self._write("PATCH", table, sys_id, values)

    def delete(self, table: str, sys_id: str) -> None:
        """Delete a record; one that is gone already is no error."""
        self._write("DELETE", table, sys_id, {})

    def _write(self, method: str, table: str, sys_id: str, values: Mapping[str, str]) -> tuple[Any, str]:
        if wrong := [column for column in values if is_secret(column)]:
            raise PlanError(f"The column {wrong[0]} of {table} may hold a secret, and none is written to an instance.")
        endpoint = f"{method} /api/now/table/{table}"
        path = f"api/now/table/{table}{f'/{sys_id}' if sys_id else ''}"
        if self._fence is not None:
            self._fence.ask()
        more: dict[str, Any] = {"json": dict(values)} if values else {}
        asked = {"sysparm_fields": "sys_id", "sysparm_exclude_reference_link": "true"}
        status, headers, body = self._send(method, path, endpoint, params=asked, **more)
        said = json_of(body)
        if status in (200, 201, 204):
            if method == "DELETE":
                return None, endpoint
            result = said.get("result") if isinstance(said, dict) else None
            if not isinstance(result, dict):
                raise self.no_data(body, endpoint)
            return result, endpoint
        if status == 404 and method == "DELETE":
            return None, endpoint
        words = clean(message_of(said), 200)
        if status == 403:
            raise NotPermitted(
                f"The instance refuses to write to {table}{f': {words}' if words else ''}.",
                status=status,
                endpoint=endpoint,
                likely="An access control, a business rule or a data policy says no.",
                hint="Sign in with an account that may write there (roles admin, credential_admin and "
                "connection_admin), or do this step by hand as the checklist says.",
            )
        if status in (400, 404, 405, 409, 422):
            raise NotPermitted(
                f"The instance does not take this record for {table}{f': {words}' if words else ''}.",
                status=status,
                endpoint=endpoint,
                hint="Look at the table's dictionary on the instance, or do this step by hand as the checklist says.",
            )
        if status >= 500:
            raise ServiceError(f"The instance answered {status}{f' ({words})' if words else ''}.", status=status)
        raise self.refusal(status, headers, body, said, "", endpoint)
