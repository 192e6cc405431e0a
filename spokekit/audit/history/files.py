"""The Parquet files of a snapshot: how they are written and read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spokekit.audit.frames import IDS, by_name
from spokekit.audit.history.integrity import Damage, HashingFile, trouble

if TYPE_CHECKING:
    from spokekit.audit.history.snapshot import Snapshot


def known_ids(snapshot: Snapshot, kind: str) -> pa.Array:
    """Return the ids of `kind` (groups, users, spaces); an id's number is its place."""
    return in_order(load(snapshot.paths(f"{kind}-ids")), IDS[kind][0]).column(IDS[kind][1]).combine_chunks()


def in_order(table: pa.Table, column: str) -> pa.Table:
    """Return `table` sorted by a column of numbers."""
    numbers = table.column(column).to_numpy()
    # They nearly always come as they were written, and to sort half a million texts takes memory.
    if (numbers[1:] >= numbers[:-1]).all():
        return table
    return table.take(pa.array(np.argsort(numbers, kind="stable")))


def write_parquet(table: pa.Table, path: Path) -> str:
    """Write `table` to `path`, see to it that it is on the disk, and return the SHA-256 of the file."""
    # Sorted int32 columns shrink to almost nothing as deltas; a dictionary would get in the way of that.
    numbers = [f.name for f in table.schema if str(f.type) == "int32"]
    texts = [f.name for f in table.schema if str(f.type) == "string"]
    with HashingFile(path) as file:
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
        return file.sha256


def load(paths: Iterable[str], name: str = "") -> pa.Table:
    """Return the rows of all `paths`, one after another, those of a table `name` as `by_name` has them.

    Raises StoreError for a file that is damaged.
    """
    tables: list[pa.Table] = []
    for path in map(Path, paths):
        try:
            rows = pq.ParquetFile(path).read()
            tables.append(by_name(name, rows) if name else rows)
            tables = [pa.concat_tables(tables)]
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError):
            # Checksums were compared before; a file that has none shows here that it is no good.
            found = Damage(f"{path.parent.name}/{path.name}", "cannot be read as Parquet", gone=not path.exists())
            raise trouble(int(path.parent.name), path.parent, found) from None
    return tables[0]
