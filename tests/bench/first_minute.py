"""How long from ``spokekit lab`` to the first component that can be used: ``python -m tests.bench.first_minute``.

A headless Chromium, which a person's browser stands for, is open already. Each run has a home, a folder of notebooks
and settings of its own, as on the first day. The peer in the same run is plain JupyterLab with a notebook whose only
cell shows a stock button. Prints a Markdown table, best of the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Error as PlaywrightError

from tests.browser.jupyterlab_page import TIED, find_chromium

STAGES = (
    "the address is said",
    "the page shows the notebook",
    "the first cell runs",
    "the first component can be used",
)
_BUTTON = "import ipywidgets\nipywidgets.Button(description='Here')"


def _environment(base: Path) -> dict[str, str]:
    env = {n: v for n, v in os.environ.items() if not n.startswith(("SPOKEKIT_", "JUPYTER", "JPY_"))}
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "SPOKEKIT_HOME")
    return env | {name: str(base / name.lower()) for name in folders} | {"MPLCONFIGDIR": str(base / "mpl")}


def _plain_notebook(folder: Path) -> None:
    import nbformat

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(_BUTTON)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, folder / "plain.ipynb")


def _commands(base: Path) -> dict[str, tuple[list[str], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _plain_notebook(base)
    ours = ["-m", "spokekit", "lab", "--no-browser", "--port", str(port), "--folder", str(base / "notebooks")]
    plain = ["-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", f"--ServerApp.root_dir={base}"]
    plain += ["--LabApp.default_url=/lab/tree/plain.ipynb"]
    return {
        "`spokekit lab`": (ours, ".spokekit button:visible"),
        "plain JupyterLab with one button": (plain, ".jp-OutputArea-output button:visible"),
    }


def _run(browser: Any, command: list[str], usable: str, env: dict[str, str], where: Path) -> list[float]:
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", TIED, *command], env=env, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    try:
        assert process.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=lambda: [lines.put(raw.decode()) for raw in process.stdout], daemon=True)
        reader.start()
        address, said = "", ""
        while not address:
            assert process.poll() is None or not lines.empty(), f"it has ended: {said}"
            with suppress(queue.Empty):
                said += lines.get(timeout=1)
            assert time.perf_counter() - began < 240, f"no address was said: {said}"
            found = re.search(r"http://(?:localhost|127\.0\.0\.1):\d+/\S*token=\w+\S*", said)
            address = found[0] if found else ""
        seconds = [time.perf_counter() - began]
        page = context.new_page()
        page.goto(address)
        cell = page.locator(".jp-CodeCell").first
        cell.wait_for(timeout=240_000)
        seconds.append(time.perf_counter() - began)
        # JupyterLab drops a cell that is run before its kernel is there, also after it has marked it as running: one
        # presses Shift+Enter until something comes of it.
        prompt, ran = cell.locator(".jp-InputPrompt").first, 0.0
        deadline = time.monotonic() + 240
        while not page.locator(usable).first.is_visible():
            assert time.monotonic() < deadline, f"nothing to use has come; the first cell shows {prompt.text_content()}"
            if (prompt.text_content() or "").strip() in ("", "[ ]:"):
                # The page may draw the cell anew at the very moment of the press.
                with suppress(PlaywrightError):
                    cell.click(timeout=1_000)
                    page.keyboard.press("Shift+Enter")
                page.wait_for_timeout(250)
                ran = time.perf_counter() - began
            else:
                page.wait_for_timeout(20)
        return [*seconds, ran, time.perf_counter() - began]
    finally:
        context.close()
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def main(runs: int = 3) -> None:
    from playwright.sync_api import sync_playwright

    best: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                for name, (command, usable) in _commands(Path(folder)).items():
                    env = _environment(Path(folder) / re.sub(r"\W+", "-", name))
                    seconds = _run(browser, command, usable, env, Path(folder))
                    print(json.dumps({name: [round(s, 2) for s in seconds]}), file=sys.stderr)
                    if name not in best or seconds[-1] < best[name][-1]:
                        best[name] = seconds
        browser.close()
    print(f"| start | {' | '.join(STAGES)} |\n|---|{'---:|' * len(STAGES)}")
    for name, seconds in best.items():
        print(f"| {name} | {' | '.join(f'{s:.1f} s' for s in seconds)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    main(parser.parse_args().runs)
