"""What is tracked: no registry's host, no path of somebody's machine, commands that stand where people look."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "notebooks" / "docs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

START = "python3 -m pip install -e . && spokekit lab"
TEST = 'python3 -m pip install -e ".[test]" && python3 -m pytest'

# In pieces, so that this file does not name what it looks for.
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "registry.np" + "mjs", "npm" + "js.com", "deb.deb" + "ian.org"]
PLACES = [r"(?<![\w.])/ro" + r"ot/", r"(?<![\w.])/wo" + r"rk/", r"(?<![\w.])/ho" + r"me/(?!jovyan|user|person|you)\w+/"]


def _tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.fail("The tests run in a clone, so that they can see which files are tracked.")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_registry_or_a_machine() -> None:
    pattern = re.compile("|".join([*map(re.escape, HOSTS), *PLACES]).encode())
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in _tracked()
        if (match := pattern.search(path.read_bytes()))
    ]
    assert not found, "\n".join(found)


def test_no_file_is_large() -> None:
    large = [f"{p.relative_to(ROOT)}: {p.stat().st_size:,}" for p in _tracked() if p.stat().st_size > 400_000]
    assert not large


def test_the_readme_has_both_commands_on_lines_of_their_own() -> None:
    lines = [line.strip() for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()]
    assert START in lines
    assert TEST in lines


def test_the_readme_is_two_screens_and_says_that_httpx2_is_no_typing_error() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    assert "`httpx2` is the maintained continuation of `httpx`" in text
    assert len(re.findall(r"!\[.+\]\(notebooks/images/", text)) == 1


def test_each_figure_stands_above_the_command_that_measured_it() -> None:
    text = (DOCS / "measured.md").read_text(encoding="utf-8")
    parts = text.split("\n## ")[1:]
    assert len(parts) > 6
    for part in parts:
        commands = re.findall(r"`python (?:-m )?(tests[./]bench[./]\w+)(?:\.py)?", part)
        assert commands, part.splitlines()[0]
        for command in commands:
            assert (ROOT / f"{command.replace('.', '/')}.py").is_file(), command


def test_the_site_says_what_each_dependency_is_for() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", (DOCS / "packages.md").read_text(encoding="utf-8"), re.MULTILINE)
    explained = {name for name, purpose in rows if len(purpose) > 10}
    assert {_name(line) for line in PROJECT["dependencies"]} <= explained


def test_the_readme_links_to_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8") + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", text)
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        *(f"notebooks/{p.name}" for p in sorted((ROOT / "notebooks").glob("*.ipynb"))),
        *(p.relative_to(ROOT).as_posix() for p in sorted(DOCS.rglob("*.md"))),
    ],
)
def test_code_that_is_shown_names_what_exists_and_nothing_private(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".ipynb"):
        text = "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] != "code")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks or path != "README.md"
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("spokekit"):
                assert "._" not in str(node.module), block
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    submodule = f"{node.module}.{alias.name}"
                    if alias.name in getattr(module, "__all__", ()):
                        continue  # some of these come into being with a connection only
                    assert hasattr(module, alias.name) or importlib.util.find_spec(submodule), block


def test_the_changelog_knows_this_version() -> None:
    assert re.search(rf"^## {re.escape(PROJECT['version'])}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_dependencies_have_lower_bounds_and_no_pins() -> None:
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    ours = [line for line in lines if not line.startswith("spokekit[")]
    assert not [line for line in ours if ">=" not in line or "==" in line]


def test_binder_installs_what_the_package_needs() -> None:
    from packaging.requirements import Requirement

    lines = (ROOT / "binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = {str(Requirement(line)) for line in lines if line and not line.startswith("#")}
    assert wanted == {str(Requirement(line)) for line in PROJECT["dependencies"]}
    assert re.fullmatch(r"python-3\.1[1-9]\n", (ROOT / "binder" / "runtime.txt").read_text())


@pytest.mark.parametrize("script", ["binder/postBuild", "binder/start", ".ci/run", ".ci/lowest"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_post_build_stops_at_the_first_error_and_start_hands_over() -> None:
    assert "set -euo pipefail" in (ROOT / "binder" / "postBuild").read_text().splitlines()
    assert (ROOT / "binder" / "start").read_text().rstrip().splitlines()[-1] == 'exec "$@"'


@pytest.mark.parametrize(
    "kind",
    [
        "browser",
        "notebooks",
        "contract",
        "practice",
        "connections",
        "oauth",
        "confluence",
        "groups",
        "audit",
        "widgets",
        "cli",
    ],
)
def test_each_kind_of_test_is_there(kind: str) -> None:
    # A suite that has lost a whole folder would still be green.
    assert list((ROOT / "tests" / kind).glob("test_*.py"))


def _name(requirement: str) -> str:
    return re.split(r"[<>=\[ ]", requirement, maxsplit=1)[0]


def test_binder_starts_one_practice_site_in_memory_and_hands_over(tmp_path: Path) -> None:
    inside = (
        "import json, os, urllib.request as r; site = json.loads(os.environ['SPOKEKIT_PRACTICE']);"
        "asked = r.Request(site['url'] + 'console', headers={'X-Practice-Key': site['key']});"
        "print(r.urlopen(asked).status, os.environ['SPOKEKIT_UNATTENDED'],"
        "os.environ['SPOKEKIT_STORE_URL'], os.environ['SPOKEKIT_VAULT'])"
    )
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    # In the container the site ends with the container; here, with the process group.
    run = subprocess.Popen(
        [ROOT / "binder" / "start", sys.executable, "-c", inside],
        env=env,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert run.stdout is not None
        assert run.stdout.readline() == "200 1 sqlite:// memory\n"
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    assert not list(tmp_path.iterdir())
