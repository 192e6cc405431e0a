"""``spokekit lab``: JupyterLab with the notebooks, on a practice site or on the person's own."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import warnings
from pathlib import Path
from typing import Annotated

import typer

from spokekit._home import home, private_folder, write_private
from spokekit._notebook_copies import FIRST, FOLDER, copy_notebooks
from spokekit.cli._class import CodeOption, JoinOption, NameOption, class_here, refuse_with_own_site
from spokekit.cli._output import say
from spokekit.cli._practice_home import PRACTICE_VARIABLE, practice_surroundings

app = typer.Typer(add_completion=False)

# Language servers and a terminal's notebooks are of no use here, and cost a part of the start.
_EXTENSIONS = {"spokekit.server_extension": True, "spokekit.cli._lab_server": True, "jupyter_lsp": False}


@app.command()
def lab(
    own_site: Annotated[
        bool, typer.Option("--own-site", help="Work on your own Confluence site; no practice site is started.")
    ] = False,
    instance: Annotated[
        bool, typer.Option("--instance", help="Start a practice instance of ServiceNow as well, for notebook 08.")
    ] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address, open no browser.")] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of JupyterLab.")] = 8888,
    folder: Annotated[Path, typer.Option("--folder", help="Where your copies of the notebooks are or go.")] = Path(
        FOLDER
    ),
    join: JoinOption = "",
    code: CodeOption = "",
    name: NameOption = "",
) -> None:
    """Open JupyterLab with the notebooks, on a practice site or on your own.

    Everything that this command starts stops with it. Your notebooks stay, and what you did on the practice site is
    kept apart from the records of your own site.
    """
    if own_site:
        refuse_with_own_site(join, code, name)
    # JupyterLab takes a second to load, as long as the practice site takes to start: both at the same time.
    loading = threading.Thread(target=_load_jupyterlab, daemon=True)
    loading.start()
    folder = folder.expanduser().resolve()
    copied = copy_notebooks(folder)
    say(f"Notebooks:     {folder}")
    for sentence in copied.words():
        say(f"               {sentence}")
    with contextlib.ExitStack() as stack:
        if own_site:
            os.environ.pop(PRACTICE_VARIABLE, None)
            if os.environ.get("SPOKEKIT_HOME"):
                # The kernels start in the notebooks' folder, where a relative name would be another folder.
                os.environ["SPOKEKIT_HOME"] = str(home())
            say(f"Records:       {home()}")
        else:
            site = stack.enter_context(practice_surroundings())
            say(f"Practice site: {site['url']}  (stands in for Atlassian; nothing leaves this machine)")
            say(f"Records:       {os.environ['SPOKEKIT_HOME']}  (for practice only)")
            class_here(join, code, name)
        if instance:
            from spokekit.practice.instance import PracticeInstance
            from spokekit.practice.instance.remote import VARIABLE

            made = stack.enter_context(PracticeInstance())
            os.environ[VARIABLE] = json.dumps(made.describe())
            say(f"Instance:      {made.url}  (stands in for ServiceNow; its records go with it)")
            say(f"               {made.page()}  (its records, by a link that works once)")
        say("Stop all of it with Ctrl-C here, or with File > Shut Down in JupyterLab.")
        loading.join()
        _run_jupyterlab(folder, port=port, browser=not no_browser)


def _without_news() -> None:
    """Switch off JupyterLab's question about news, for this process only: the person's settings stay as they are."""
    folder = private_folder(home() / "jupyterlab" / "labconfig")
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    write_private(folder / "page_config.json", json.dumps(quiet).encode())
    paths = [str(folder.parent), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, paths))


def _load_jupyterlab() -> None:
    # jsonschema builds a grammar for international addresses at its import, a second's work for a check that no
    # message of the server uses; without that package it leaves the check out.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    # What is wrong with it is met again, and told, where it is used.
    with contextlib.suppress(Exception):
        import jupyterlab.labapp  # noqa: F401


def _encryption() -> list[str]:
    """Return what makes server and kernels encrypt what they say to each other, where their versions can."""
    import zmq
    from jupyter_client.manager import KernelManager

    if zmq.has("curve") and KernelManager.class_traits().get("transport_encryption") is not None:
        return ["--KernelManager.transport_encryption=auto"]
    return []


def _run_jupyterlab(folder: Path, *, port: int, browser: bool) -> None:
    """Run JupyterLab in this process, so that it and its kernels end with it."""
    from jupyterlab.labapp import LabApp

    from spokekit.cli import _lab_server

    _without_news()
    # Warnings are other packages' advice to those who program with them, and one of them resets the filters; what goes
    # wrong here is an error, and told.
    warnings.showwarning = lambda *_, **__: None
    arguments = [
        f"--ServerApp.root_dir={folder}",
        f"--ServerApp.port={port}",
        # One document at a time, with the side bars folded: the notebook has the page to itself.
        f"--LabApp.default_url=/doc/tree/{FIRST}",
        f"--ServerApp.jpserver_extensions={_EXTENSIONS}",
        # Ctrl-C means stop: a question that waits in the terminal would leave everything running.
        "--ServerApp.answer_yes=True",
        # Its extension of this command opens the page (`_lab_server`).
        "--ServerApp.open_browser=False",
        # Nothing is asked of anybody but Atlassian: no news, no look for updates, no catalogue of extensions.
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        *_encryption(),
        # The server's talk is not for a newcomer; its errors are.
        "--Application.log_level=ERROR",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        say("You are root (a container?): JupyterLab is told to run all the same.")
        arguments.append("--ServerApp.allow_root=True")
    _lab_server.opens_page = browser
    LabApp.launch_instance(arguments)
