"""What a cell says that was run too early: one line that names what comes first, instead of a traceback."""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from spokekit._foreign import SENTENCE, shown
from spokekit._home import under_voila
from spokekit._secret import scrub
from spokekit.errors import NotConfigured, SpokekitError

E = TypeVar("E", bound=SpokekitError)


def not_yet(error: E) -> E:
    """Make a cell that raises `error` end in its words alone; IPython asks the exception how to be shown."""
    error._render_traceback_ = lambda: [str(error)]  # type: ignore[attr-defined]
    return error


def say_which_cell_comes_first() -> None:
    """From now on, a name that another cell of this notebook makes leads to that cell; other errors stay as they are.

    For a visitor of Voilà, our own errors end a page in their words alone: Voilà would put a sentence in their place
    that tells whoever runs it how to see the error.

    Does nothing outside of a notebook, and where somebody else has put in a handler of their own.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or shell.custom_exceptions:
        return
    if under_voila(os.environ):
        shell.set_custom_exc((SpokekitError,), _in_words_alone)
    else:
        shell.set_custom_exc((NameError,), _on_name_error)


def _in_words_alone(_shell: Any, _kind: Any, error: SpokekitError, _trace: Any, tb_offset: int | None = None) -> None:
    # The cell has failed all the same, so that nothing below it runs.
    print(shown(scrub(str(error)), SENTENCE, keep="\n"))  # noqa: T201


def _on_name_error(shell: Any, kind: Any, error: Any, trace: Any, tb_offset: int | None = None) -> None:
    words = ""
    # Whatever goes wrong here, the person gets what they would have got without it.
    with suppress(Exception):
        words = _what_comes_first(error.name, trace, shell)
    if words:
        first = not_yet(NotConfigured(words))
        shell.showtraceback((NotConfigured, first, trace))
    else:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


def _what_comes_first(name: str, trace: Any, shell: Any) -> str:
    while trace.tb_next is not None:
        trace = trace.tb_next
    if trace.tb_frame.f_globals is not shell.user_ns:
        return ""
    place = os.environ.get("JPY_SESSION_NAME", "")
    heading = cell_that_makes(name, Path(place), but_not=shell.user_ns["In"][-1]) if place.endswith(".ipynb") else None
    if heading is None:
        return ""
    return (
        f"Not yet: `{name}` is not there. The cell under “{heading}” makes it: run that cell first, "
        "or choose Run > Run All Cells."
    )


def cell_that_makes(name: str, notebook: Path, *, but_not: str = "") -> str | None:
    """Return the heading above the first cell of `notebook` that makes `name`, or None when no other cell does."""
    heading = notebook.stem
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            found = re.findall(r"^#+ +(.+)$", re.sub(r"^```.*?^```", "", source, flags=re.DOTALL | re.MULTILINE), re.M)
            heading = found[-1].strip() if found else heading
        elif cell["cell_type"] == "code" and source.strip() != but_not.strip() and name in _made_by(source):
            return heading
    return None


def _made_by(source: str) -> set[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        # A cell with a command of IPython's is nobody's first cell here.
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return names
