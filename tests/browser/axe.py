"""axe-core over a part of a page: what it finds, one line each."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# WCAG 2.2 A and AA, and axe's good practice. A component is a part of a page: the rules on whole pages are for pages.
_PART = {
    "region": {"enabled": False},
    "landmark-one-main": {"enabled": False},
    "page-has-heading-one": {"enabled": False},
}
_RUN = """async (root, [rules]) => {
  const found = await axe.run(root ?? document, {rules, resultTypes: ['violations']});
  return found.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${v.help}: ${n.html.slice(0, 160)}`));
}"""


@cache
def _script() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def findings_of_page(page: Page) -> list[str]:
    """Return what axe finds on the whole page."""
    return _found(page, None, {})


def findings_of_part(part: Locator) -> list[str]:
    """Return what axe finds inside `part`, which has to be in sight for its colours to be seen."""
    return _found(part.page, part, _PART)


def _found(page: Page, part: Locator | None, rules: dict[str, Any]) -> list[str]:
    if not page.evaluate("'axe' in window"):
        # Not a script element: the pages' own policy would refuse it.
        page.evaluate(_script())
    if part is None:
        return list(page.evaluate(f"(rules) => ({_RUN})(null, rules)", [rules]))
    return list(part.evaluate(_RUN, [rules]))
