"""Tables in the page: rows are unfolded, ids are copied, numbers stand right, and no box scrolls inside the page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.jupyterlab_page import NotebookPage

CELLS = [
    """import pandas as pd
from spokekit._frames import show_in_notebooks
from spokekit.widgets import GroupTable
frame = pd.DataFrame({"account_id": [f"712020:0c8f5b7e-{i:04d}" for i in range(30)], "name": "Kim Example",
                      "managed_by": "EXTERNAL", "members": range(1000, 1030)})
GroupTable(frame, title="Some rows")""",
    """show_in_notebooks()
answer = frame.head(3).copy()
answer.attrs.update(question="q", title="Who is in it?")
answer""",
    "frame.head(2)",
]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_table_in_the_page(open_notebook: Callable[..., NotebookPage], theme: str) -> None:
    notebook = open_notebook(CELLS)
    notebook.lab.theme(theme)
    notebook.run_all()
    assert notebook.errors() == []
    table = notebook.component("Some rows")
    rows = table.locator("tbody tr:visible")
    expect(rows).to_have_count(20)
    sides = table.locator(".sk-number").first.evaluate("(e) => getComputedStyle(e).textAlign")
    assert sides == "right"
    table.get_by_role("button", name="Show all 30 rows").click()
    expect(rows).to_have_count(30)
    inside = table.locator(".sk-table").evaluate("(e) => [e.scrollHeight, e.clientHeight]")
    assert inside[0] <= inside[1], "nothing scrolls up and down inside the page"
    table.get_by_role("button", name="Show fewer rows").click()
    expect(rows).to_have_count(20)
    table.get_by_role("button", name="Copy 712020:0c8f5b7e-0001").click()
    expect(table.get_by_role("button", name="Copy 712020:0c8f5b7e-0001")).to_have_text("copied")
    assert notebook.page.evaluate("navigator.clipboard.readText()") == "712020:0c8f5b7e-0001"
    notebook.screenshot(f"table-{theme}", table)
    answer = notebook.outputs.locator(".spokekit-frame")
    expect(answer).to_have_count(1)
    expect(answer.locator("thead th").last).to_have_text("account id")
    expect(answer).to_contain_text("identity provider")
    assert answer.locator("td.number").first.evaluate("(e) => getComputedStyle(e).textAlign") == "right"
    assert answer.locator("td").first.evaluate("(e) => getComputedStyle(e).textAlign") == "left"
    notebook.screenshot(f"frame-{theme}", answer)
    # A frame that is nobody's answer stays as pandas shows it.
    expect(notebook.outputs.locator("table.dataframe")).to_have_count(1)


TAKEN = [
    """import pandas as pd
from spokekit.widgets import GroupTable
GroupTable(pd.DataFrame({"name": ["Kim Example", "Lu"], "members": [1, 2]}), title="To take away")""",
    """from spokekit.audit import export
export.to_folder({"a": pd.DataFrame({"x": [1]})}, export.About("T", "", None, "me", "", ""), name="of-all")""",
    """from matplotlib.figure import Figure
from spokekit.audit.show.picture import Picture
Picture("A picture", "nothing", lambda theme: Figure(figsize=(1, 1)))""",
]


def test_a_table_files_and_a_picture_are_downloaded(open_notebook: Callable[..., NotebookPage]) -> None:
    notebook = open_notebook(TAKEN)
    notebook.run_all()
    assert notebook.errors() == []
    table, page = notebook.component("To take away"), notebook.page
    for kind, words in (("csv", "Download CSV"), ("xlsx", "Download Excel"), ("html", "Download HTML")):
        with page.expect_download() as taken:
            table.get_by_role("button", name=words).click()
        assert taken.value.suggested_filename == f"To-take-away.{kind}"
        data = taken.value.path().read_bytes()
        assert b"Kim Example" in data or (kind == "xlsx" and data.startswith(b"PK"))
        expect(table).to_contain_text(f"To-take-away.{kind} went to the downloads of your browser: 2 rows.")
    notebook.screenshot("downloads", table)
    with page.expect_download() as taken:
        notebook.outputs.get_by_role("link", name="Download of-all.xlsx").click()
    assert taken.value.path().read_bytes().startswith(b"PK")
    with page.expect_download() as taken:
        notebook.outputs.get_by_role("link", name="Download the picture").click()
    assert taken.value.path().read_bytes().startswith(b"\x89PNG") and taken.value.suggested_filename == "A-picture.png"
    assert "Kim Example" not in str(notebook.save()["metadata"].get("widgets", "")).replace("<td>Kim Example</td>", "")
