"""Run All, as a person presses it: no example cell decides, applies, registers or writes anything.

The cells run in one IPython outside of JupyterLab, on a home that is connected and walked, so that none of them stops
early; what the home, the working folder, the temporary folder and the site hold is the same before and after.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from spokekit.widgets import WalkPanel
from tests.notebooks.conftest import NOTEBOOKS, ONE_PAGE

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

RUN = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for path in sys.argv[1:]:
    shell.reset(new_session=True)
    with open(path, encoding="utf-8") as file:
        cells = json.load(file)["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            shell.run_cell("".join(cell["source"])).raise_error()
    widgets = [w for w in shell.user_ns.values() if hasattr(w, "settled") and not isinstance(w, type)]
    for widget in widgets:
        widget.settled()
    print("ran", path)
"""
# What the requests of this hour cost is written down with every call, also of one that only reads.
OF_EVERY_CALL = {"quota", "sqlite"}


def state(folders: list[Path]) -> dict[str, object]:
    """Return every file, and of a database its rows."""
    found: dict[str, object] = {}
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            if path.suffix == ".sqlite":
                found |= rows(path)
            elif not path.name.endswith(("-wal", "-shm", ".lock")):
                found[str(path)] = path.read_bytes()
    return found


def rows(path: Path) -> dict[str, object]:
    with closing(sqlite3.connect(path)) as file:
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: sorted(map(repr, file.execute(f'SELECT * FROM "{name}"'))) for name in tables}
    # A table that is made and stays empty says nothing.
    return {f"{path}:{name}": held for name, held in found.items() if held and name.split("_")[0] not in OF_EVERY_CALL}


def test_a_run_from_the_top_leaves_everything_as_it_was(
    connected: Workspace, site: PracticeSite, home: Path, tmp_path: Path
) -> None:
    groups = site.world.frames(tables=("groups",))["groups"]
    connected.registry().add(list(groups.loc[groups["access"] != "", "group_id"]), groups=groups)
    WalkPanel(workspace=connected).rehearse(groups="all", spaces=True)
    work, temporary = tmp_path / "work", tmp_path / "tmp"
    work.mkdir()
    temporary.mkdir()
    env = os.environ | {
        "SPOKEKIT_PRACTICE": json.dumps(site.describe()),
        "TMPDIR": str(temporary),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    before, writes = state([home, work, temporary]), list(site.writes)
    books = [str(path) for path in (*NOTEBOOKS, ONE_PAGE)]
    run = subprocess.run(
        [sys.executable, "-c", RUN, *books], cwd=work, env=env, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert run.stdout.count("ran ") == len(books)
    after = state([home, work, temporary])
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    assert changed == []
    assert list(site.writes) == writes
