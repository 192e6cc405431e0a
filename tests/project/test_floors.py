"""A room imports only from the rooms below it, and slow libraries only when they are used."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "spokekit"

GROUND = {
    "errors",
    "_secret",
    "_foreign",
    "_home",
    "_portal",
    "_words",
    "_frames",
    "_ids",
    "_refused",
    "_http",
    "_surroundings",
    "_unreachable",
    "_browse",
    "_lists",
    "_notebook_copies",
    "_serving",
}
SERVICES = GROUND | {
    "connections",
    "oauth",
    "confluence",
    "groups",
    "audit",
    "_workspace",
    "check",
    "review",
    "handover",
}

# What each room may import of ours, besides itself. `_workspace` ties the services together for those above it.
MAY_IMPORT = {
    "_foreign": set(),
    "errors": {"_foreign"},
    "_secret": {"_foreign"},
    "_words": set(),
    "_frames": {"_foreign", "_words"},
    "_ids": set(),
    "_refused": {"errors"},
    "_surroundings": {"errors"},
    "_http": {"errors", "_foreign", "_secret", "_surroundings"},
    "_unreachable": {"errors", "_http", "_surroundings", "_words"},
    "_home": {"errors", "_refused", "_surroundings"},
    "_browse": {"errors", "_home", "_secret"},
    "_lists": {"errors", "_ids", "_words"},
    "_portal": {"errors"},
    "_notebook_copies": {"errors", "_refused", "_words"},
    "_serving": {"errors"},
    # Stands for Atlassian, so it shares nothing of what we know of it; how a server listens is no such knowledge.
    "practice": {"errors", "_serving"},
    "connections": GROUND,
    "oauth": GROUND | {"connections"},
    "server_extension": GROUND | {"connections", "oauth"},
    "confluence": GROUND | {"connections", "oauth"},
    "groups": GROUND | {"connections", "oauth", "confluence"},
    "audit": GROUND | {"connections", "oauth", "confluence", "groups"},
    "review": GROUND | {"connections", "oauth", "confluence", "groups", "audit"},
    "handover": GROUND | {"connections", "confluence", "groups", "audit"},
    "check": GROUND | {"connections", "oauth", "confluence"},
    "_workspace": SERVICES,
    "board": GROUND | {"connections"},
    # Only its testing serves a practice site; lessons speak HTTP to theirs, as everybody does. Of the board a learner's
    # side knows what is said to it, no more (`test_a_learner_knows_only_what_is_said`).
    "training": SERVICES | {"practice", "board"},
    "widgets": SERVICES | {"practice", "server_extension", "training"},
    "notebook": SERVICES | {"widgets"},
    "cli": SERVICES | {"practice", "server_extension", "training", "board", "widgets"},
    "__init__": SERVICES | {"practice"},
    "__main__": {"cli"},
}

# The folders of a room, each with what it may import of its room besides itself ("" are the files beside the folders).
FOLDERS = {
    "audit": {
        "": {"walk", "history", "questions", "show"},
        "history": {"frames"},
        "walk": {"history", "frames"},
        "questions": {"history", "frames"},
        "show": {"history", "questions", "frames", "audit", "compare"},
    },
    "practice": {
        "": {"world", "api", "pages", "instance"},
        "world": set(),
        "api": {"world", "apps", "exchange", "faults", "issued", "limits", "oauth", "switches"},
        "instance": {"exchange", "keys", "pages", "serving"},
        "pages": {"apps", "exchange", "issued", "oauth", "start", "switches", "world"},
    },
}

SLOW = {"pandas", "ipywidgets", "anywidget", "matplotlib", "duckdb", "pyarrow", "ibis", "jupyterlab", "jupyter_server"}


def _modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py"))


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path, *, types: bool = True) -> list[tuple[int, str]]:
    """Return (line, dotted name) of each import, ``from x import y`` as x.y, those for type checkers if `types`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["spokekit", *path.relative_to(PACKAGE).parts[:-1]]
    checked: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            checked.update(inner for statement in node.body for inner in ast.walk(statement))
    found = []
    for node in ast.walk(tree):
        if node in checked and not types:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{start}.{alias.name}") for alias in node.names]
    return found


