"""``spokekit notebooks``: a person's own copies of the notebooks, for a Jupyter that runs already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spokekit._notebook_copies import FIRST, FOLDER, copy_notebooks
from spokekit.cli._output import say

app = typer.Typer(add_completion=False)


@app.command()
def notebooks(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where your copies are or go.")] = Path(FOLDER),
) -> None:
    """Put your own copies of the notebooks into a folder, for a Jupyter that runs already.

    What you changed there stays; copies that you did not change follow a new version. `spokekit lab` does the same and
    starts JupyterLab. `spokekit practice` runs your Jupyter beside a practice site.
    """
    folder = folder.expanduser().resolve()
    copied = copy_notebooks(folder, named_by="FOLDER")
    for sentence in (
        copied.words() if any((copied.added, copied.renewed, copied.beside)) else ["All are there already."]
    ):
        say(sentence)
    say(f"Open this one in your Jupyter: {folder / FIRST}")
