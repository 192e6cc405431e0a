"""What a notebook holds of a component when it is opened again, before Python has made the component anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from IPython.core import display_functions

from spokekit.widgets import GroupTable
from spokekit.widgets._reopened import LOOKED_FOR, RESTARTED

STATIC = Path(__file__).parents[2] / "spokekit" / "widgets" / "static"


def test_a_component_leaves_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(display_functions, "publish_display_data", lambda data, **_: shown.append(data))
    monkeypatch.setattr("spokekit.widgets._in_words.in_terminal", lambda: False)
    table = GroupTable(pd.DataFrame({"name": ["<script>secret</script>"]}))
    table._ipython_display_()
    view, words = shown
    assert view["application/vnd.jupyter.widget-view+json"]["model_id"] == table.model_id
    # A notebook that is not trusted, and a page without widgets, show this; no name of the site is in it.
    assert "Run &gt; Run All Cells" in view["text/html"] and "secret" not in str(shown)
    # Beside a view that cannot be drawn: nothing but style, which takes no place.
    assert set(words) == {"text/html", "text/plain"} and words["text/plain"] == ""
    assert words["text/html"].startswith("<style class='spokekit-says'>") and words["text/html"].endswith("</style>")
    for sentence in (RESTARTED, LOOKED_FOR):
        assert f"::after{{content:'{sentence}'" in words["text/html"]
    assert ".jp-OutputArea-child:has(.spokekit-says){display:none}" in words["text/html"]


def test_it_is_one_sentence_wherever_it_is_said() -> None:
    for name in ("guard.js", "theme.css"):
        assert RESTARTED in (STATIC / name).read_text(encoding="utf-8"), name