def test_rooms_import_only_rooms_below_them() -> None:
    wrong = []
    for path in _modules():
        room = _room(path)
        assert room in MAY_IMPORT, f"{path.name}: a room that the plan of the floors does not know"
        for line, name in _imports(path):
            parts = name.split(".")
            if parts[0] != "spokekit" or len(parts) < 2:
                continue
            target = parts[1]
            known = (PACKAGE / target).exists() or (PACKAGE / f"{target}.py").exists()
            if known and target != room and target not in MAY_IMPORT[room]:
                wrong.append(f"{path.relative_to(PACKAGE.parent)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_a_learner_knows_only_what_is_said() -> None:
    for path in (PACKAGE / "training").rglob("*.py"):
        for line, name in _imports(path):
            assert not name.startswith("spokekit.board") or name.startswith("spokekit.board.wire"), f"{path}:{line}"


@pytest.mark.parametrize("room", FOLDERS)
def test_folders_of_a_room_lean_on_each_other_in_one_order(room: str) -> None:
    folders, wrong = FOLDERS[room], []
    assert {path.name for path in (PACKAGE / room).iterdir() if (path / "__init__.py").exists()} == set(folders) - {""}
    for path in _modules():
        parts = path.relative_to(PACKAGE).parts
        if parts[0] != room or len(parts) < 3:
            continue
        for line, name in _imports(path, types=False):
            target = name.split(".")[2:3] if name.startswith(f"spokekit.{room}.") else []
            here = [(PACKAGE / room / one).exists() or (PACKAGE / room / f"{one}.py").exists() for one in target]
            if any(here) and target[0] != parts[1] and target[0] not in folders[parts[1]]:
                wrong.append(f"{path.relative_to(PACKAGE.parent)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_an_audit_cannot_write_to_groups() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{line} imports {name}"
        for path in _modules()
        if _room(path) == "audit"
        for line, name in _imports(path)
        if name.startswith("spokekit.groups") and not name.startswith("spokekit.groups.registry")
    ]
    assert not wrong, "\n".join(wrong)


def _name(path: Path) -> str:
    parts = ["spokekit", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_two_files_need_each_other_when_they_run() -> None:
    names = {_name(path): path for path in _modules()}
    needs = {
        name: {
            found
            for _, target in _imports(path, types=False)
            if (found := target if target in names else target.rpartition(".")[0]) in names and found != name
        }
        for name, path in names.items()
    }
    # What needs nothing that is left can be taken away; a circle is what stays.
    while free := {name for name, other in needs.items() if not other & set(needs)}:
        needs = {name: other for name, other in needs.items() if name not in free}
    assert not needs, f"A circle is among {sorted(needs)}"


def test_no_module_and_no_function_is_too_long_to_read() -> None:
    wrong = []
    for path in _modules():
        text = path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > 450:
            wrong.append(f"{path.relative_to(PACKAGE.parent)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > 80:
                    wrong.append(f"{path.relative_to(PACKAGE.parent)}: {node.name} has {lines} lines")
    assert not wrong, "\n".join(wrong)


def test_every_client_is_made_without_the_proxies_that_it_would_find_itself() -> None:
    made = ("Client", "AsyncClient", "get", "post", "put", "patch", "delete", "head", "request", "stream")
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            of = node.func.value
            if isinstance(of, ast.Name) and of.id == "httpx2" and node.func.attr in made:
                said = {keyword.arg: keyword.value for keyword in node.keywords}
                trust = said.get("trust_env")
                assert isinstance(trust, ast.Constant) and trust.value is False, f"{path}:{node.lineno}"


def test_nothing_imports_the_abandoned_httpx() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{line}"
        for path in _modules()
        for line, name in _imports(path)
        if name.split(".")[0] == "httpx"
    ]
    assert not wrong


def _loaded_by(start: str) -> set[str]:
    program = f"import sys, atexit, json; atexit.register(lambda: print(json.dumps(sorted(sys.modules))))\n{start}"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return {name.split(".")[0] for name in json.loads(run.stdout.splitlines()[-1])}


@pytest.mark.parametrize("start", ["import spokekit", "import spokekit.cli; spokekit.cli.main(['--help'])"])
def test_a_start_loads_next_to_nothing(start: str) -> None:
    assert not _loaded_by(start) & (SLOW | {"httpx2", "sqlalchemy", "uvicorn", "starlette", "keyring", "authlib"})


@pytest.mark.parametrize(
    "module",
    [
        "_workspace",
        "practice",
        "connections.connection",
        "oauth.grant",
        "confluence.spoke",
        "groups.registry",
        "_frames",
        "audit",
        *(f"cli.{path.stem}" for path in sorted((PACKAGE / "cli").glob("[a-z]*.py"))),
    ],
)
def test_slow_libraries_wait_until_they_are_used(module: str) -> None:
    assert not _loaded_by(f"import spokekit.{module}") & SLOW
