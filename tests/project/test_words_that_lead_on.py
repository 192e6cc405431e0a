"""What a message sends people to is there: notebooks by number, with the subject that the message speaks of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]-*.ipynb"))}

# Words of a message, and the notebook in which that is done.
SUBJECTS = (
    (r"practice instance", "08"),
    (r"review", "07"),
    (r"client secret|scopes of the connection|configure", "02"),
    (r"regist|groups add", "04"),
    (r"walk|snapshot|question", "05"),
    (r"\bmember|undo", "06"),
    (r"token|consent", "03"),
    (r"callback|create the app", "01"),
)


def _sentences() -> Iterator[tuple[str, str]]:
    """Give every text of the package that names a notebook, with its place."""
    for path in sorted((ROOT / "spokekit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            if re.search(r"notebooks? \d", text):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text


MENTIONS = [
    (place, text, number.zfill(2)) for place, text in _sentences() for number in re.findall(r"notebook (\d+)", text)
]


def test_some_are_found() -> None:
    assert len(MENTIONS) > 8


@pytest.mark.parametrize(("place", "text", "number"), MENTIONS, ids=[f"{m[0]}-{m[2]}" for m in MENTIONS])
def test_a_notebook_that_a_message_names_exists_and_is_about_that(place: str, text: str, number: str) -> None:
    assert number in NOTEBOOKS, f"{place}: there is no notebook {number}"
    said = text.lower().replace("notebook 0", "notebook ")
    # The nearest words before the number say what is done there; where nothing stands before it, those after it.
    before, _, after = said.partition(f"notebook {int(number)}")
    found = [(match.start(), where) for words, where in SUBJECTS for match in re.finditer(words, before)] or [
        (-match.start(), where) for words, where in SUBJECTS for match in re.finditer(words, after)
    ]
    assert found, f"{place}: what is done in notebook {number}? {text!r}"
    assert max(found)[1] == number, f"{place} sends to notebook {number}, and that is done in {max(found)[1]}: {text!r}"
