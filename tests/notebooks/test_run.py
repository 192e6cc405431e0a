"""All notebooks: under nbval, one after the other on one home; and each alone, as on Binder, saved and exported.

What was saved, the state of the widgets in it, the HTML made of it and every file that was written hold no secret.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from tests.notebooks.conftest import NOTEBOOKS, ONE_PAGE, Surroundings

# What a token, a code or a JWT looks like, whoever made it; a name beside it would be harmless.
LOOKS_SECRET = re.compile(r"eyJ[\w-]{16,}\.[\w-]{8,}|practice-secret-[\w-]{8,}|ATOA[\w-]{16,}|[?&]code=[\w%.-]{8,}")


@pytest.fixture(scope="module")
def under_nbval(surroundings: Surroundings) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run all notebooks once in the process that needs it; tests of this module may be shared out."""
    (surroundings.folder / "pytest.ini").write_text("[pytest]\n")
    report = surroundings.folder / "report.xml"
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"),
            *("--nbval-cell-timeout", "180", f"--junitxml={report}", *(path.name for path in NOTEBOOKS)),
        ],
        cwd=surroundings.folder,
        env=surroundings.env,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return run, report


def test_all_notebooks_pass_under_nbval(
    surroundings: Surroundings, under_nbval: tuple[subprocess.CompletedProcess[str], Path]
) -> None:
    run, report = under_nbval
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    cells = {case.get("classname", "") + case.get("name", "") for case in ElementTree.parse(report).iter("testcase")}
    for path in NOTEBOOKS:
        code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        assert sum(path.stem in cell for cell in cells) == len(code), "every code cell was run"
    assert set(surroundings.secrets.values()) >= {"client_secret", "code", "state", "access_token", "refresh_token"}


# As binder/start and Binder itself set it: every kernel begins with nothing, its notebook catches up with the steps
# before, and nobody listens for the redirect.
ALONE = {
    "SPOKEKIT_STORE_URL": "sqlite://",
    "SPOKEKIT_VAULT": "memory",
    "BINDER_LAUNCH_HOST": "https://mybinder.org/",
    "JUPYTERHUB_USER": "spokekit-practice-abc",
    "JUPYTERHUB_SERVICE_PREFIX": "/user/spokekit-practice-abc/",
}


@pytest.mark.parametrize("name", [path.name for path in (*NOTEBOOKS, ONE_PAGE)])
def test_saved_and_exported_notebooks_hold_no_secret(surroundings: Surroundings, name: str) -> None:
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    notebook = nbformat.read(surroundings.folder / name, as_version=4)
    kernel = {"kernel_name": "python3", "resources": {"metadata": {"path": str(surroundings.folder)}}}
    client = NotebookClient(notebook, timeout=180, store_widget_state=True, **kernel)
    with client.setup_kernel(env=surroundings.env | ALONE):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        client.set_widgets_metadata()
    saved = nbformat.writes(notebook)
    state = json.dumps(notebook.metadata.get("widgets", {}))
    assert "application/vnd.jupyter.widget-state+json" in state, "the components' state was saved and looked at"
    html, _ = HTMLExporter(embed_images=True).from_notebook_node(notebook)
    (surroundings.folder / f"run-{name}").write_text(saved, encoding="utf-8")
    for place, text in (("the notebook", saved), ("the widget state", state), ("the HTML export", html)):
        _assert_clean(place, text, surroundings)


@pytest.mark.usefixtures("under_nbval")
def test_nothing_else_that_was_written_holds_a_secret(surroundings: Surroundings) -> None:
    files = [path for path in surroundings.folder.parent.rglob("*") if path.is_file()]
    assert any(path.name == "spokekit.sqlite" for path in files)
    assert any(path.name == "history.sqlite" for path in files)
    for path in files:
        _assert_clean(
            str(path.relative_to(surroundings.folder.parent)), path.read_bytes().decode("latin-1"), surroundings
        )


def _assert_clean(place: str, text: str, surroundings: Surroundings) -> None:
    found = sorted({kind for secret, kind in surroundings.secrets.items() if secret in text})
    assert not found, f"{place} holds a {' and a '.join(found)}"
    match = LOOKS_SECRET.search(text)
    assert match is None, f"{place} holds what looks like a secret: {text[match.start() - 80 : match.start()]!r}"
