"""The documentation site builds without a warning, tells all that is public, and nothing that is not so."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "python3 -m sphinx -W -c notebooks/docs notebooks build/site"
PAGES = sorted((ROOT / "notebooks" / "docs").rglob("*.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHOWN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES, *NOTEBOOKS]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site by the command that is documented, into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, *shlex.split(BUILD)[1:-1], str(folder), "-q"]
    env = os.environ | {"SPOKEKIT_HOME": str(folder.parent / "home")}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


class _Page(HTMLParser):
    """What a page links to, what it loads, what can be linked to in it, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag == "a":
            self.links.append(given.get("href", ""))
        elif tag in ("script", "img", "iframe"):
            self.loads.append(given.get("src", ""))
        elif tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon", "modulepreload"):
            self.loads.append(given.get("href", ""))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, _Page]:
    return {path: _Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}


def test_every_page_and_notebook_is_there(pages: dict[Path, _Page], site: Path) -> None:
    built = {path.relative_to(site).with_suffix("") for path in pages}
    sources = {path.relative_to(ROOT / "notebooks").with_suffix("") for path in (*PAGES, *NOTEBOOKS)}
    assert sources <= built
    assert len(pages[site / "05-audit-group-access.html"].text) > 2_000


def test_links_within_the_site_lead_somewhere(pages: dict[Path, _Page]) -> None:
    lost = []
    for path, page in pages.items():
        for link in page.links:
            target, _, part = link.partition("#")
            if re.match(r"[a-z]+:", link) or not link:
                continue
            there = (path.parent / target).resolve() if target else path
            if not there.is_file() or (part and there in pages and part not in pages[there].ids):
                lost.append(f"{path.name}: {link}")
    assert lost == []


def test_a_page_loads_nothing_from_elsewhere(pages: dict[Path, _Page]) -> None:
    assert not [
        (path.name, src) for path, page in pages.items() for src in page.loads if re.match(r"(https?:)?//", src)
    ]


def test_the_site_names_nothing_of_the_machine_it_was_built_on(pages: dict[Path, _Page]) -> None:
    assert not [path.name for path, page in pages.items() if str(ROOT) in page.text or str(Path.home()) in page.text]


def test_every_command_has_its_help_there(pages: dict[Path, _Page], site: Path) -> None:
    from spokekit.cli import COMMANDS, _load

    page = pages[site / "docs" / "commands.html"]
    for name in COMMANDS:
        command = _load(name)
        for one in [command, *getattr(command, "commands", {}).values()]:
            full = f"spokekit {name}" if one is command else f"spokekit {name} {one.name}"
            # What is for spokekit alone stands nowhere.
            assert (full in page.text) is not one.hidden
            if one.hidden:
                continue
            assert " ".join((one.help or "").split()) in page.text, full
            for parameter in one.params:
                for option in parameter.opts:
                    assert not option.startswith("-") or parameter.name == "help" or option in page.text, full


def test_every_name_that_a_notebook_or_a_page_imports_is_explained(pages: dict[Path, _Page]) -> None:
    explained = {name for page in pages.values() for name in page.ids}
    told = {name.rpartition(".")[2] for name in explained if name.startswith("spokekit.")}
    imports = set(_imports())
    assert len(imports) > 20
    missing = []
    for module, name in sorted(imports):
        whole = any(known.startswith(f"{module}.{name}.") for known in explained)
        if not whole and f"{module}.{name}" not in explained and name not in told:
            missing.append(f"{module}.{name}")
    assert missing == []


@pytest.mark.parametrize("module", ["spokekit", "spokekit.errors", "spokekit.audit", "spokekit.confluence"])
def test_public_names_have_their_docstring_there(pages: dict[Path, _Page], module: str) -> None:
    everything = " ".join(page.text for page in pages.values())
    face = import_module(module)
    names = getattr(face, "__all__", [name for name in vars(face) if isinstance(vars(face)[name], type)])
    checked = 0
    for name in names:
        value = getattr(face, name)
        if name.startswith("_") or isinstance(value, ModuleType) or not callable(value) or value.__module__ == "typing":
            continue
        first = " ".join((value.__doc__ or "").split("\n\n")[0].split())
        assert first, f"{module}.{name} has no docstring"
        assert first.replace("`", "") in everything, f"{module}.{name}"
        checked += 1
    assert checked > 3


def _texts() -> Iterator[tuple[Path, str]]:
    for path in SHOWN:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            for cell in cells:
                source = "".join(cell["source"])
                yield path, f"```python\n{source}\n```" if cell["cell_type"] == "code" else source
        else:
            yield path, text


def _blocks(text: str, language: str) -> list[str]:
    found = re.findall(r"^```(\S*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for named, block in found if named == language]


def _imports() -> Iterator[tuple[str, str]]:
    for _, text in _texts():
        for block in _blocks(text, "python"):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("spokekit"):
                    for alias in node.names:
                        yield str(node.module), alias.name


def _commands() -> Iterator[tuple[str, str]]:
    for path, text in _texts():
        lines = [line for block in _blocks(text, "") for line in block.splitlines()]
        # A command in the running text stands in one pair of backticks, possibly over two lines.
        lines += [" ".join(span.split()) for span in re.findall(r"(?<!`)`(spokekit [^`]+)`", text)]
        for line in lines:
            for part in re.split(r"&&|;|\|(?!\w)|#", line):
                if found := re.search(r"\bspokekit ([a-z].*)", part):
                    yield path.name, found.group(1).strip()


SAID = sorted(set(_commands()))


def test_some_commands_are_said() -> None:
    assert len(SAID) > 30


@pytest.mark.parametrize(("where", "line"), SAID)
def test_a_command_that_is_said_exists_with_these_options(where: str, line: str) -> None:
    from spokekit.cli import COMMANDS, _load

    words = shlex.split(line)
    assert words[0] in COMMANDS, f"{where}: spokekit {line}"
    command: Any = _load(words[0])
    for word in words[1:]:
        below = getattr(command, "commands", {})
        if word.startswith("-"):
            break
        if below:
            assert word in below, f"{where}: spokekit {line}"
            command = below[word]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert options <= known | {"--help"}, f"{where}: spokekit {line}"
