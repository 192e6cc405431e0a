"""The attempts of a practice home on the next day: their connections follow the practice site."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spokekit._http import clean
from spokekit.errors import SpokekitError
from spokekit.training.attempts import FOLDER, NOT_OURS, RECORD, begin_again, current_in, enter_home


def put_attempts_right(root: Path, site: Mapping[str, Any], before: str | None) -> list[str]:
    """Make the connections of all attempts of a practice home fit today's practice site; see `practice.put_right`.

    Returns what the person has to know: the attempt in which they are has lost its token, or one cannot be read.
    """
    import sqlalchemy as sa

    from spokekit._workspace import Workspace
    from spokekit.connections.store import Store
    from spokekit.oauth.practice import put_right

    # What a learner has typed as the client secret is theirs, right or wrong.
    about = {name: value for name, value in site.items() if name != "client_secret"}
    now = current_in(root)
    told = []
    for record in sorted(root.glob(f"{FOLDER}/*/*/{RECORD}")):
        path, name = record.parent / "spokekit.sqlite", record.parent.parent.name
        if not path.is_file():
            continue
        with _entered(record.parent):
            work = Workspace(Store(sa.URL.create("sqlite", database=str(path))))
            try:
                lost = put_right(work.connections, work.tokens, about, before)
            except SpokekitError as error:
                told.append(f"The records of an attempt at the lesson {name} cannot be read: {clean(error.message)}")
            else:
                if lost and now == (name, int(record.parent.name)):
                    told.append(f"The practice site does not know the token of the lesson {name}. {begin_again(name)}")
            finally:
                work.close()
    return told


@contextmanager
def _entered(folder: Path) -> Iterator[None]:
    """Let this process work in an attempt's home for a moment."""
    kept = {name: os.environ.get(name) for name in ("SPOKEKIT_HOME", "SPOKEKIT_VAULT", *NOT_OURS)}
    enter_home(folder)
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
