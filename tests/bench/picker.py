"""From a keystroke in the picker's filter to the changed list, in the browser: ``python -m tests.bench.picker``.

A real JupyterLab and a headless Chromium. For each key: the milliseconds from the browser's input event until the list
has been drawn anew, and the bytes that went over the kernel's WebSocket meanwhile, both ways. The peer in the same run
is what ipywidgets offers by itself, a text field whose callback puts every match into a stock list, over fewer groups.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from tests.browser.jupyterlab_page import Lab, find_chromium

_FRAME = """
import pandas as pd
areas = ("sales", "research", "support", "legal", "finance", "people", "field", "cloud")
places = ("berlin", "lima", "osaka", "leeds", "austin", "pune")
names = [f"{areas[n % 8]}-{places[n % 6]}-{n:06d}-{('readers', 'writers', 'owners')[n % 3]}" for n in range(COUNT)]
ids = [f"{n:08x}-0000-4000-8000-{n:012x}" for n in range(COUNT)]
access = ["user" if n % 10 == 0 else "" for n in range(COUNT)]
managed = ["EXTERNAL" if n % 4 == 0 else "ADMINS" for n in range(COUNT)]
groups = pd.DataFrame({"group_id": ids, "name": names, "access": access, "managed_by": managed, "usage_type": ""})
"""
_OURS = """
from spokekit.widgets import GroupPicker
picker = GroupPicker(groups=groups)
picker.only_access.value = False
picker
"""
_STOCK = """
import ipywidgets as ipw
words, found = ipw.Text(description="Filter available"), ipw.SelectMultiple(description="Available", options=names)
def search(change):
    found.options = [name for name in names if change["new"].lower() in name.lower()]
words.observe(search, "value")
ipw.VBox([words, found])
"""
# Drawn: the list has other options, and the frame after that has begun.
_WATCH = """([field, list]) => {
  window.pressed = [];
  let began = 0;
  field.addEventListener('input', () => { began = performance.now(); }, true);
  new MutationObserver(() => {
    if (began) requestAnimationFrame(() => requestAnimationFrame(() => {
      if (began) window.pressed.push(performance.now() - began);
      began = 0;
    }));
  }).observe(list, {childList: true});
}"""


def _measure(lab: Lab, count: int, cells: list[str], keys: str, env: dict[str, str]) -> tuple[list[float], list[int]]:
    traffic: list[int] = []

    def listen(socket: Any) -> None:
        if "/channels" in socket.url:
            socket.on("framereceived", lambda frame: traffic.append(len(frame)))
            socket.on("framesent", lambda frame: traffic.append(len(frame)))

    lab.page.on("websocket", listen)
    notebook = lab.open_notebook([f"COUNT = {count}{_FRAME}", *cells], env=env)
    notebook.run_all()
    assert notebook.errors() == [], notebook.errors()
    page = lab.page
    field, found = page.get_by_label("Filter available"), page.get_by_label("Available", exact=True)
    found.locator("option").first.wait_for(state="attached", timeout=120_000)
    page.wait_for_timeout(1_000)
    page.evaluate(_WATCH, [field.element_handle(), found.element_handle()])
    field.focus()
    sizes = []
    for number, key in enumerate(keys, 1):
        traffic.clear()
        page.keyboard.press("Backspace" if key == "<" else key)
        page.wait_for_function("number => window.pressed.length >= number", arg=number, timeout=120_000)
        page.wait_for_timeout(300)
        sizes.append(sum(traffic))
    milliseconds = list(page.evaluate("window.pressed"))
    notebook.close()
    return milliseconds, sizes


def main(count: int = 200_000, peers: int = 20_000, keys: str = "123<<4") -> None:
    from playwright.sync_api import sync_playwright

    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite
    from tests.conftest import connect

    rows = []
    with tempfile.TemporaryDirectory() as folder, PracticeSite() as site, sync_playwright() as playwright:
        os.environ["SPOKEKIT_HOME"] = f"{folder}/home"
        os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
        connect(Workspace(), site)
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        with Lab(Path(folder) / "lab", browser) as lab:
            lab.page.set_viewport_size({"width": 1280, "height": 720})
            env = {"SPOKEKIT_HOME": os.environ["SPOKEKIT_HOME"]}
            for name, number, cells in (
                ("the picker", count, [_OURS]),
                ("a stock list with every match", peers, [_STOCK]),
            ):
                rows.append((name, number, *_measure(lab, number, cells, keys, env)))
        browser.close()
    print("| list | groups | a key to the changed list, median | slowest | on the wire, median | most |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, number, times, sizes in rows:
        middle, most = statistics.median(times), max(times)
        wire = f"{statistics.median(sizes) / 1000:,.1f} kB | {max(sizes) / 1000:,.1f} kB"
        print(f"| {name} | {number:,} | {middle:.0f} ms | {most:.0f} ms | {wire} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=200_000)
    parser.add_argument("--peers", type=int, default=20_000)
    parser.add_argument(
        "--keys", default="123<<4", help="what is typed, each key with another list; < deletes backwards"
    )
    given = parser.parse_args()
    main(given.groups, given.peers, given.keys)
