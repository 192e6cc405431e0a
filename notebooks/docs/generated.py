"""What the pages take from the code itself, so that it is never older than the code.

A line ``{{ commands }}`` becomes the command line's own help, ``{{ reference MODULE }}`` all public names of a module,
``{{ questions }}`` the audit's questions, ``{{ faults }}`` what can go wrong on the practice site, and
``{{ lessons }}`` the lessons' notebooks.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# In the order of the reference. A name that several of them have is explained in the first.
PUBLIC = (
    "spokekit",
    "spokekit.errors",
    "spokekit.notebook",
    "spokekit.confluence",
    "spokekit.check",
    "spokekit.groups.membership",
    "spokekit.groups.journal",
    "spokekit.audit",
    "spokekit.audit.export",
    "spokekit.audit.plots",
    "spokekit.audit.warehouse",
    "spokekit.audit.night",
    "spokekit.audit.show.night_files",
    "spokekit.review",
    "spokekit.handover",
    "spokekit.widgets",
    "spokekit.practice",
    "spokekit.training",
)
# What a notebook begins from exists where there is a connection only; its meaning stands in the module's docstring.
_IN_A_KERNEL = "spokekit.notebook"
_MARK = re.compile(r"^\{\{ (\w+)(?: ([\w.]+))? \}\}$", re.MULTILINE)


def public_names(dotted: str) -> list[str]:
    """Give the public names of a module: its ``__all__``, or what it defines itself."""
    module = _module(dotted)
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return [name for name in listed if not name.startswith("_")]
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return [name for name in own if not name.startswith("_")]


def _module(dotted: str) -> ModuleType:
    try:
        return import_module(dotted)
    except ModuleNotFoundError:
        # A room's face may give a module of an inner folder a shorter name.
        room, _, name = dotted.rpartition(".")
        found = getattr(import_module(room), name)
        if not isinstance(found, ModuleType):
            raise TypeError(f"{dotted} is no module") from None
        return found


def reference(dotted: str) -> str:
    """Write all public names of the module, each with signature and docstring."""
    module = _module(dotted)
    lines = [f".. py:module:: {dotted}", "", *_told(module), ""]
    for name in public_names(dotted):
        if dotted == _IN_A_KERNEL:
            lines += [f".. py:data:: {dotted}.{name}", ""]
            continue
        value = getattr(module, name)
        if isinstance(value, ModuleType):
            lines += [f"- `{dotted}.{name}`: a module of its own.", ""]
        elif (first := _explained_in(name, value, dotted)) is not None:
            lines += [f"- ``{name}`` is `{first}.{name}`.", ""]
        else:
            lines += [*_explained(f"{dotted}.{name}", value), ""]
    return "\n".join(["```{eval-rst}", *lines, "```"])


def _told(module: ModuleType) -> list[str]:
    """Give a module's docstring; its headings would be sections of the page, each on every page."""
    words = inspect.getdoc(module) or ""
    return re.sub(r"^(.+)\n-+$", r".. rubric:: \1\n", words, flags=re.MULTILINE).splitlines()


def _explained_in(name: str, value: Any, dotted: str) -> str | None:
    for earlier in PUBLIC[: PUBLIC.index(dotted)]:
        if name in public_names(earlier) and earlier != _IN_A_KERNEL and getattr(_module(earlier), name) is value:
            return earlier
    return None


