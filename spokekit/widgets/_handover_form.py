"""The controls of the hand-over, and what they show as escaped markup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spokekit._foreign import markup
from spokekit._words import counted
from spokekit.handover.records import WORDS
from spokekit.widgets._browser import SecretField
from spokekit.widgets._preview_form import PreviewForm
from spokekit.widgets.controls import (
    Fold,
    button,
    check,
    dropdown,
    html,
    html_table,
    note,
    row,
    select_many,
    show,
    text,
)

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.handover import Changes, Outcome

SHOWN = 200
_WIDTHS = ("32%", "30%")
WAYS = (("an API key", "api-key"), ("OAuth client credentials", "oauth"), ("the session of a browser", "session"))
GRANTS = (("a person's consent", "consent"), ("a service account", "service-account"))
_SECRETS = {"api-key": "API key", "oauth": "Client secret", "session": "Cookie"}


class HandoverForm(PreviewForm):
    """The controls alone; what they do is in `HandoverPanel`."""

    commands = ("spokekit handover plan", "spokekit handover compare")

    def __init__(self, **options: Any) -> None:
        super().__init__("Hand over to an instance", **options)
        self.instance = text("Instance", placeholder="acme, or https://acme.service-now.com/", live=True)
        self.app_id = text("Its app's client ID", placeholder="of the app made for the instance", live=True)
        self.grant = dropdown("Token by", GRANTS)
        self.way = dropdown("Sign in by", WAYS)
        self.client_id = text("Client ID", placeholder="of a registry on the instance", live=True)
        self.secret = SecretField("API key", unset_words="kept in this cell only, until Python ends")
        self.practise = button(
            "Start a practice instance", tooltip="Answers like ServiceNow's Table API, on this machine"
        )
        self.folder = text("Folder", "hand-over", live=True)
        self.write_button = button("Write the folder")
        self.plan_fold = Fold(
            "The plan as a folder",
            note(
                "A checklist, XML and a project for ServiceNow's SDK, for whoever runs the instance. No credential is "
                "needed, and no secret is in it."
            ),
            self.folder,
            row(self.write_button, css="sk-actions"),
        )
        self.import_button = button("Import the plan's XML", tooltip="As Import XML in a list of an instance")
        self.clone_button = button("Make it a clone", tooltip="As a test instance is after a clone of production")
        self.practice_row = row(self.import_button, self.clone_button, css="sk-actions")
        self.compare_button = button("Compare", kind="primary")
        self.ask = button("Preview what would be written")
        self.undo_button = button("Preview the undo", tooltip="Of what was written last")
        self.groups = check("Write the registered groups as well")
        self.sure = row()
        self.drift = html("")
        self.differences = select_many("Confirm", rows=4)
        self.differences.add_class("sk-stack")
        apply = button("Write", kind="danger", tooltip="Carry out what the preview shows")
        self._make_preview_card(apply, above=[self.differences])
        self.result = html("")

    def arrange_way(self) -> None:
        """Show the fields that a way to sign in needs."""
        show(self.client_id, when=self.way.value == "oauth")
        self.secret.description = _SECRETS[self.way.value]


def drift_markup(drift: pd.DataFrame) -> str:
    """The drift as a table; each row says what it means and what to do."""
    if not len(drift):
        return ""
    rows = [
        (_record(one, str(one["kind"])), _values(one), f"{one['means']} {one['do']}")
        for one in drift.head(SHOWN).to_dict("records")
    ]
    heads = ("what", "values", "what it means, and what to do")
    return html_table(heads, rows, caption=f"Drift: {counted(len(drift), 'row')}", widths=_WIDTHS)


def _record(one: Mapping[Any, Any], kind: str) -> str:
    column = f", {one['column']}" if one["column"] else ""
    table = WORDS.get(str(one["table"]), str(one["table"]))
    return f"{kind}: {table} {one['record']}{column}"


def _values(one: Mapping[Any, Any]) -> str:
    here, there = one["here"], one["there"]
    return f"Here: {here or 'nothing'}. There: {there or 'nothing'}." if here or there else ""


def steps_markup(steps: pd.DataFrame, caption: str) -> str:
    """The steps of a preview or a result as a table; of what is there already only their number is told."""
    steps = steps[steps["status"].astype(str) != "already so"]
    if not len(steps):
        return ""
    rows = [
        (_record(one, f"{one['action']} · {one['status']}"), _values(one), one["message"])
        for one in steps.head(SHOWN).to_dict("records")
    ]
    return html_table(("step", "values", "in words"), rows, caption=caption, widths=_WIDTHS)


def preview_markup(changes: Changes) -> str:
    """A preview: its sentences, and its steps."""
    lines = "".join(f"<li>{markup(line)}</li>" for line in changes.lines)
    return f"<ul class='sk-list'>{lines}</ul>{steps_markup(changes.frame, 'Steps')}"


def result_markup(result: Outcome) -> str:
    """What became of an apply."""
    return steps_markup(result.frame, f"Result: {result.words}") if result.apply_id else ""
