"""The Parquet files of a snapshot: how they are written and read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from spokekit.audit.frames import IDS

if TYPE_CHECKING:
    import pyarrow as pa

    from spokekit.audit.snapshots import Snapshot


def known_ids(snapshot: Snapshot, kind: str) -> pa.Array:
    """Return the ids of `kind` (groups, users, spaces); an id's number is its place."""
    column, id_column = IDS[kind]
    table = load(snapshot.paths(f"{kind}-ids"))
    numbers = table.column(column).to_numpy()
    if (numbers[1:] < numbers[:-1]).any():
        table = table.sort_by(column)
    return table.column(id_column).combine_chunks()


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write `table` to `path` and see to it that it is on the disk."""
    import pyarrow.parquet as pq

    # Sorted int32 columns shrink to almost nothing as deltas; a dictionary would get in the way of that.
    numbers = [f.name for f in table.schema if str(f.type) == "int32"]
    texts = [f.name for f in table.schema if str(f.type) == "string"]
    with path.open("wb") as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            use_dictionary=texts,
            column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
            row_group_size=250_000,
        )
        file.flush()
        os.fsync(file.fileno())


def load(paths: Iterable[str]) -> pa.Table:
    """Return the rows of all `paths`, one after another."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.ParquetFile(path).read() for path in paths])
