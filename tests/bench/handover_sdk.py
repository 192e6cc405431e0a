"""ServiceNow's own SDK as judge of a hand-over: ``python -m tests.bench.handover_sdk NODE_MODULES [FOLDER]``.

NODE_MODULES is where ``npm install --ignore-scripts @servicenow/sdk@4.9.0`` put it (340 MB, Node 20), FOLDER what
``spokekit handover plan --parent-alias SYS_ID`` wrote; without it, a plan of two connections is made, one of them on a
child alias and with every sign in its name that a name may have. The project in ``fluent/`` has to build, the files
in ``unload/`` have to come back the same from transform and build, and both have to say the same. The one difference
allowed is the id of a child alias, which begins with the project's scope. No network is needed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from spokekit.connections.connection import ConnectionDraft, Connections
from spokekit.connections.store import Store
from spokekit.handover import make_plan, write

Records = dict[tuple[str, str], dict[str, str]]


def read(folder: Path) -> Records:
    """Return the records of all XML files, whether a file wraps one or several."""
    found: Records = {}
    for path in sorted(folder.glob("*.xml")):
        for one in ElementTree.parse(path).getroot():
            found[one.tag, one.findtext("sys_id") or ""] = {child.tag: child.text or "" for child in one}
    return found


def differences(wanted: Records, got: Records) -> list[str]:
    """Return in words what of `wanted` is not so in `got`; columns that the SDK adds do not count."""
    wrong = [f"{key}: is not there" for key in wanted if key not in got]
    for key in wanted.keys() & got.keys():
        for column, value in wanted[key].items():
            other = got[key].get(column, "")
            if value != other and not (key[0] == "sys_alias" and column == "id"):
                wrong.append(f"{key}: {column} is {other!r}, not {value!r}")
    return wrong


def made(folder: Path) -> Path:
    """Write a plan that has all there is in a plan, and return where it is."""
    store = Store(f"sqlite:///{folder / 'store.sqlite'}")
    connections = Connections(store)
    redirect = "http://localhost:8751/callback"
    connections.save(ConnectionDraft(client_id="first-app", redirect_uri=redirect))
    connections.add_child(ConnectionDraft(name="Köln _@./()#&+-=!*,:'", client_id="second-app", redirect_uri=redirect))
    plan = make_plan(store, instance="acme", parent_sys_id="0123456789abcdef" * 2)
    store.close()
    return write(plan, folder / "plan")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("node_modules", type=Path)
    parser.add_argument("folder", type=Path, nargs="?")
    asked = parser.parse_args()
    began = time.monotonic()
    program = asked.node_modules.resolve() / "@servicenow" / "sdk" / "bin" / "index.js"

    def sdk(where: Path, *words: str) -> None:
        subprocess.run(["node", str(program), *words], cwd=where, check=True, stdout=subprocess.DEVNULL, timeout=600)

    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or made(Path(name))
        built, turned = Path(name, "built"), Path(name, "turned")
        for project in (built, turned):
            shutil.copytree(folder / "fluent", project)
            (project / "node_modules").symlink_to(asked.node_modules.resolve())
        shutil.rmtree(turned / "src")
        (turned / "src" / "fluent").mkdir(parents=True)
        sdk(built, "build")
        sdk(turned, "transform", "--from", str((folder / "unload").resolve()))
        sdk(turned, "build")
        unload = read(folder / "unload")
        fluent = {key: value for sub in ("unload", "update") for key, value in read(built / "dist/app" / sub).items()}
        back = {key: value for sub in ("unload", "update") for key, value in read(turned / "dist/app" / sub).items()}
    wrong = [*differences(unload, fluent), *differences(unload, back)]
    print(f"{len(unload)} records | {len(fluent)} from fluent/ | {len(back)} from unload/ | {len(wrong)} differences")
    print(f"{time.monotonic() - began:.0f} seconds")
    for line in wrong:
        print(line)
    return 1 if wrong or not unload else 0


if __name__ == "__main__":
    sys.exit(main())
