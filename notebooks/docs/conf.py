"""The documentation site: these pages, the notebooks, and what the code and the commands say about themselves.

    python3 -m sphinx -W -c notebooks/docs notebooks build/site

Nothing is fetched, and every warning is an error. `generated.py` beside this file fills the marks in the pages.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "spokekit"
author = "The spokekit maintainers"
copyright = "The spokekit maintainers. Apache-2.0"  # noqa: A001 - Sphinx's name for it
release = version = installed("spokekit")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb", "generated"]
root_doc = "docs/index"
exclude_patterns = ["**/.ipynb_checkpoints", "docs/front"]
suppress_warnings: list[str] = []

# The notebooks are shown as they are committed: what a component shows stands in a kernel, not in a page.
nb_execution_mode = "off"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

# `name` links to what has that name in the reference, and is code elsewhere.
smartquotes = False
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_display_short_literal_types = True
python_maximum_signature_line_length = 100
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "spokekit"
html_extra_path = ["front"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
