"""The attempts of a practice home on the next day: their connections follow the practice site."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from spokekit._http import clean
from spokekit._workspace import Workspace
from spokekit.connections.store import Store
from spokekit.errors import SpokekitError
from spokekit.oauth.practice import put_right
from spokekit.training.attempts import FOLDER, RECORD, begin_again, current_in, enter_home, environment_kept


def put_attempts_right(root: Path, site: Mapping[str, Any], before: str | None) -> list[str]:
    """Make the connections of all attempts of a practice home fit today's practice site; see `practice.put_right`.

    Returns what the person has to know: the attempt in which they are has lost its token, or one cannot be read.
    """
    # What a learner has typed as the client secret is theirs, right or wrong.
    about = {name: value for name, value in site.items() if name != "client_secret"}
    now = current_in(root)
    told = []
    for record in sorted(root.glob(f"{FOLDER}/*/*/{RECORD}")):
        path, name = record.parent / "spokekit.sqlite", record.parent.parent.name
        if not path.is_file():
            continue
        with environment_kept():
            enter_home(record.parent)
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
