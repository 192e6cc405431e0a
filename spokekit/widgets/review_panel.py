"""Review access: open a campaign, decide its rows, sign, carry out, verify, close with evidence."""

from __future__ import annotations

import io
import tempfile
import zipfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets as tr

from spokekit._words import counted
from spokekit.errors import InputError, NotConfigured, NotFound
from spokekit.widgets._downloads import MIME, hand_out, plain
from spokekit.widgets._membership_views import preview_markup
from spokekit.widgets._review_list import SHOWN, proof_markup
from spokekit.widgets._review_opening import ReviewOpening
from spokekit.widgets.base import Task
from spokekit.widgets.controls import Kind, bullets, filled, paragraph, show

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.groups.membership import Membership, Preview, Result, Resumption
    from spokekit.review import Campaign, Decided
    from spokekit.review.worksheet import Worksheet

_TOLD = 5


class ReviewPanel(ReviewOpening):
    """Review who may keep access, from the opening to the closed folder of evidence.

    The path without a widget: `spokekit.review.Reviews`, or ``spokekit review``.

    Parameters
    ----------
    connection:
        Name of the connection; without it, the default alias's.
    workspace:
        Without it, this process's.

    Attributes
    ----------
    campaign:
        The `spokekit.review.Campaign` on the screen, or None.
    value:
        Ids of the marked rows.
    preview:
        The previewed removals, or None.
    accepted:
        How many reviews were closed here.
    """

    accepted = tr.Int(0)

    def __init__(self, connection: str | None = None, *, workspace: Workspace | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.work_with(workspace, connection)
        self._resuming: Resumption | None = None
        self._evidence: Path | None = None
        state = {"review": self.chosen, "state": lambda: self.campaign.state if self.campaign else ""}
        self._tie_preview(state, again="Press Preview the removals.", allow=self._allow)
        self._sheet_of = self.belongs_to(
            "worksheet",
            {"review": self.chosen, "decisions": lambda: len(self.campaign.events) if self.campaign else 0},
            self.sheet_line,
            again="Take it back once more.",
            changed=self._allow,
        )
        self.sheet_card.children = (self._sheet_of.note, *self.sheet_card.children)
        self._listen()
        self.remember(connection or "", name=self.name, scope=self.scope, due=self.due, by=self.by, role=self.role)
        self.guarded(self.look)()

    def _listen(self) -> None:
        self.on_change(self.chosen, self._chosen_by_hand)
        self.on_change(self.filter, lambda _: self._show_rows())
        self.on_change(self.undecided, lambda _: self._show_rows())
        self.on_change(self.list, self._mark)
        self.on_upload(self.sheet_in, lambda content, name, _changed: self.read_worksheet(content, name))
        self.on_click(self.again, self.look)
        self._listen_to_opening()
        for decision, made in self.decide_buttons.items():
            self.on_click(made, partial(self.decide, decision))
        self.on_click(self.keep_all, self.keep_shown)
        self.on_click(self.take_sheet, self.take_worksheet)
        self.on_click(self.no_sheet, self._no_sheet)
        self.on_click(self.sign_button, self.sign)
        self.on_click(self.ask, self.make_preview)
        self.on_click(self.apply_button, self.apply)
        self.on_click(self.verify_button, self.verify)
        self.on_click(self.close_button, self.close_review)
        self.sheet_out.on_asked(self.guarded(self._give_sheet))
        self.evidence_out.on_asked(self.guarded(self._give_evidence))
        self.disable_while_busy(self.chosen, self.again, self.open_button)
        self.disable_while_busy(*self.decide_buttons.values(), self.keep_all, self.take_sheet, self.sign_button)
        self.disable_while_busy(self.ask, self.verify_button, self.close_button)

    def _members(self) -> closing[Membership]:
        from spokekit.groups.membership import Membership

        return closing(Membership.of(self._workspace, self._name))

    # --- which review --------------------------------------------------------------------------------------------
    def look(self) -> None:
        """Read the reviews of the site, newest first, and what others have decided meanwhile."""
        try:
            names = tuple(reversed(self._reviews().names()))
        except (NotConfigured, NotFound):
            self.say("There is no connection with a token yet: configure it and get a token first.", "warning")
            names = ()
        before = self.chosen.value
        chosen = before if before in names else names[0] if names else None
        self.fill(self.chosen, [(name, name) for name in names], chosen)
        show(self.chosen, when=names)
        self.new.shown = not names
        self._choose(self.chosen.value)

    def _chosen_by_hand(self, name: str | None) -> None:
        # What was said was said of the review before.
        self.say("")
        self._choose(name)

    def _choose(self, name: str | None) -> None:
        self._no_sheet()
        self._resuming, self._evidence = None, None
        self._preview_of.forget()
        self.campaign = self._reviews().get(name) if name else None
        if self.campaign is not None:
            self.folder.value = f"evidence/{_file_name(self.campaign)}"
        self._index()
        self._show_all()

    # --- what is shown -------------------------------------------------------------------------------------------
    def _show_all(self) -> None:
        campaign: Campaign | None = self.campaign
        state = campaign.state if campaign else ""
        self.head.value = "" if campaign is None else self._head_of(campaign)
        show(self.rows_box, when=campaign is not None)
        # Later on nothing is decided any more, and the rows stay to be read.
        show(self.undecided, self.decide_box, self.sign_box, when=state == "Open")
        self.rows_head.value = f"<h3>{'Decide' if state == 'Open' else 'Decisions'}</h3>"
        show(self.apply_box, when=state == "Decided")
        show(self.verify_box, when=state in ("Applied", "Verified", "Closed"))
        show(self.verify_button, when=state in ("Applied", "Verified"))
        show(self.close_box, when=state in ("Verified", "Closed"))
        proof = campaign.verification() if campaign else None
        self.verified.value = "" if proof is None else proof_markup(proof)
        self.close_button.description = "Close with evidence" if state != "Closed" else "Write the evidence once more"
        self._show_rows()
        self._preview_of.see()
        self._sheet_of.see()

    def _allow(self) -> None:
        super()._allow()
        show(self.sheet_card, when=self._sheet_of.known)
        self.take_sheet.disabled = self.busy or not self._sheet_of.current
        self.evidence_out.disabled = self.busy or self._evidence is None
        open_ = self.campaign is not None and self.campaign.state == "Open"
        for control in (*self.decide_buttons.values(), self.keep_all, self.sheet_in):
            control.disabled = self.busy or not open_

    # --- deciding ------------------------------------------------------------------------------------------------
    def _of_campaign(self) -> Campaign:
        if self.campaign is None:
            raise InputError("No review is open.", hint="Open one above.")
        campaign: Campaign = self.campaign
        return campaign

    def decide(self, decision: str) -> None:
        """Decide the marked rows: keep, remove, ask, or exception."""
        campaign = self._of_campaign()
        if not self.value:
            raise InputError("No row is marked.", hint="Mark rows in the list: arrows, with Shift for several.")
        until = self.until.value.strip() or None if decision == "exception" else None
        self._told(campaign.decide(self.value, decision, reason=self.reason.value, until=until))

    def keep_shown(self) -> None:
        """Keep every undecided row that the list shows, each as a record of its own."""
        shown = [row.row_id for row in self.matches()[:SHOWN]]
        self._told(self._of_campaign().keep_shown(shown, reason=self.reason.value))

    def _told(self, made: Decided) -> None:
        rows = [(self._of_campaign().row(row_id), words) for row_id, words in made.refused[:_TOLD]]
        # As the list names them.
        refused = " ".join(f"{r.group_name} · {self.campaign.called(r.account_id)}: {words}" for r, words in rows)
        more = f" … and {len(made.refused) - _TOLD:,} more." if len(made.refused) > _TOLD else ""
        # A reason is for the rows it was typed for.
        if not made.refused:
            self.reason.value = ""
        self._show_all()
        kind: Kind = "warning" if made.refused else "ok" if made.taken else "plain"
        self.say(f"{made.words} {refused}{more}".strip(), kind)

    def _give_sheet(self) -> None:
        campaign = self._of_campaign()

        def make() -> bytes:
            with tempfile.TemporaryDirectory() as folder:
                return campaign.worksheet(Path(folder) / "worksheet.xlsx").read_bytes()

        name = f"review-{_file_name(campaign)}.xlsx"
        hand_out(self, self.sheet_out, name, MIME["xlsx"], make, words="Making the worksheet")

    def read_worksheet(self, content: bytes, name: str) -> None:
        """Read a worksheet that came back and say what it would change; nothing is decided yet."""
        self._no_sheet()
        inputs = self._sheet_of.inputs()
        sheet = self._of_campaign().read_worksheet(content, name=name)
        said = [f"Row {row_id}: {words}" for row_id, words in sheet.refused[:_TOLD]]
        said += [f"Row {row_id}: {before} now, {after} in it." for row_id, before, after in sheet.changes[:_TOLD]]
        self.sheet_line.value = paragraph(f"{name}: {sheet.words}") + bullets(said)
        self._sheet_of.made(sheet, inputs)

    def take_worksheet(self) -> None:
        """Take the decisions of the worksheet that was read."""
        sheet: Worksheet = self._sheet_of.require()
        self._no_sheet()
        self._told(self._of_campaign().take(sheet.choices))
        (self.filter if self._of_campaign().sums()["undecided"] else self.by).focus()

    def _no_sheet(self) -> None:
        self.sheet_line.value = ""
        self._sheet_of.forget()

    def sign(self) -> None:
        """Sign the decisions; every row has to be decided."""
        campaign = self._of_campaign()
        for field in (self.by, self.role):
            filled(field, "Fill it in, then sign.")
        if left := campaign.sums()["undecided"]:
            words = f"{counted(left, 'row')} {'is' if left == 1 else 'are'} not decided yet."
            raise InputError(words, hint="Tick “Undecided rows only” to see which.")
        campaign.sign(self.by.value, self.role.value)
        self._show_all()
        self.say("The decisions are signed. Preview the removals next.", "ok")

    # --- carrying out, proving, closing --------------------------------------------------------------------------
    def make_preview(self) -> None:
        """Make one guarded plan from the removals and show it; of an apply that was stopped, its rest."""
        campaign = self._of_campaign()
        inputs = self._preview_of.inputs()

        def work(task: Task) -> tuple[Preview | None, Resumption | None, Result | None]:
            options: Any = {"progress": task.progress, "cancel": task.cancelled}
            with self._members() as members:
                if (left := campaign.unfinished()) is not None:
                    rest = members.preview_resume(left.apply_id, **options)
                    return rest.preview, rest, None
                if campaign.settle():
                    return None, None, None
                preview = campaign.plan(members, **options)
                return preview, None, None if preview else campaign.apply(members, None)

        def done(found: tuple[Preview | None, Resumption | None, Result | None]) -> None:
            preview, rest, nothing = found
            self._resuming = rest
            if preview is None:
                self._show_all()
                words = "No row is to be removed" if nothing else "The removals were carried out before"
                self.say(f"{words}; that is noted. Verify it next.", "ok")
                return
            hint = f"Type “{preview.confirmation}” to confirm." if preview.confirmation else ""
            press = f"{'Resume' if rest else 'Apply'}: {counted(len(preview.plan.planned), 'change')}"
            self._lay_out_preview(preview_markup(preview, rest), hint, press)
            words = "Nothing is changed yet. Read the preview, then press Apply."
            self._preview_of.made(preview, inputs, words)

        self.run(work, words="Comparing the removals with the site", done=done)

    def apply(self) -> None:
        """Carry the previewed removals out; Cancel stops it, and a new preview goes on with the rest."""
        campaign, preview, rest = self._of_campaign(), self._preview_of.require(), self._resuming
        typed = self.confirm.value

        def work(task: Task) -> Result:
            options: Any = {"confirm": typed, "progress": task.progress, "cancel": task.cancelled}
            with self._members() as members:
                if rest is not None:
                    return campaign.resume(members, rest, **options)
                return campaign.apply(members, preview, **options)

        def done(result: Result) -> None:
            self._resuming = None
            self._preview_of.forget()
            self._show_all()
            good = result.finished and not result.stopped and "failed" not in result.counts()
            undo = f" To undo it: spokekit members undo {result.apply_id[:8]}" if result.apply_id else ""
            self.say(result.words + undo, "ok" if good else "warning")

        self.run(work, words="Applying", done=done)

    def verify(self) -> None:
        """Walk the groups of the review again, and hold that against the decisions."""
        campaign = self._of_campaign()

        def work(task: Task) -> Any:
            from spokekit.audit import Walk

            options: Any = {"progress": task.progress, "cancel": task.cancelled}
            groups = tuple(campaign.head.about["groups"])
            with self._workspace.spoke(self._name) as spoke:
                walk = Walk(spoke, groups=groups, registry=self._workspace.registry(self._name), fresh=True)
                walk.prepare(**options)
                walk.run(**options)
            campaign.settle()
            return campaign.verify(self._reviews().audit())

        def done(proof: Any) -> None:
            self._show_all()
            sums = proof.sums()
            well = not (proof.missing or sums["not_done"] or sums["unexplained"])
            self.say(proof.words, "ok" if well else "warning")

        self.run(work, words="Walking again", done=done)

    def close_review(self) -> None:
        """Close the review and write its evidence into a new folder."""
        campaign, folder = self._of_campaign(), self.folder.value.strip()
        if not folder:
            raise InputError("The evidence needs a folder.", field="folder", hint="Name one that is not there yet.")

        def done(written: Path) -> None:
            self._evidence = written
            self._show_all()
            self.accepted += 1
            words = f"The evidence is in {written}. Check it at any time: spokekit review check {written}"
            self.say(words, "ok")

        self.run(lambda _task: campaign.close(folder), words="Writing the evidence", done=done)

    def _give_evidence(self) -> None:
        folder, campaign = self._evidence, self._of_campaign()
        if folder is None:
            raise InputError("No evidence was written here.", hint="Press Close with evidence first.")

        def make() -> bytes:
            sink = io.BytesIO()
            with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as packed:
                for path in sorted(folder.iterdir()):
                    packed.write(path, f"{folder.name}/{path.name}")
            return sink.getvalue()

        name = f"evidence-{_file_name(campaign)}.zip"
        hand_out(self, self.evidence_out, name, "application/zip", make, words="Packing the evidence")

    def rehearse(self) -> None:
        """Do what a person would in an unattended run: open a review and decide what one person may decide."""
        reviews = self._reviews()
        if not reviews.names():
            self.name.value = "practice"
            try:
                reviews.audit()
            except NotFound:
                from spokekit.widgets.walk_panel import WalkPanel

                WalkPanel(self._name, workspace=self._workspace).rehearse()
            self.open_review()
        self.decide_matching("leaver", "remove")
        self.reason.value = "known to the team"
        self.keep_shown()

    def decide_matching(self, words: str, decision: str) -> None:
        """Filter the rows by `words`, mark what the list shows, decide it, and take the filter away."""
        self.filter.value = words
        self.list.value = tuple(row.row_id for row in self.matches()[:SHOWN])
        if self.value:
            self.decide(decision)
        self.filter.value = ""


def _file_name(campaign: Campaign) -> str:
    return plain(campaign.name) or "review"
