"""Findings: list the rows of a question that somebody has to decide about, and accept them with reason and name."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import traitlets as tr

from spokekit._words import comparable, counted
from spokekit.audit.questions.registry import REGISTRY
from spokekit.errors import InputError
from spokekit.widgets._downloads import Downloads, Taken
from spokekit.widgets.base import Component, Task
from spokekit.widgets.controls import choices, dropdown, html, html_table, lead_to, note, row, select_many, show, text
from spokekit.widgets.walk_panel import WalkPanel, audit_of, newest_of

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit.audit import Audit
    from spokekit.audit.findings import Findings

SHOWN = 500


class FindingsPanel(Component):
    """List the findings of a question, mark those that may stay, and accept them.

    Nothing is marked, typed or accepted before a person does it, and only what is marked on the screen is accepted.
    The path without a widget: `spokekit.audit.Findings`, or ``spokekit audit findings`` and ``spokekit audit accept``.

    Parameters
    ----------
    audit:
        An `Audit`, or a `WalkPanel` whose newest one is asked.

    Attributes
    ----------
    value:
        The frame of `Findings.review` that is listed, or None. Observable.
    accepted:
        How often findings were accepted here.
    """

    commands = ("spokekit audit findings",)
    value = tr.Any(None, allow_none=True)
    accepted = tr.Int(0)

    def __init__(self, audit: Audit | WalkPanel, **options: Any) -> None:
        lead = (
            "A finding is a row that somebody has to decide about. Listing notes which rows are there; "
            "accepting writes your decision into the store."
        )
        super().__init__("Findings", lead=lead, **options)
        self._source = audit
        self.question = dropdown("Question", [("Choose a question", ""), *_questions()])
        self.list = self.button("List the findings", self.look, kind="primary")
        self.filter = text("Filter", placeholder="Part of a name", live=True)
        self.marks = select_many("New findings", rows=8)
        self.marks.add_class("sk-stack")
        self._count = note("")
        self.reason = text("Reason", placeholder="Why it may stay so", live=True)
        self.name = text("Your name", placeholder="Who accepts it", live=True)
        self.until = text("Until", placeholder="2027-03-31; empty: for good", live=True)
        self.accept = self.button("Accept", self.accept_marked)
        self.allowed = select_many("Accepted", rows=4)
        self.allowed.add_class("sk-stack")
        words = "Make the marked acceptances new findings again"
        self.take_back = self.button("Take back", self.take_marked_back, tooltip=words)
        self._table = html("")
        self._labels: dict[str, str] = {}
        last = row(self.accept, css="sk-actions")
        self._new = [self.filter, self.marks, self._count, self.reason, self.name, self.until, last]
        self._old = [self._table, self.allowed, row(self.take_back)]
        self._downloads = Downloads(self, self._taken)
        self._list_of = self.belongs_to(
            "list",
            {"question": self.question, "snapshot": lambda: id(audit_of(self._source))},
            *self._new,
            *self._old,
            again="Press List the findings.",
            changed=self._allow,
        )
        self.body = [
            self.question,
            row(self.list, css="sk-actions"),
            self._list_of.note,
            *self._new,
            *self._old,
            self._downloads.row,
        ]
        if isinstance(audit, WalkPanel):
            self.on_change(audit, lambda _: self._list_of.see())
        self.on_change(self.filter, lambda _: self._offer())
        for field in (self.marks, self.reason, self.name, self.until, self.allowed):
            self.on_change(field, lambda _: self._allow())
        self.on_change(self, lambda _: self._allow(), "busy")
        self._show_parts()

    # --- listing -------------------------------------------------------------------------------------------------
    def look(self) -> None:
        """List the findings of the chosen question, in the background."""
        if not self.question.value:
            raise InputError("No question is chosen.", field="question", hint="Choose one in the list.")
        self._run("Listing the findings", lambda _findings: "")

    def _run(self, words: str, change: Any) -> None:
        """Do `change` to the findings, list them afresh, and say what it returned."""
        audit = newest_of(self._source)
        inputs, question = self._list_of.inputs(), self.question.value
        store = self._source.store if isinstance(self._source, WalkPanel) else None

        def work(_task: Task) -> tuple[pd.DataFrame, dict[str, str], str]:
            from spokekit.audit.findings import Findings

            findings = Findings(audit.site, store=store)
            said = change(findings)
            rows = findings.review(audit, question)
            named = findings.frame()
            return rows, dict(zip(named["finding_id"], named["about"], strict=True)), said

        self.run(work, words=words, done=lambda found: self._listed(*found, caution=audit.caution(), inputs=inputs))

    def _listed(
        self, rows: pd.DataFrame, named: dict[str, str], said: str, *, caution: str, inputs: dict[str, Any]
    ) -> None:
        self._labels = {i: named.get(i) or i for i in rows["finding_id"]}
        self.value = rows
        counts = rows.attrs
        self._table.value = _accepted_table(rows, self._labels)
        listed = f"{counts['new']:,} new, {counts['accepted']:,} accepted, {counts['fixed']:,} fixed since last time."
        words = " ".join(w for w in (said, listed, caution) if w)
        self._list_of.made(rows, inputs, words, "warning" if caution else "ok" if said else "plain")
        self._offer()
        self._show_parts()
        if said:
            # A reason is one for the findings that it was typed for.
            self.reason.value = self.until.value = ""

    def _with(self, state: str) -> list[str]:
        return [] if self.value is None else list(self.value.loc[self.value["state"] == state, "finding_id"])

    def _offer(self) -> None:
        wanted = comparable(self.filter.value)
        new = [i for i in self._with("new") if wanted in comparable(self._labels[i])]
        self.marks.options = choices((self._labels[i], i) for i in new[:SHOWN])
        self.allowed.options = choices((self._labels[i], i) for i in self._with("accepted")[:SHOWN])
        self._allow()

    def _show_parts(self) -> None:
        show(*self._new, when=self._with("new"))
        show(*self._old, when=self._with("accepted"))
        self._allow()

    # --- deciding ------------------------------------------------------------------------------------------------
    def _allow(self) -> None:
        marked, shown = len(self.marks.value), len(self.marks.options)
        missing = [
            words
            for there, words in (
                (marked, "mark findings"),
                (self.reason.value.strip(), "type a reason"),
                (self.name.value.strip(), "type your name"),
            )
            if not there
        ]
        more = f" of {len(self._with('new')):,}" if shown < len(self._with("new")) else ""
        first = f"{marked:,} marked; {counted(shown, 'finding')}{more} shown."
        left = f" To accept: {', '.join(missing)}." if missing else ""
        self._count.value = f"<p>{first}{left}</p>"
        rows = self._list_of.known and self.value is not None and len(self.value) > 0
        self._downloads.show(rows, current=self._list_of.current)
        able = self._list_of.current and not self.busy
        # Never for a missing choice: a Tab that comes before Python has seen the choice would pass the button over.
        self.list.disabled = self.busy
        self.accept.disabled = not able or bool(missing)
        self.take_back.disabled = not able or not self.allowed.value
        lead_to(*((self.list, self.accept) if self.accept.disabled else (self.accept, self.list)))

    def _taken(self) -> Taken:
        from spokekit.audit.show.export import About

        rows: pd.DataFrame = self._list_of.require()
        about = About.of(newest_of(self._source), title=f"Findings: {rows.attrs['title']}", made_by="")
        return f"findings-{rows.attrs['question']}", rows, about

    def accept_marked(self) -> None:
        """Accept the findings that are marked, with the reason and the name typed."""
        self._list_of.require()
        ids, reason, name, until = list(self.marks.value), self.reason.value, self.name.value, _day(self.until.value)
        if not ids:
            raise InputError("No finding is marked.", field="marks", hint="Mark those that may stay as they are.")

        def change(findings: Findings) -> str:
            count = findings.accept(ids, reason=reason, by=name, until=until)
            self.accepted += 1
            return f"{counted(count, 'finding')} accepted by {name.strip()}{f' until {until}' if until else ''}."

        self._run("Writing the decision", change)

    def take_marked_back(self) -> None:
        """Make the acceptances that are marked new findings again."""
        self._list_of.require()
        ids = list(self.allowed.value)
        if not ids:
            raise InputError("No acceptance is marked.", field="allowed", hint="Mark those to be taken back.")
        self._run("Taking back", lambda findings: f"{counted(findings.reopen(ids), 'acceptance')} taken back.")

    def rehearse(self, *, question: str = "groups-without-members") -> None:
        """Do what a person does first: choose a question and list its findings. A decision is nobody else's."""
        self.question.value = question
        self.finish(self.look)


def _questions() -> list[tuple[str, str]]:
    from spokekit.audit import questions_frame

    listed = questions_frame()
    pairs = zip(listed["title"], listed["name"], listed["answerable"], strict=True)
    return [
        (title, name)
        for title, name, able in pairs
        if able and not any(param.required for param in REGISTRY.get(name).params)
    ]


def _day(typed: str) -> date | None:
    try:
        return date.fromisoformat(typed.strip()) if typed.strip() else None
    except ValueError:
        raise InputError(
            f"“{typed.strip()}” is no day of the calendar.",
            field="until",
            hint="Type year, month and day, as 2027-03-31, or leave the field empty.",
        ) from None


def _accepted_table(rows: pd.DataFrame, labels: dict[str, str]) -> str:
    accepted = rows[rows["state"] == "accepted"].head(SHOWN)
    if not len(accepted):
        return ""
    columns = [accepted[name] for name in ("finding_id", "reason", "accepted_by", "accepted_until")]
    lines = [
        (labels[finding_id], reason, by, f"{until:%Y-%m-%d}" if until == until and until is not None else "for good")
        for finding_id, reason, by, until in zip(*columns, strict=True)
    ]
    return html_table(("finding", "reason", "accepted by", "until"), lines, label="Accepted findings")