def _explained(full: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield f".. {'autoexception' if issubclass(value, BaseException) else 'autoclass'}:: {full}"
        yield "   :members:"
        if value.__bases__ != (object,):
            yield "   :show-inheritance:"
    elif callable(value):
        yield f".. autofunction:: {full}"
    else:
        # A constant: what stands in it says more than the docstring of its type.
        yield from (f".. py:data:: {full}", "")
        if isinstance(value, Mapping):
            yield from (f"   - {_code(key)}: {_plain(told)}" for key, told in value.items())
        elif isinstance(value, tuple | list | frozenset):
            yield "   " + ", ".join(map(_code, value))
        else:
            yield f"   ``{value!r}``"


def _code(item: Any) -> str:
    return f"``{item}``" if str(item).strip() else "*(empty)*"


def _plain(told: Any) -> str:
    words = told if isinstance(told, str) else repr(told)
    return re.sub(r"([\\`*_|])", r"\\\1", " ".join(words.split()))


def commands() -> str:
    """Write the help of every command, as the command line has it."""
    from spokekit.cli import COMMANDS, _load

    parts = []
    for name in COMMANDS:
        command = _load(name)
        parts.append(f"(command-{name})=\n## spokekit {name}\n\n{_help(command, f'spokekit {name}')}")
        for below in getattr(command, "commands", {}).values():
            if below.hidden:
                continue
            full = f"spokekit {name} {below.name}"
            parts.append(f"### {full}\n\n{_help(below, full)}")
    return "\n\n".join(parts)


def _help(command: Any, full: str) -> str:
    with command.make_context(full, [], resilient_parsing=True) as context:
        usage = " ".join([full, *command.collect_usage_pieces(context)])
        rows = [row for parameter in command.get_params(context) if (row := _parameter(parameter, context))]
    told = "\n\n".join(_text(part) for part in (command.help or "").split("\n\n"))
    table = (
        ""
        if not rows
        else "\n\n| option | what it does |\n|---|---|\n" + "\n".join(f"| {left} | {right} |" for left, right in rows)
    )
    return f"{told}\n\n```\n{usage}\n```{table}"


def _parameter(parameter: Any, context: Any) -> tuple[str, str] | None:
    if parameter.name == "help" or getattr(parameter, "hidden", False):
        return None
    names, told = parameter.get_help_record(context)
    return f"`{names}`".replace("|", "\\|"), _text(told)


def _text(words: str) -> str:
    """Keep what a help text says from being read as markup."""
    return re.sub(r"([\\`*_<>\[\]|#{}])", r"\\\1", " ".join(words.split()))


def questions() -> str:
    """Write the table of the audit's questions."""
    from spokekit.audit import questions_frame

    rows = ["| question | what it asks | what it cannot know |", "|---|---|---|"]
    for row in questions_frame().itertuples():
        rows.append(f"| `{row.name}` | {_text(row.title)} | {_text(str(row.cannot_know or ''))} |")
    return "\n".join(rows)


def faults() -> str:
    """Write the table of the practice site's faults."""
    from spokekit.practice import FAULTS

    rows = ["| fault | what happens |", "|---|---|"]
    rows += [f"| `{name}` | {_text(words)} |" for name, words in FAULTS.items()]
    return "\n".join(rows)


def lessons() -> str:
    """List the notebooks of the lessons, where there are any."""
    folder = Path(__file__).parents[1] / "training"
    found = [f"../training/{path.stem}" for path in sorted(folder.glob("*.ipynb"))]
    return "\n".join(["```{toctree}", ":caption: Lessons", ":maxdepth: 1", "", *found, "```"]) if found else ""


_WRITERS: dict[str, Callable[..., str]] = {
    "commands": commands,
    "faults": faults,
    "lessons": lessons,
    "questions": questions,
    "reference": reference,
}


def _fill(app: Sphinx, page: str, source: list[str]) -> None:
    if page.startswith("docs/"):
        source[0] = _MARK.sub(lambda found: _WRITERS[found[1]](*filter(None, [found[2]])), source[0])


def _always(app: Sphinx, env: Any, added: Any, changed: Any, removed: Any) -> list[str]:
    """Write these pages anew each time: what they show lies outside of them."""
    return [page for page in env.found_docs if _MARK.search(env.doc2path(page).read_text(encoding="utf-8"))]


def _keep_sentences(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep sentences that follow a list of parameters, or stand under *Returns*: napoleon takes them for names."""
    given = [*lines, "", "", ""]
    kept: list[str] = []
    for at, line in enumerate(lines):
        ruled = set(given[at + 1]) == {"-"}
        if ruled and line == "Returns" and not given[at + 3].startswith(" "):
            kept += ["", ".. rubric:: Returns", ""]
        elif set(line) == {"-"} and kept[-2:-1] == [".. rubric:: Returns"]:
            continue
        else:
            sentence = bool(line) and not line.startswith(" ") and not ruled and not given[at + 1].startswith(" ")
            # A second empty line ends a section.
            kept += ["", line] if sentence and at and not lines[at - 1] else [line]
    lines[:] = kept


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the marks to the build."""
    app.connect("source-read", _fill)
    app.connect("autodoc-process-docstring", _keep_sentences, priority=400)
    app.connect("env-get-outdated", _always)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
