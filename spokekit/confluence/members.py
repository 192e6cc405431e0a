"""Members of groups as columns: each user once, each membership as two small integers.

A walk over a large site brings millions of memberships of a few hundred thousand users. Kept as dicts that would take
gigabytes; kept as one table of users and two int32 columns it takes 8 bytes a membership.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from spokekit.confluence.shapes import Member

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "group_id",
    "account_id",
    "display_name",
    "public_name",
    "email",
    "account_type",
    "is_guest",
    "licensed",
)
_TEXTS = ("display_name", "public_name", "email", "account_type")


class MemberTable:
    """Collects members group by group; `frame` makes the frame of `COLUMNS`."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._texts: dict[str, list[str]] = {name: [] for name in _TEXTS}
        self._guest = bytearray()
        self._licensed = bytearray()
        self._groups: list[str] = []
        self._sizes = array("q")
        self._users = array("i")
        self.without_operations: set[str] = set()

    def __len__(self) -> int:
        return len(self._users)

    def code(self, member: Member) -> int:
        """Return the user's number, and keep what is known about the user the first time."""
        code = self._codes.get(member.account_id)
        if code is not None:
            return code
        code = len(self._codes)
        self._codes[member.account_id] = code
        texts = self._texts
        texts["display_name"].append(member.display_name or "")
        texts["public_name"].append(member.public_name or "")
        texts["email"].append(member.email or "")
        texts["account_type"].append(member.account_type or "")
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

        users = np.frombuffer(self._users, dtype=np.int32) if len(self._users) else np.empty(0, np.int32)
        sizes = np.frombuffer(self._sizes, dtype=np.int64) if len(self._sizes) else np.empty(0, np.int64)
        groups = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        columns: dict[str, object] = {
            "group_id": pd.Categorical.from_codes(groups, categories=_index(self._groups)),
            "account_id": pd.Categorical.from_codes(users, categories=_index(list(self._codes))),
        }
        for name in _TEXTS:
            codes, texts = _numbered(self._texts[name])
            columns[name] = pd.Categorical.from_codes(
                np.asarray(codes, dtype=np.int32)[users], categories=_index(texts)
            )
        for name, flags in (("is_guest", self._guest), ("licensed", self._licensed)):
            columns[name] = np.frombuffer(bytes(flags), dtype=np.bool_)[users]
        return pd.DataFrame(columns, columns=list(COLUMNS), copy=False)


def _index(texts: list[str]) -> pd.Index[str]:
    import pandas as pd

    return pd.Index(texts, dtype="str")


def _numbered(texts: list[str]) -> tuple[list[int], list[str]]:
    numbers: dict[str, int] = {}
    return [numbers.setdefault(text, len(numbers)) for text in texts], list(numbers)
