"""The controls of the review panel and how they are laid out; what they do is in `review_panel`."""

from __future__ import annotations

from typing import Any

import ipywidgets as ipw

from spokekit.widgets._browser import DownloadButton
from spokekit.widgets._preview_form import PreviewForm
from spokekit.widgets.controls import Fold, button, card, check, dropdown, filtered_list, html, note, row, text, upload

SCOPES = (
    ("Registered groups", "registered"),
    ("All groups that give access to Confluence", "access"),
    ("Groups of administrators", "admins"),
)


class ReviewForm(PreviewForm):
    """Choose a review, decide its rows, sign, carry out, prove, close: one below the other."""

    commands = ("spokekit review open", "spokekit review rows")

    def __init__(self, **options: Any) -> None:
        super().__init__(
            "Review access",
            lead="Decide row by row who keeps access. Nothing is removed before it is signed, previewed and applied.",
            **options,
        )
        self.chosen = dropdown("Review", [])
        self.again = button("Read again", tooltip="Read the reviews and what others have decided")
        self.name = text("Name", placeholder="such as 2026-Q4", live=True)
        self.scope = dropdown("Groups", SCOPES)
        self.due = text("Due", placeholder="2026-12-31, or nothing", live=True)
        self.partial = check("Open it although the walk is incomplete")
        self.lists_in = upload("Add lists of people", ".csv,.xlsx", multiple=True)
        self.no_lists = button("Forget the lists")
        self.lists_line = html("", "sk-note")
        self.open_button = button("Open the review", kind="primary")
        self.new = Fold(
            "Open a new review",
            note(
                "Its rows are those of the newest snapshot: walk in notebook 5 first. Where that walk is incomplete, "
                "the evidence says so on every page."
            ),
            self.name,
            self.scope,
            self.due,
            self.partial,
            note("Lists of HR, an identity provider or Atlassian's Export users tell leavers and inactive seats."),
            row(self.lists_in, self.no_lists, css="sk-actions"),
            self.lists_line,
            row(self.open_button, css="sk-actions"),
        )
        self.head = html("")
        words = "parts of a group, a person, leaver, guest, keep"
        self.filter, self.list = filtered_list("Rows", 12, "Filter rows", words)
        self.undecided = check("Undecided rows only", True)
        self.count = html("", "sk-count")
        self.about = html("", "sk-note")
        self._make_deciding()
        self.sheet_out = DownloadButton("Download the worksheet")
        self.sheet_in = upload("Take a worksheet back", ".xlsx,.csv")
        self.sheet_line = html("")
        self.take_sheet = button("Take its decisions", kind="primary")
        self.no_sheet = button("Forget it")
        self.sheet_card = card(self.sheet_line, row(self.take_sheet, self.no_sheet, css="sk-actions"))
        self.rows_head = html("")
        self.rows_box = ipw.VBox(
            [
                self.rows_head,
                self.filter,
                self.undecided,
                self.list,
                self.count,
                self.about,
                self.decide_box,
                Fold(
                    "Worksheet for reviewers without Jupyter",
                    note("Whoever fills it in is named in it; the evidence says “as stated in the worksheet”."),
                    row(self.sheet_out, self.sheet_in, css="sk-actions"),
                    self.sheet_card,
                ),
            ]
        )
        self._make_what_follows()
        top = [row(self.chosen, self.again), self.new, self.head, self.rows_box]
        self.body = [*top, self.sign_box, self.apply_box, self.verify_box, self.close_box]

    def _make_deciding(self) -> None:
        """Make the controls by which a row is decided."""
        self.reason = text("Reason", placeholder="needed for an exception, and against a recommendation", live=True)
        self.until = text("Exception until", placeholder="2027-03-31", live=True)
        self.decide_buttons = {
            "keep": button("Keep"),
            "remove": button("Remove"),
            "ask": button("Ask"),
            "exception": button("Exception"),
        }
        self.keep_all = button("Keep all that are shown", tooltip="Each undecided row of the list, one record a row")
        self.decide_box = ipw.VBox(
            [self.reason, self.until, row(*self.decide_buttons.values(), self.keep_all, css="sk-actions")]
        )

    def _make_what_follows(self) -> None:
        """Make the controls for after the decisions: sign, carry out, prove, close."""
        self.by = text("Your name", live=True)
        self.role = text("Your role", placeholder="such as Head of IT", live=True)
        self.sign_button = button("Sign the decisions")
        self.sign_box = ipw.VBox([html("<h3>Sign</h3>"), self.by, self.role, row(self.sign_button, css="sk-actions")])
        self.ask = button("Preview the removals", kind="primary")
        self._make_preview_card(button("Apply", kind="danger", tooltip="Carry the previewed removals out"))
        self.apply_box = ipw.VBox([html("<h3>Carry out</h3>"), row(self.ask, css="sk-actions"), self.preview_card])
        self.verify_button = button("Walk again and verify", kind="primary")
        self.verified = html("")
        self.verify_box = ipw.VBox([html("<h3>Prove</h3>"), row(self.verify_button, css="sk-actions"), self.verified])
        self.folder = text("Folder", live=True)
        self.close_button = button("Close with evidence", kind="primary")
        self.evidence_out = DownloadButton("Download the evidence")
        self.close_box = ipw.VBox(
            [
                html("<h3>Close</h3>"),
                note("A closed review can only be read. Its evidence is written into a new folder."),
                self.folder,
                row(self.close_button, self.evidence_out, css="sk-actions"),
            ]
        )
