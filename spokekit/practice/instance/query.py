"""Encoded queries, as far as the practice instance understands them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Row = Mapping[str, str]
Test = Callable[[Row], bool]

# The longer ones first: "=" stands in "!=".
_OPERATORS = ("STARTSWITH", "ISNOTEMPTY", "ISEMPTY", "NOT IN", "LIKE", "IN", "!=", "=")


class Query:
    """A query: all of its groups have to hold, and of a group (``^OR``) one part.

    ``invalid`` are the parts that name no column or have no operator; an instance ignores them.
    """

    def __init__(self, text: str, columns: Mapping[str, object]) -> None:
        self.groups: list[list[Test]] = []
        self.order: list[tuple[str, bool]] = []
        self.invalid: list[str] = []
        for part in text.split("^"):
            if not part:
                continue
            if part.startswith("ORDERBY"):
                down = part.startswith("ORDERBYDESC")
                name = part.removeprefix("ORDERBYDESC" if down else "ORDERBY")
                if name in columns:
                    self.order.append((name, down))
                else:
                    self.invalid.append(f"ORDERBY{name}")
                continue
            alternative = part.startswith("OR")
            test = _test(part[2:] if alternative else part, columns)
            if test is None:
                self.invalid.append(part)
            elif alternative and self.groups:
                self.groups[-1].append(test)
            else:
                self.groups.append([test])

    def holds(self, row: Row) -> bool:
        """Tell whether a record is found."""
        return all(any(test(row) for test in group) for group in self.groups)


def _test(part: str, columns: Mapping[str, object]) -> Test | None:
    for at in range(1, len(part)):
        name = part[:at]
        if name not in columns:
            continue
        for operator in _OPERATORS:
            if part[at:].startswith(operator):
                return _compare(name, operator, part[at + len(operator) :])
    return None


def _compare(name: str, operator: str, value: str) -> Test:
    low, many = value.lower(), [one.strip().lower() for one in value.split(",")]

    def held(row: Row) -> str:
        return row.get(name, "").lower()

    return {
        "=": lambda row: held(row) == low,
        "!=": lambda row: held(row) != low,
        "STARTSWITH": lambda row: held(row).startswith(low),
        "LIKE": lambda row: low in held(row),
        "IN": lambda row: held(row) in many,
        "NOT IN": lambda row: held(row) not in many,
        "ISEMPTY": lambda row: held(row) == "",
        "ISNOTEMPTY": lambda row: held(row) != "",
    }[operator]
