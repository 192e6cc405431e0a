"""The list of nouns in CONTRIBUTING is short, each is met by a person, and the words that it rules out are not."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def _rows() -> list[tuple[str, list[str]]]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("| noun | what it means here | not |\n|---|---|---|\n")[1]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]
    return [(noun, [word.strip() for word in never.split(",") if word.strip()]) for noun, _, never in rows]


def _help_texts() -> Iterator[str]:
    from spokekit.cli import COMMANDS, _load

    def told(command: Any) -> Iterator[str]:
        yield command.help or ""
        for parameter in command.params:
            yield getattr(parameter, "help", None) or ""
        for below in getattr(command, "commands", {}).values():
            yield from told(below)

    for name, (_, phrase) in COMMANDS.items():
        yield phrase
        yield from told(_load(name))


def _notebook_texts() -> Iterator[str]:
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                # What stands in code is not said to a person.
                yield re.sub(r"```.*?```|`[^`]*`", " ", "".join(cell["source"]), flags=re.DOTALL)


def _component_texts() -> Iterator[str]:
    """Give what components and errors say: texts in the code that are sentences or labels, without docstrings."""
    for path in sorted([*(ROOT / "spokekit" / "widgets").glob("*.py"), ROOT / "spokekit" / "errors.py"]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, holders) and node.body and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                # Markup and styles are not read by a person.
                yield "" if re.search("[{<]", node.value) else node.value


ROWS = _rows()
FACES = "\n".join([*_help_texts(), *_notebook_texts(), *_component_texts()]).lower()


def test_there_are_at_most_forty() -> None:
    assert 30 <= len(ROWS) <= 40
    assert len({noun for noun, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize("noun", [noun for noun, _ in ROWS])
def test_a_person_meets_it(noun: str) -> None:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    assert re.search(rf"\b({noun}|{plural})\b", FACES, re.IGNORECASE)


@pytest.mark.parametrize("word", [word for _, never in ROWS for word in never])
def test_no_other_word_is_used_for_it(word: str) -> None:
    found = re.search(rf".{{0,60}}\b{re.escape(word.lower())}s?\b.{{0,60}}", FACES)
    assert found is None, found and found.group()
