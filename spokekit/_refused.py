"""What this computer refuses (a file, a folder, a port), told as an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from spokekit.errors import SpokekitError


@contextmanager
def told_as(kind: type[SpokekitError], what: str, **more: Any) -> Iterator[None]:
    """Raise an `OSError` of the block as an error of ours: `what` could not be done, and the system's reason for it."""
    try:
        yield
    except OSError as error:
        raise kind(f"{what}: {error.strerror or error}.", **more) from None
