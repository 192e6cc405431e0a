"""What a component says in a notebook that is opened again before Python has made it anew.

JupyterLab shows the words "Loading widget..." for some seconds then, and "Error displaying widget: model not found"
after them, whatever else the output holds, since it prefers a widget's view in a notebook that it trusts. A second
output beside the view, with nothing but style, puts our own sentence there; it takes no place, and does nothing
elsewhere. In a notebook that is not trusted, and in pages that know no widgets, the view's own text is shown.
"""

from __future__ import annotations

from typing import Any

RESTARTED = "Python was restarted: Run > Run All Cells."
LOOKED_FOR = "Looking for this component in Python. If it does not come: Run > Run All Cells."
_ELSEWHERE = (
    "<p>A component of spokekit belongs here. Open the notebook in JupyterLab and choose "
    "<b>Run &gt; Run All Cells</b>.</p>"
)
# An output that is a widget, and holds no element, holds JupyterLab's own words.
_OURS = ".jp-OutputArea:has(.spokekit-says) > .jp-OutputArea-child > "
_WORDLESS = f"{_OURS}.jupyter-widgets:not(:has(*))"
# Until JupyterLab knows that there is none, the output is a plain panel.
_LOADING = f"{_OURS}.jp-OutputArea-output.lm-Panel:not(.jupyter-widgets):not(:has(*))"
# The theme says the same where another component has brought it into the page.
_STYLE = (
    "<style class='spokekit-says'>"
    ".jp-OutputArea-child:has(.spokekit-says){display:none}"
    f":is({_WORDLESS},{_LOADING}){{font-size:0}}"
    f"{_WORDLESS}::after{{content:'{RESTARTED}'}}"
    # A component that comes at once is not announced.
    f"{_LOADING}::after{{content:'{LOOKED_FOR}';opacity:0;animation:spokekit-late 0s 1s forwards}}"
    "@keyframes spokekit-late{to{opacity:1}}"
    f":is({_WORDLESS},{_LOADING})::after{{display:block;padding:5px 10px;font-weight:600;"
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
