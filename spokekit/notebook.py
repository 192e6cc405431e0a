"""What the cells of a notebook begin from: names for what is there already, whichever cell runs first.

::

    from spokekit.notebook import audit

    audit.ask("groups-with-access")

Each import looks again. What is not there yet ends the cell in one line that says which step comes first.

Attributes
----------
work
    This process's `spokekit._workspace.Workspace`.
registry
    The registered groups of the default connection, as a `spokekit.groups.registry.Registry`.
groups
    The same as a frame, with the columns of ``registry.frame()``; there has to be one group at least.
audit
    The `spokekit.audit.Audit` of the newest snapshot of the connection's site.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

# Loads what tells which cell comes first.
import spokekit.widgets  # noqa: F401
from spokekit._frames import show_in_notebooks
from spokekit._workspace import workspace
from spokekit.errors import NotFound

if TYPE_CHECKING:
    import pandas as pd

    from spokekit._workspace import Workspace
    from spokekit.audit.audit import Audit
    from spokekit.groups.registry import Registry

    work: Workspace
    registry: Registry
    groups: pd.DataFrame
    audit: Audit

_audits: dict[str, Any] = {}


def _needs(step: int) -> Workspace:
    """Return this process's workspace; what is not there before `step` is done ends the cell."""
    from spokekit.widgets.steps import needs

    needs(workspace(), step)
    return workspace()


def _registry() -> Registry:
    return _needs(3).registry()


def _groups() -> pd.DataFrame:
    frame = _needs(4).registry().frame()
    show_in_notebooks()
    return frame


def _audit() -> Audit:
    from spokekit.audit import Audit
    from spokekit.audit.history.snapshots import Snapshots
    from spokekit.widgets.steps import comes_first

    site = _needs(3).connection().cloud_id or ""
    try:
        newest = Snapshots(site).latest()
    except NotFound:
        raise comes_first("Walk the site", "Walk in notebook 5, then run this cell.", NotFound) from None
    # The tables of a snapshot are opened once, not once a cell.
    if str(newest.folder) not in _audits:
        _audits.clear()
        _audits[str(newest.folder)] = Audit.of_snapshot(newest)
    found: Audit = _audits[str(newest.folder)]
    return found


_NAMES: dict[str, Callable[[], Any]] = {"work": workspace, "registry": _registry, "groups": _groups, "audit": _audit}

__all__ = ["audit", "groups", "registry", "work"]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return _NAMES[name]()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
