"""Notebooks run by the programs that run them in a job, one day after the other, in a home that lasts.

Each notebook has a practice site of its own, which ends with its kernel; what the home knows is of the one before.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from tests.notebooks.conftest import ROOT

FIRST, SECOND = "06-manage-members.ipynb", "04-add-confluence-groups.ipynb"


def test_yesterday_is_not_in_the_way(tmp_path: Path, home: Path) -> None:
    for name in (FIRST, SECOND):
        shutil.copy(ROOT / "notebooks" / name, tmp_path)
    # A home named here lasts; both programs find it as the first one left it.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "PYTEST_"))} | {
        "SPOKEKIT_UNATTENDED": "1",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        **{f"JUPYTER_{n.upper()}_DIR": str(tmp_path / n) for n in ("config", "data", "runtime")},
    }
    first = ["nbconvert", "--to", "notebook", "--execute", "--output", "first.ipynb", FIRST]
    run([sys.executable, "-m", *first], tmp_path, env)
    second = ["papermill", "--kernel", "python3", SECOND, "second.ipynb"]
    run([sys.executable, "-m", *second], tmp_path, env)
    assert (home / "spokekit.sqlite").is_file()
    for done in (tmp_path / "first.ipynb", tmp_path / "second.ipynb"):
        cells = nbformat.read(done, as_version=4).cells
        outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
        assert outputs and not [output for output in outputs if output.output_type == "error"]


def run(command: list[str], folder: Path, env: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
