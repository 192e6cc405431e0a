"""The files beside a store that hold a sealed token until the store has it; `spokekit.oauth.unsaved` writes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from spokekit._home import home
from spokekit.errors import SpokekitError

if TYPE_CHECKING:
    from spokekit.connections.store import Store

_BEGIN, _END = "token-", ".sealed"


def folder_beside(store: Store) -> Path | None:
    """Return the folder of the store's file, the home for a store on a server, None for one in memory."""
    if store.in_memory:
        return None
    if store.path is not None:
        return store.path.parent
    try:
        return home()
    except SpokekitError:
        # A home that cannot be used is told by whatever needs it.
        return None


def token_file(folder: Path, connection_id: str, name: str) -> Path:
    """Return the path for a token of a connection; `name` tells several apart."""
    return folder / f"{_BEGIN}{connection_id}.{name}{_END}"


def token_files(folder: Path | None, connection_id: str = "") -> list[Path]:
    """Return the files of a connection in a folder, or those of all; none where it cannot be looked into."""
    begin = f"{_BEGIN}{connection_id}." if connection_id else _BEGIN
    try:
        with os.scandir(folder or os.devnull) as entries:
            return sorted(Path(e.path) for e in entries if e.name.startswith(begin) and e.name.endswith(_END))
    except OSError:
        return []
