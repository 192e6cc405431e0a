"""What an apply is for: kept beside the journal in the transaction that opens the apply, and never rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from spokekit.groups.tables import purposes_table

if TYPE_CHECKING:
    from spokekit.connections.store import Store


@dataclass(frozen=True)
class Purpose:
    """What an apply belongs to: ``words`` for people, such as the name of an access review, and its ``reference``."""

    words: str
    reference: str


def note(connection: sa.Connection, apply_id: str, purpose: Purpose) -> None:
    """Write the purpose of an apply, in the transaction that opens it."""
    connection.execute(
        purposes_table.insert().values(apply_id=apply_id, purpose=purpose.words, reference=purpose.reference)
    )


def purposes(store: Store) -> Mapping[str, Purpose]:
    """Return the purposes by apply id."""
    store.ensure(purposes_table)
    found = store.fetch(sa.select(purposes_table))
    return {apply_id: Purpose(words, reference) for apply_id, words, reference in found}
