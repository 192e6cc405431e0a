"""Components where no page can show them: real Python and real IPython say the state in words, and the commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import spokekit.widgets as components
from spokekit.cli import app
from spokekit.widgets import AppSheet, Component, Guide, LessonPanel, TokenButton
from tests.conftest import connect

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

CLASSES = [
    found
    for name in components.__all__
    if isinstance(found := getattr(components, name), type) and issubclass(found, Component) and found is not Component
]
TYPED = "from spokekit.widgets import Guide, TokenButton\nGuide()\nTokenButton()\n"
PYTHON = [sys.executable, "-i", "-q"]
IPYTHON = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit"]


@pytest.mark.parametrize("program", [PYTHON, IPYTHON], ids=["python", "ipython"])
def test_a_terminal_tells_the_state_and_the_way_on(
    program: list[str], workspace: Workspace, site: PracticeSite, tmp_path: Path
) -> None:
    workspace.tokens.forget(connect(workspace, site))
    workspace.store.close()
    env = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython")}
    run = subprocess.run(program, input=TYPED, env=env, capture_output=True, text=True, timeout=60)
    said = run.stdout
    assert "Where you are\nOn your own site.\nDone: 1 Create the OAuth app: client ID and secret are here; 2 " in said
    assert "Next is 3 Get the OAuth token, by command: spokekit token get\n" in said
    assert "Get the OAuth token\nConfigured, without a token." in said
    assert "The same by command: spokekit token get\n" in said
    assert "Guide()" not in said and "…" not in said.split("Get the OAuth token\n")[1], "nothing is cut short"
    assert "Traceback" not in said + run.stderr


@pytest.mark.parametrize("command", sorted({command for one in CLASSES for command in one.commands}))
def test_the_commands_that_are_named_are_there(command: str) -> None:
    words = command.split()
    assert words[0] == "spokekit"
    assert CliRunner().invoke(app, [*words[1:], "--help"]).exit_code == 0


def test_every_component_has_a_way_on(connected: Workspace) -> None:
    led = {Guide, components.OnePage}
    assert [one.__name__ for one in CLASSES if not one.commands and one not in led] == []
    assert "Next is 4 Add Confluence groups, by command: spokekit groups add" in repr(components.OnePage())
    assert "\nCallback URL: http://localhost:8751/callback\nScopes: read:" in repr(AppSheet())
    assert "spokekit lessons begin consent-is-dead" in repr(LessonPanel("consent-is-dead"))


def test_what_a_server_sent_is_plain_text_there(connected: Workspace) -> None:
    button = TokenButton(workspace=connected)
    button.set_trait("status", "Connected to \x1b[31mred\u202e\x07")
    assert "\x1b" not in repr(button) and "\u202e" not in repr(button) and "\x07" not in repr(button)
