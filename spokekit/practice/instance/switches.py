"""What is not known of a real instance, or differs from one to the next, and can be set either way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spokekit.errors import InputError

FAULTS = {
    "asleep": "a developer instance that hibernates: every request is answered with a web page and 200",
    "basic": "basic authentication is refused for everybody (the restriction of newer instances)",
    "denied": "denied:TABLE answers 403, as an access control does",
    "hidden": "hidden:TABLE leaves the rows out and still counts them",
    "repeats": "every page of a list is the first one, whatever was asked for",
    "busy": "every request is answered with 429 and Retry-After: 30",
    "down": "every request is answered with 503",
}
"""What can go wrong, by name."""


@dataclass
class InstanceSwitches:
    """Behaviour of an instance that is not documented, or that an administrator chooses."""

    default_profile_made: bool = True
    """Whether saving a registry by the Table API makes its default profile. Documented for the form."""

    invalid_query_returns_no_rows: bool = False
    """What a part of a query that cannot be understood does: it is ignored (documented), or nothing comes
    (``glide.invalid_query.returns_no_rows``)."""

    basic_restricted: bool = True
    """Whether basic authentication is refused, whoever asks. Documented for newer instances."""

    hidden_tables: frozenset[str] = field(default_factory=frozenset)
    """Tables that this instance does not have."""

    hidden_columns: frozenset[str] = field(default_factory=frozenset)
    """``table.column`` that this instance does not have."""

    import_checks_names: bool = False
    """Whether an XML import refuses a second connection of the same name. Unknown."""

    rewrites: Mapping[str, str] = field(default_factory=dict)
    """``table.column`` -> what a business rule of this instance sets it to, whatever was sent."""

    token_seconds: int = 1799
    """How long an access token is good. Documented: 30 minutes."""

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return switches as JSON has them, for `InstanceSwitches`; raises `InputError` for what is none."""
        usual, found = cls(), {}
        for name, value in told.items():
            kind = type(getattr(usual, name, None))
            texts = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
            if kind is frozenset and isinstance(value, list):
                found[name] = frozenset(map(str, value))
            elif kind in (dict, bool, int) and type(value) is kind:
                found[name] = value
            if name not in found or not all(isinstance(one, str) for one in texts):
                raise InputError(f"The practice instance has no switch {name!r} that can be {value!r}.", field="switch")
        return found


def check_fault(text: str) -> str:
    """Return a fault as ``name`` or ``name:table``; raises `InputError` for one that is none."""
    name, _, table = text.partition(":")
    if name not in FAULTS or bool(table) != (name in ("denied", "hidden")):
        raise InputError(
            f"The practice instance has no fault {text!r}.",
            field="fault",
            hint="Faults: " + ", ".join(f"{one}:TABLE" if one in ("denied", "hidden") else one for one in FAULTS) + ".",
        )
    return text
