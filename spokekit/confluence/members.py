"""Members of groups as columns: each user once, each membership as two small integers.

A walk over a large site brings millions of memberships of a few hundred thousand users. Kept as dicts that would take
gigabytes; kept as one table of users and two int32 columns it takes 8 bytes a membership.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from spokekit._frames import Codes, categorical, numbers
from spokekit.confluence.shapes import Member

if TYPE_CHECKING:
    import pandas as pd

_TEXTS = ("display_name", "public_name", "email", "account_type")
COLUMNS = ("group_id", "account_id", *_TEXTS, "is_guest", "licensed")


class MemberTable:
    """Collects members group by group; `frame` makes the frame of `COLUMNS`."""

    def __init__(self) -> None:
        self._accounts = Codes()
        self._texts = {name: Codes() for name in _TEXTS}
        self._guest = array("b")
        self._licensed = array("b")
        self._groups: list[str] = []
        self._sizes = array("q")
        self._users = array("i")
        self.without_operations: set[str] = set()

    def __len__(self) -> int:
        return len(self._users)

    def code(self, member: Member) -> int:
        """Return the user's number, and keep what is known about the user the first time."""
        code = self._accounts.number(member.account_id)
        if code < len(self._guest):
            return code
        for name, codes in self._texts.items():
            codes.add(getattr(member, name) or "")
        self._guest.append(bool(member.is_guest))
        self._licensed.append(bool(member.operations))
        if member.operations is None:
            self.without_operations.add(member.account_id)
        return code

    def add(self, group_id: str, codes: array[int]) -> None:
        """Add one group with the numbers of its members."""
        self._groups.append(group_id)
        self._sizes.append(len(codes))
        self._users.extend(codes)

    def frame(self) -> pd.DataFrame:
        """Return the memberships as a frame; texts are categories, which share one copy of each text."""
        import numpy as np
        import pandas as pd

        users = numbers(self._users)
        groups = np.repeat(np.arange(len(self._sizes), dtype=np.int32), numbers(self._sizes))
        columns: dict[str, object] = {
            "group_id": categorical(groups, self._groups),
            "account_id": categorical(users, self._accounts.texts),
            **{name: codes.categorical(users) for name, codes in self._texts.items()},
            "is_guest": numbers(self._guest).astype(bool)[users],
            "licensed": numbers(self._licensed).astype(bool)[users],
        }
        return pd.DataFrame(columns, columns=list(COLUMNS), copy=False)
