"""Drive a real JupyterLab: start it apart from the person's own settings, open notebooks, run, look, save."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

BASE_URL = "/user/someone/"

# The server dies with the test run, whatever happens to it: on Linux its parent's death is a signal.
TIED = (
    "import ctypes, os, signal, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, signal.SIGTERM)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)

# A kernel reads its own environment from a file beside the notebook: one server serves tests with different homes.
_STARTUP = """
import json as _json, os as _os
if _os.path.exists("kernel-env.json"):
    with open("kernel-env.json") as _file:
        _os.environ.update(_json.load(_file))
del _json, _os
"""

_OPEN = """async (path) => {
  const app = window.jupyterapp;
  await app.restored;
  const widget = await app.commands.execute('docmanager:open', {path, factory: 'Notebook', kernel: {name: 'python3'}});
  await widget.context.ready;
  await widget.sessionContext.ready;
  while (widget.sessionContext.session?.kernel?.status !== 'idle') await new Promise((r) => setTimeout(r, 50));
  (window.spokekitNotebooks ??= {})[path] = widget;
}"""

_WITH = "async ([path, more]) => { const app = window.jupyterapp, widget = window.spokekitNotebooks[path]; %s }"


def in_time(script: str) -> str:
    """Return `script`, a function of one argument, so that it fails where JupyterLab or a kernel never answers."""
    late = "setTimeout(() => reject(new Error('JupyterLab has not answered within three minutes')), 180_000)"
    return f"(given) => Promise.race([({script})(given), new Promise((_, reject) => {late})])"


def find_chromium() -> str | None:
    """Return a system Chromium: ``SPOKEKIT_CHROMIUM``, or what is on the path."""
    chosen = os.environ.get("SPOKEKIT_CHROMIUM")
    return chosen or next(
        (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
    )


class Lab:
    """One running JupyterLab and one browser page showing it."""

    def __init__(self, folder: Path, browser: Browser, shots: Path | None = None) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.shots = shots or folder / "screenshots"
        self.log = folder / "server.log"
        self.token = secrets.token_hex(16)
        self.port = _free_port()
        self.base = f"http://127.0.0.1:{self.port}{BASE_URL}"
        self._browser = browser
        self._numbers = itertools.count(1)
        self.page: Page

    def __enter__(self) -> Lab:
        for name in ("root", "config", "data", "runtime", "settings", "workspaces", "ipython", "home"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.shots.mkdir(parents=True, exist_ok=True)
        startup = self.folder / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "00-environment.py").write_text(_STARTUP)
        self.settings("@jupyterlab/apputils-extension", "notification", fetchNews="false", checkForUpdates=False)
        # Saved state is what a secret would leak through: the tests keep it on.
        self.settings("@jupyter-widgets/jupyterlab-manager", "plugin", saveState=True)
        (self.folder / "config" / "jupyter_server_config.json").write_text(json.dumps(self._config()))
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "SPOKEKIT_", "JPY_", "PYTEST_"))},
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "workspaces"),
            "IPYTHONDIR": str(self.folder / "ipython"),
            "SPOKEKIT_HOME": str(self.folder / "home"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "BROWSER": "true",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            # A laptop's terminal and a desktop session must not change what the kit decides.
            "NO_PROXY": "127.0.0.1,localhost",
        }
        command = ["-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={self.port}"]
        command += ["--ip=127.0.0.1", "--ServerApp.port_retries=0", f"--ServerApp.base_url={BASE_URL}"]
        command += [f"--ServerApp.root_dir={self.root}", f"--IdentityProvider.token={self.token}"]
        command += ["--LabApp.expose_app_in_browser=True"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", TIED, *command], env=env, stdout=log, stderr=log, cwd=self.folder
            )
        try:
            self._wait_for_server()
            self.page = self._browser.new_page(viewport={"width": 1280, "height": 1600})
            self.page.context.grant_permissions(
                ["clipboard-read", "clipboard-write"], origin=self.base.split("/user")[0]
            )
            self.page.goto(f"{self.base}lab?token={self.token}")
            self.page.wait_for_function("window.jupyterapp")
            self.page.evaluate(in_time("async () => { await window.jupyterapp.restored; }"))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if getattr(self, "page", None) is not None:
            with suppress(Exception):
                self.page.context.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {}
        with suppress(ImportError):
            import spokekit.server_extension as extension

            # An installed wheel enables it by its own file; a checkout has no such file in the environment.
            if hasattr(extension, "_jupyter_server_extension_points"):
                config = {"ServerApp": {"jpserver_extensions": {"spokekit.server_extension": True}}}
        return config

    def _wait_for_server(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with suppress(OSError):
                urllib.request.urlopen(f"{self.base}api?token={self.token}", timeout=2).close()
                return
            time.sleep(0.1)
        raise AssertionError(f"JupyterLab did not start:\n{self.log.read_text()[-3000:]}")

    def settings(self, package: str, plugin: str, **values: Any) -> None:
        """Write user settings of a JupyterLab plugin; takes effect when the page loads."""
        path = self.folder / "settings" / package / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def theme(self, name: str) -> None:
        """Switch to ``light`` or ``dark``."""
        theme = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}[name]
        self.page.evaluate(
            "async (theme) => { await window.jupyterapp.commands.execute('apputils:change-theme', {theme}); }", theme
        )
        light = "true" if name == "light" else "false"
        self.page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)

    def open_notebook(
        self, source: Path | str | Sequence[str], *, env: dict[str, str] | None = None, name: str | None = None
    ) -> NotebookPage:
        """Open a copy of the notebook `source`, or a new one with the code cells `source`, with a fresh kernel."""
        folder = self.root / f"n{next(self._numbers)}"
        folder.mkdir()
        if isinstance(source, str | Path):
            path = folder / (name or Path(source).name)
            shutil.copyfile(source, path)
        else:
            path = folder / (name or "test.ipynb")
            book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in source])
            book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(book, path)
        (folder / "kernel-env.json").write_text(json.dumps(env or {}))
        notebook = NotebookPage(self, path)
        self.page.evaluate(in_time(_OPEN), notebook.lab_path)
        return notebook


class NotebookPage:
    """One open notebook. ``page`` is Playwright's page with JupyterLab in it."""

    def __init__(self, lab: Lab, path: Path) -> None:
        self.lab = lab
        self.page = lab.page
        self.path = path
        self.folder = path.parent
        self.lab_path = path.relative_to(lab.root).as_posix()
        self.closed = False

    def _js(self, body: str, more: Any = None) -> Any:
        return self.page.evaluate(in_time(_WITH % body), [self.lab_path, more])

    # --- doing ---------------------------------------------------------------------------------------------------
    def activate(self) -> None:
        """Bring the notebook to the front."""
        self._js("app.shell.activateById(widget.id);")

    def run_all(self) -> None:
        """Run all cells and return when all are done."""
        self.activate()
        self._js("await app.commands.execute('notebook:run-all-cells');")

    def run_cell(self, index: int) -> None:
        """Run one cell (counted over all cells, text cells too) and return when it is done."""
        self.activate()
        self._js(
            "widget.content.activeCellIndex = more; widget.content.deselectAll();"
            "await app.commands.execute('notebook:run-cell');",
            index,
        )

    def execute(self, code: str) -> dict[str, Any]:
        """Run `code` in the kernel without a cell; returns its reply content."""
        answer = self._js(
            "const future = widget.sessionContext.session.kernel.requestExecute({code: more, silent: false,"
            " store_history: false}); let said = ''; future.onIOPub = (m) => {"
            " if (m.header.msg_type === 'stream') said += m.content.text; };"
            " const reply = await future.done; return {...reply.content, said};",
            code,
        )
        assert answer["status"] == "ok", answer
        return dict(answer)

    def save(self) -> dict[str, Any]:
        """Save as the person would and return the notebook's JSON as it lies on disk."""
        self._js("await widget.context.save();")
        return self.saved()

    def saved(self) -> dict[str, Any]:
        """Return the JSON of the file on disk."""
        return dict(json.loads(self.path.read_text(encoding="utf-8")))

    def close(self) -> None:
        """Stop the kernel and close the tab."""
        if not self.closed:
            self.closed = True
            self._js("await widget.context.sessionContext.shutdown(); widget.dispose();")

    # --- looking -------------------------------------------------------------------------------------------------
    @property
    def outputs(self) -> Locator:
        """All outputs of this notebook."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output")

    def component(self, label: str) -> Locator:
        """Return the component with this heading."""
        return self.page.locator(f'.jp-NotebookPanel:not(.lm-mod-hidden) .spokekit[aria-label="{label}"]').first

    def sources(self) -> list[str]:
        """Return the source of every cell, from the page's own model."""
        return list(self._js("return [...widget.content.model.cells].map((cell) => cell.sharedModel.getSource());"))

    def errors(self) -> list[str]:
        """Return the tracebacks' last lines of all cells."""
        body = (
            "const found = []; for (const cell of widget.content.model.cells)"
            " for (const o of (cell.toJSON().outputs ?? []))"
            " if (o.output_type === 'error') found.push(o.ename + ': ' + o.evalue); return found;"
        )
        return list(self._js(body))

    def screenshot(self, name: str, locator: Locator | None = None) -> Path:
        """Take a picture of `locator`, or of the whole page, as ``name.png`` in the screenshot folder."""
        path = self.lab.shots / f"{name}.png"
        if locator is None:
            self.page.screenshot(path=path)
        else:
            locator.screenshot(path=path)
        return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
