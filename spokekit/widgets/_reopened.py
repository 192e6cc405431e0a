"""What a component says in a notebook that is opened again before Python has made it anew.

JupyterLab shows the words "Error displaying widget: model not found" then, whatever else the output holds, since it
prefers a widget's view in a notebook that it trusts. A second output beside the view, with nothing but style, puts our
own sentence there; it takes no place, and does nothing elsewhere. In a notebook that is not trusted, and in pages that
know no widgets, the view's own text is shown.
"""

from __future__ import annotations

from typing import Any

RESTARTED = "Python was restarted: Run > Run All Cells."
_ELSEWHERE = (
    "<p>A component of spokekit belongs here. Open the notebook in JupyterLab and choose "
    "<b>Run &gt; Run All Cells</b>.</p>"
)
# An output that is a widget, and holds no element, holds JupyterLab's own words.
_WORDLESS = ".jp-OutputArea:has(.spokekit-says) > .jp-OutputArea-child > .jupyter-widgets:not(:has(*))"
# The theme says the same where another component has brought it into the page.
_STYLE = (
    "<style class='spokekit-says'>"
    ".jp-OutputArea-child:has(.spokekit-says){display:none}"
    f"{_WORDLESS}{{font-size:0}}"
    f"{_WORDLESS}::after{{content:'{RESTARTED}';display:block;padding:5px 10px;font-weight:600;"
    "font-size:var(--jp-ui-font-size1,13px);font-family:var(--jp-ui-font-family,sans-serif);"
    "color:var(--jp-ui-font-color1,#212121);background:var(--jp-layout-color2,#f2f2f2);"
    "border-left:3px solid var(--jp-warn-color1,#e65100)}"
    "</style>"
)


def show_component(bundle: dict[str, Any]) -> None:
    """Display a component's view from its bundle of media types, and what is to be said when it has gone."""
    from IPython.core import display_functions

    publish: Any = display_functions.publish_display_data
    publish({**bundle, "text/html": _ELSEWHERE})
    publish({"text/html": _STYLE, "text/plain": ""})
