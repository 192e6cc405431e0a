"""Each cell as the first one that runs after Python was started: an answer, or one line that says what comes first."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.notebooks.conftest import NOTEBOOKS, ONE_PAGE

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

RUN = """
import json, os, sys
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance(colors="NoColor")
said = {}
for path in sys.argv[1:]:
    os.environ["JPY_SESSION_NAME"] = path
    with open(path, encoding="utf-8") as file:
        cells = json.load(file)["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            shell.reset(new_session=True)
            with capture_output() as caught:
                done = shell.run_cell("".join(cell["source"]), store_history=True)
            said[f"{path}#{cell['id']}"] = None if done.success else caught.stdout + caught.stderr
with open("said.json", "w") as file:
    json.dump(said, file)
"""


def run(books: list[Path], site: PracticeSite, folder: Path) -> dict[str, str | None]:
    env = os.environ | {"SPOKEKIT_PRACTICE": json.dumps(site.describe()), "IPYTHONDIR": str(folder / "ipython")}
    command = [sys.executable, "-c", RUN, *map(str, books)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, str | None] = json.loads((folder / "said.json").read_text())
    return {key.rpartition("/")[2]: words for key, words in found.items()}


def test_no_cell_answers_with_a_traceback(workspace: Workspace, site: PracticeSite, tmp_path: Path) -> None:
    said = run([*NOTEBOOKS, ONE_PAGE], site, tmp_path)
    for cell, words in said.items():
        if words is not None:
            lines = [line for line in words.splitlines() if line.strip()]
            assert lines[-1].startswith("Not yet: ") and "Traceback" not in words and "NameError" not in words, cell
    assert said["06-manage-members.ipynb#f6a10002"] is None, "the guide answers in any case"
    assert said["03-get-the-oauth-token.ipynb#a0a93ad3"].splitlines()[-1] == (  # type: ignore[union-attr]
        "Not yet: `token` is not there. The cell under “3 · Get the OAuth token” makes it: run that cell first, "
        "or choose Run > Run All Cells."
    )
    assert "“Get the OAuth token” comes first" in said["05-audit-group-access.ipynb#e5a10009"]  # type: ignore[operator]


MINE = """{"cells": [
 {"cell_type": "markdown", "source": ["# Mine\\n", "```\\n", "# no heading\\n", "```"]},
 {"cell_type": "code", "id": "a", "source": ["import spokekit.widgets\\n", "early = later"]},
 {"cell_type": "code", "id": "b", "source": ["import spokekit.widgets\\n", "print(erly)"]},
 {"cell_type": "code", "id": "c", "source": ["import spokekit.widgets\\n", "def f(): return len(nowhere)\\n", "f()"]},
 {"cell_type": "markdown", "source": ["## Later, *much* later"]},
 {"cell_type": "code", "id": "d", "source": ["%time later = 1"]},
 {"cell_type": "code", "id": "e", "source": ["for later in ():\\n", "    pass"]},
 {"cell_type": "code", "id": "f", "source": ["import spokekit.widgets\\n", "exec('missing', {})"]}
]}"""


def test_a_slip_of_ones_own_stays_what_it_is(workspace: Workspace, site: PracticeSite, tmp_path: Path) -> None:
    book = tmp_path / "mine.ipynb"
    book.write_text(MINE)
    said = run([book], site, tmp_path)
    assert re.search(
        "Not yet: `later` is not there. The cell under “Later, [*]much[*] later”", said["mine.ipynb#a"] or ""
    )
    for cell, name in (("b", "erly"), ("c", "nowhere"), ("f", "missing")):
        words = said[f"mine.ipynb#{cell}"] or ""
        assert f"NameError: name '{name}' is not defined" in words and "Not yet" not in words


@pytest.mark.parametrize("wanted", ["work", "registry", "groups", "audit"])
def test_names_of_a_notebook_look_again_each_time(connected: Workspace, site: PracticeSite, wanted: str) -> None:
    from spokekit import notebook
    from spokekit.errors import NotConfigured, NotFound

    if wanted == "work":
        assert notebook.work.store.describe() == connected.store.describe()
        return
    if wanted == "registry":
        assert notebook.registry.ids() == connected.registry().ids()
        return
    with pytest.raises(NotConfigured if wanted == "groups" else NotFound, match="Not yet: ") as caught:
        getattr(notebook, wanted)
    assert caught.value._render_traceback_() == [str(caught.value)]  # type: ignore[attr-defined]
    groups = site.world.frames(tables=("groups",))["groups"]
    connected.registry().add(list(groups["group_id"].head(2)), groups=groups)
    if wanted == "groups":
        assert len(notebook.groups) == 2
        return
    from spokekit.widgets import WalkPanel

    walk = WalkPanel(workspace=connected)
    walk.rehearse()
    first = notebook.audit
    assert first is notebook.audit, "the tables are opened once"
    walk.rehearse()
    assert notebook.audit.taken_at > first.taken_at
    assert {"work", "registry", "groups", "audit"} == set(dir(notebook))
    with pytest.raises(ImportError):
        exec("from spokekit.notebook import nothing_of_that_name")
