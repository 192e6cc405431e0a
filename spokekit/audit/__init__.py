"""Audit of group access: pull once, completely (`Walk`), then ask by name (`Audit`).

Example
-------
::

    from spokekit.audit import Audit, Walk

    with work.spoke() as spoke:
        snapshot = Walk(spoke, registry=work.registry()).run()
    audit = Audit.of_snapshot(snapshot)
    audit.questions()
    audit.ask("groups-without-members")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit.audit import Audit
    from spokekit.audit.compare import diff
    from spokekit.audit.compare_people import compare_list
    from spokekit.audit.findings import Findings
    from spokekit.audit.frames import Frames, Site, empty_frames
    from spokekit.audit.history.snapshot import Snapshot
    from spokekit.audit.history.snapshots import Snapshots, sites
    from spokekit.audit.questions.registry import Param, question
    from spokekit.audit.walk.walk import Walk, WalkPlan

# pandas, pyarrow and DuckDB take most of a second to import: each name brings its own module when it is used.
_WHERE = {
    "Audit": "audit",
    "Findings": "findings",
    "Frames": "frames",
    "Param": "questions.registry",
    "Site": "frames",
    "Snapshot": "history.snapshot",
    "Snapshots": "history.snapshots",
    "Walk": "walk.walk",
    "WalkPlan": "walk.walk",
    "compare_list": "compare_people",
    "diff": "compare",
    "empty_frames": "frames",
    "question": "questions.registry",
    "sites": "history.snapshots",
}

# Modules that people name as `spokekit.audit.export`, wherever they lie.
_MODULES = {"export": "show.export", "plots": "show.plots"}

__all__ = [
    "Audit",
    "Findings",
    "Frames",
    "Param",
    "Site",
    "Snapshot",
    "Snapshots",
    "Walk",
    "WalkPlan",
    "compare_list",
    "diff",
    "empty_frames",
    "question",
    "questions_frame",
    "sites",
]


def questions_frame() -> pd.DataFrame:
    """List all questions without any snapshot, see `QuestionList.frame`."""
    from spokekit.audit import questions  # noqa: F401 - brings the questions into the registry
    from spokekit.audit.questions.registry import REGISTRY

    return REGISTRY.frame()


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{_MODULES[name]}")
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
