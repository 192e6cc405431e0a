"""Names of this package that a message, a docstring, a page or a notebook says are there for who types them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from spokekit.errors import SpokekitError

ROOT = Path(__file__).parents[2]
DOTTED = re.compile(r"(?<![\w./@:-])spokekit(?:\.[A-Za-z_]\w*)+(?![\w/]|\.\w)")
# Endings of files.
FILES = re.compile(r"\.(?:sqlite|json|ipynb|toml|svg|png|md|py|zip|key|db|log|csv|html|css|js)$")
# A group of entry points is no name of Python.
OTHERS = {"spokekit.lessons"}
FROM = re.compile(r"from (spokekit(?:\.\w+)*) import ([A-Za-z_]\w*(?:, [A-Za-z_]\w*)*)")


def texts() -> Iterator[tuple[str, str]]:
    """Yield where a text stands, and the text: of the package only what is inside quotes."""
    for path in sorted((ROOT / "spokekit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "spokekit" in node.value:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "notebooks").rglob("*.md"))]:
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            yield str(path.relative_to(ROOT)), "".join(cell["source"])


def found(name: str) -> bool:
    """Whether the dotted `name` is a module, or what modules and classes hold."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            there = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        try:
            for part in parts[count:]:
                there = getattr(there, part)
        except AttributeError:
            continue
        except SpokekitError:
            # It is there, and wants a connection first.
            return True
        return True
    return False


def said() -> Iterator[tuple[str, str]]:
    for where, text in texts():
        for name in DOTTED.findall(text):
            if name not in OTHERS and not FILES.search(name):
                yield where, name
        for module, names in FROM.findall(text):
            for name in names.split(", "):
                yield where, f"{module}.{name}"


def test_each_name_that_is_said_is_there() -> None:
    by_name: dict[str, list[str]] = {}
    for where, name in said():
        by_name.setdefault(name, []).append(where)
    assert len(by_name) > 60 and "spokekit.audit.export" in by_name
    missing = {name: places[0] for name, places in by_name.items() if not found(name)}
    assert missing == {}


@pytest.mark.parametrize("name", ["spokekit.audit.gone", "spokekit.gone", "spokekit.audit.Audit.gone"])
def test_a_name_that_is_not_there_is_found_out(name: str) -> None:
    assert not found(name)
