"""The drift of an instance as a page and a workbook, for whoever runs the instance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from spokekit._words import counted, moment
from spokekit.handover import records as rec
from spokekit.handover.client import check_address

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit.show.export import About, Written

NAME = "drift"


def about_of(drift: pd.DataFrame, plan: rec.Plan, address: str) -> About:
    """Say what stands in front of the drift: which instance, which plan, when it was read, what could not be read."""
    # Only an export needs these libraries.
    from spokekit.audit.show import export

    @dataclass(frozen=True)
    class OfAnInstance(export.About):
        def rows(self) -> list[tuple[str, str]]:
            return [
                ("Title", self.title),
                ("Instance", self.site),
                ("Read", moment(datetime.now(UTC))),
                ("Made by", self.made_by),
                ("Compared with", self.scope),
                ("Coverage", self.coverage),
            ]

    names = ", ".join(part.connection for part in plan.parts)
    report = drift.attrs.get("completeness") or {}
    unread = str(report.get("words") or "")
    return OfAnInstance(
        "Drift of a ServiceNow instance",
        check_address(address),
        None,
        "spokekit handover compare",
        f"the plan of {counted(len(plan.parts), 'connection')}: {names}",
        f"INCOMPLETE. {unread}" if report.get("complete") is False else "All tables of the plan could be read.",
    )


def titled(drift: pd.DataFrame) -> pd.DataFrame:
    """Return the drift with a heading, and with what it cannot know, for a page or a workbook."""
    shown = drift.copy(deep=False)
    shown.attrs = {
        "title": "Drift" if len(drift) else "No drift: the instance is as planned",
        "cannot_know": "whether a token is there, and whether a secret is the right one.",
    }
    return shown


def to_folder(drift: pd.DataFrame, plan: rec.Plan, address: str, folder: Path | str) -> Written:
    """Write the result of `compare` into `folder`, which is made: ``drift.html`` and ``drift.xlsx``.

    Nothing in them is secret. They say of which instance and plan the drift is, when it was read, and what could not
    be read; each row what it means and what to do.

    Raises
    ------
    InputError
        The folder or a file cannot be written.
    """
    from spokekit.audit.show import export

    return export.to_folder({NAME: titled(drift)}, about_of(drift, plan, address), name=NAME, folder=folder)
