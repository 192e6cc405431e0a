"""The controls of the membership editor and how they are laid out; what they do is in `membership_editor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw

from spokekit.widgets._downloads import Downloads, Taken, about
from spokekit.widgets._preview_form import PreviewForm, titled_card, under_title
from spokekit.widgets.controls import (
    LABEL_WIDTH,
    area,
    button,
    check,
    dropdown,
    filtered_list,
    hide,
    html,
    note,
    row,
    suggestions,
    upload,
)

if TYPE_CHECKING:
    from spokekit.widgets._belonging import Source

REMOVE_MARKED = "remove-marked"
ACTIONS = (
    ("Remove the marked members", REMOVE_MARKED),
    ("Add the people on a list", "add"),
    ("Remove the people on a list", "remove"),
    ("Make the group equal to a list", "sync"),
)
ONLY = (("Add and remove", ""), ("Add only, remove nobody", "add-only"), ("Remove only, add nobody", "remove-only"))


class MembershipForm(PreviewForm):
    """Group, members, what to do, preview and result, one below the other."""

    commands = ("spokekit members plan", "spokekit members apply")

    def __init__(self, **options: Any) -> None:
        super().__init__(
            "Manage members",
            lead="Only registered groups are changed, and nothing before you have seen the preview and pressed Apply.",
            **options,
        )
        self._site = ""
        self.group = dropdown("Group", [])
        self.again = button("Read again", tooltip="Read the registered groups and the members again")
        words = "parts of a name, an address, an id, guest, app"
        self.filter, self.list = filtered_list("Members", 12, "Filter members", words)
        self.mark_all = button("Mark all matches", tooltip="Mark everybody that the filter matches, shown or not")
        self.clear = button("Clear the marks")
        self.as_table = check("Show as a table")
        self.count = html("", "sk-count")
        self.table = html("")
        self.action = dropdown("What to do", ACTIONS)
        self.only = dropdown("How far", ONLY)
        self.person = suggestions("Find a person", placeholder="part of a name or an address, or an account id")
        self.person.layout.flex = "1 1 300px"
        self.add_button = button("Add", tooltip="Put this person on the list below; nothing is changed yet")
        self.known_note = html("", "sk-note")
        self.near = row()
        # Kept up to date while it is typed: who presses Preview at once means what stands there.
        words = "names, account ids or e-mail addresses, one a line"
        self.pasted = area("List of people", rows=4, placeholder=words, live=True)
        # What the names on the list are taken for.
        self.reading = ipw.VBox()
        self.upload = upload("Upload a CSV", ".csv,.tsv,.txt,.xlsx")
        self.upload_hint = note(
            "A CSV or an Excel workbook (.xlsx) with the columns `group_id` and `account_id`, or with names and e-mail "
            "addresses, as Atlassian and Entra export them; without a group column it means the group above. "
            "It is read when it arrives and goes before what is pasted."
        )
        self.file_line = html("", "sk-note")
        self.forget_file = button("Forget the file", kind="quiet")
        self.ask = button("Preview", kind="primary")
        self.discard = button("Discard", tooltip="Forget the preview; nothing is changed")
        self._preview_downloads = Downloads(self, self._taken_preview)
        apply = button("Apply", kind="danger", tooltip="Carry the previewed plan out")
        self._make_preview_card(apply, self.discard, below=[self._preview_downloads.row])
        self.shown_result = html("")
        self.undo = button("Undo", tooltip="Plan the opposite and show its preview")
        self.resume = button("Resume …", tooltip="Show what going on with the rows that are not done would do now")
        self.drop_button = button("Drop it", tooltip="Do not go on with it; what was done stays, and can be undone")
        self._result_downloads = Downloads(self, self._taken_result)
        self.result_card = titled_card(
            "Result",
            self.shown_result,
            row(self.undo, self.resume, self.drop_button, css="sk-actions"),
            self._result_downloads.row,
        )
        self.list_box = self._beside_the_list()
        self.body = self._in_order()
        hide(self.preview_card, self.result_card, self.forget_file, self.near)

    def _beside_the_list(self) -> ipw.VBox:
        left = {"margin": f"0 0 0 calc({LABEL_WIDTH} + 8px)"}
        return ipw.VBox(
            [
                row(self.person, self.add_button),
                ipw.Box([ipw.VBox([self.near, self.known_note])], layout=ipw.Layout(**left)),
                self.pasted,
                ipw.Box([self.reading], layout=ipw.Layout(**left)),
                ipw.HBox([self.upload, self.file_line, self.forget_file], layout=ipw.Layout(**left)),
                ipw.Box([self.upload_hint], layout=ipw.Layout(**left)),
            ]
        )

    def _in_order(self) -> list[Any]:
        return [
            row(self.group, self.again),
            self.filter,
            self.list,
            self.count,
            row(self.mark_all, self.clear, self.as_table),
            self.table,
            self.action,
            self.only,
            self.list_box,
            row(self.ask, css="sk-actions"),
            self.preview_card,
            self.result_card,
        ]

    def _tie(self, changed: Callable[[], None]) -> None:
        """Tie preview and result to what is chosen in the form; `changed` allows and disables what acts on them."""
        inputs: dict[str, Source] = {
            "group": (self, "group_id"),
            "action": self.action,
            "how far": self.only,
            "marks": (self, "value"),
            "list": self.pasted,
            "file": (self, "_arrived"),
        }
        again = "Press Preview for a new one."
        self._tie_preview(inputs, self.confirm_hint, again=again, allow=changed)
        again = "Choose again what was chosen then, to undo, resume or drop it."
        self._result_of = self.belongs_to("result", inputs, self.shown_result, again=again, changed=changed)
        under_title(self.result_card, self._result_of.note)

    def _show_downloads(self) -> None:
        self._preview_downloads.show(self._preview_of.known, current=self._preview_of.current)
        self._result_downloads.show(self._result_of.known, current=self._result_of.current)

    def _taken_preview(self) -> Taken:
        preview = self._preview_of.require()
        said = " ".join((*preview.lines, *preview.dangers))
        told = about("Preview; nothing of it is done yet", preview.plan.place.site, said)
        return "preview of changes", preview.frame, told

    def _taken_result(self) -> Taken:
        result = self._result_of.require()
        told = about("Result of an apply", self._site, result.words)
        return f"result-{result.apply_id[:8]}".strip("-"), result.frame, told
