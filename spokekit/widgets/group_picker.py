"""Add Confluence Groups: two lists, a filter on each side, moves in words, OK and Cancel."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tr

from spokekit._words import counted
from spokekit.confluence.quota import LIMIT
from spokekit.errors import NotConfigured
from spokekit.widgets._browser import ListKeys
from spokekit.widgets.base import Component, Task
from spokekit.widgets.controls import Kind, check, filtered_list, html, note, paragraph, row, show, write
from spokekit.widgets.picker_model import PickerModel, Side

if TYPE_CHECKING:
    import pandas as pd

    from spokekit._workspace import Workspace

ROWS = 14


class GroupPicker(Component):
    """Choose which groups spokekit may manage. The registered groups stand on the selected side from the start.

    The path without a widget: ``workspace().registry().add([group_id, ...], groups=spoke.look_up_groups())``.

    Parameters
    ----------
    connection:
        Name of the connection; without it, the default alias's.
    workspace:
        Without it, this process's.
    groups:
        A frame of `look_up_groups` that was pulled before; without it the picker looks the groups up by itself.
    by:
        Who registers; goes into the table.

    Attributes
    ----------
    value:
        Ids of the registered groups, as of the last OK (or Cancel).
    selected:
        Ids on the selected side at this moment.
    accepted:
        How often OK was carried out.
    """

    commands = ("spokekit groups list", "spokekit groups add")
    value = tr.Tuple(())
    selected = tr.Tuple(())
    accepted = tr.Int(0)

    def __init__(
        self,
        connection: str | None = None,
        *,
        workspace: Workspace | None = None,
        groups: pd.DataFrame | None = None,
        by: str = "",
        **options: Any,
    ) -> None:
        super().__init__(
            "Add Confluence groups",
            lead="spokekit manages the members of the groups under Selected, and of no others.",
            **options,
        )
        self.add_class("sk-picker")
        self.work_with(workspace, connection)
        self._by = by
        self._groups = groups
        self._model: PickerModel | None = None
        self.lists: dict[Side, ipw.SelectMultiple] = {}
        self.filters: dict[Side, ipw.Text] = {}
        self.counts: dict[Side, ipw.HTML] = {}
        self._build()
        self.remember(
            connection or "",
            only_access=self.only_access,
            left=self.filters["available"],
            right=self.filters["selected"],
        )
        self.guarded(self.load)()

    # --- building ------------------------------------------------------------------------------------------------
    def _build(self) -> None:
        self.only_access = check("Groups with Confluence access only", True)
        self.add = self._mover("Add →", "available", "Move the marked groups to Selected")
        self.add_all = self._mover(
            "Add all shown →", "available", "Move everything that the list on the left shows", shown=True
        )
        self.take = self._mover("← Remove", "selected", "Move the marked groups back to Available")
        self.take_all = self._mover(
            "← Remove all shown", "selected", "Move everything that the list on the right shows", shown=True
        )
        self.undo = self.button("Undo", self._undo, tooltip="Take the last move back")
        self.ok = self.button("OK", self.accept, kind="primary")
        words = "Forget the moves; nothing is registered or taken out"
        self.cancel = self.button("Cancel", self.reject, tooltip=words)
        # While work runs there is one Cancel, beside its progress, and it cancels that.
        self.on_change(self, lambda busy: show(self.cancel, when=not busy), "busy")
        words = "Ask Confluence for the groups again"
        self.reload = self.button("Look up again", lambda: self.load(again=True), tooltip=words)
        words = "Counts the members of the groups that are shown"
        self.count_empty = self.button("Mark empty groups", self.mark_empty, tooltip=words)
        self.cost = html("", "sk-count")
        self.about = html("", "sk-count sk-about")
        self.plan = html("", "sk-count")
        self.hint = note(
            "A double click moves a group, Enter the marked ones. Several at once: hold Shift or Ctrl (Cmd), or press "
            "Ctrl+A in a list. A filter takes parts of a name and "
            "the words behind it: an access type, `team` (belongs to its members), `synced` (managed outside), `empty`."
        )
        columns = []
        labels: dict[Side, str] = {"available": "Available", "selected": "Selected"}
        for side, label in labels.items():
            words = f"Filter {label.lower()}"
            self.filters[side], self.lists[side] = filtered_list(label, ROWS, words, "parts of the name")
            self.counts[side] = html("", "sk-count")
            column = ipw.VBox([self.filters[side], self.lists[side], self.counts[side]])
            column.add_class("sk-column")
            columns.append(column)
            self.on_change(self.filters[side], partial(self._filter, side))
            self.on_change(self.lists[side], partial(self._mark, side))
        between = ipw.VBox([self.add, self.add_all, self.take, self.take_all, self.undo])
        between.add_class("sk-between")
        both = ipw.HBox([columns[0], between, columns[1]])
        both.add_class("sk-columns")
        self.body = [
            ListKeys("sk-column", self.guarded(self._act_on)),
            row(self.only_access, self.count_empty, self.reload, self.cost),
            both,
            self.about,
            self.hint,
            self.plan,
            row(self.ok, self.cancel, css="sk-actions"),
        ]
        self.on_change(self.only_access, self._only)
        self.disable_while_busy(self.reload, self.count_empty, self.ok, self.cancel)

    def _mover(self, words: str, side: Side, tooltip: str, *, shown: bool = False) -> ipw.Button:
        return self.button(words, partial(self._move, side, shown=shown), tooltip=tooltip)

    # --- loading -------------------------------------------------------------------------------------------------
    def load(self, *, again: bool = False) -> None:
        """Look the groups up, in the background, and fill the lists; what was chosen stays chosen."""
        if self._groups is not None and not again:
            self._show_groups(self._groups)
            return

        def work(task: Task) -> pd.DataFrame:
            with self._workspace.spoke(self._name) as spoke:
                # A list that is not whole is shown with a warning, so that its groups can be used.
                return spoke.look_up_groups(partial="keep", progress=task.progress, cancel=task.cancelled)

        before = set(self._groups["group_id"]) if self._groups is not None else None

        def done(groups: pd.DataFrame) -> None:
            self._show_groups(groups)
            if before is not None and not self.status:
                now = set(groups["group_id"])
                new, gone = len(now - before), len(before - now)
                words = f"{new:,} new, {gone:,} not there any more" if new or gone else "the same as before"
                self.say(f"Looked up again: {counted(len(groups), 'group')}, {words}.", "ok")

        self.run(work, words="Looking up the groups", done=done)

    def _show_groups(self, groups: pd.DataFrame) -> None:
        self._groups = groups
        registry = self._workspace.registry(self._name)
        # What was moved and not yet accepted is put on top of what is registered now.
        old = self._model
        moves = (tuple(old.to_add), tuple(old.to_remove)) if old is not None else self.kept("moves")
        table = registry.frame()
        names = dict(zip(table["group_id"].astype(str), table["name"].astype(str), strict=True))
        model = PickerModel(groups, registry.ids(), names=names)
        model.only_access = self.only_access.value
        for side, field in self.filters.items():
            model.filters[side] = field.value
        if moves is not None and any(moves):
            add, remove = moves
            model.choose([*(i for i in model.chosen if i not in set(remove)), *add])
        self._model = model
        self.value = tuple(i for i in model.lines if i in model.registered)
        self._show()
        self._say_cost(len(groups))
        report = groups.attrs.get("completeness") or {}
        if report.get("complete") is False:
            self.say(f"The list is not complete: {report.get('words', 'groups are missing')}", "warning")
        elif not len(groups):
            self.say("This site shows no groups to the person who consented.", "warning")
        else:
            self.say("")

    # --- showing -------------------------------------------------------------------------------------------------
    @property
    def model(self) -> PickerModel:
        """The two lists without their widgets; raises as long as the groups are not there."""
        if self._model is None:
            raise NotConfigured("The groups are not here yet.", hint="Press Look up again, or wait until it is done.")
        return self._model

    def _show(self, *sides: Side) -> None:
        model = self.model
        for side in sides or ("available", "selected"):
            shown = model.shown(side)
            marked = tuple(i for i in shown if i in model.marked[side])
            self.fill(self.lists[side], ((model.label(i), i) for i in shown), marked)
        self._say_counts()
        self.keep("moves", (tuple(model.to_add), tuple(model.to_remove)))
        self.selected = tuple(model.chosen)

    def _say_cost(self, groups: int) -> None:
        # The pages overlap by one row, and a row of the list costs two points, a page one.
        pages = max(1, -(-groups // 199))
        points = pages + 2 * (groups + pages)
        self.cost.value = f"<p>costs about {points:,} of {LIMIT:,} points</p>"

    def _say_counts(self) -> None:
        write(self.about, paragraph(self.model.about_marked()))
        for side, line in self.counts.items():
            line.value = paragraph(self.model.count_words(side))
        self.plan.value = f"<p><strong>{self.model.plan_words()}</strong></p>"
        self.undo.disabled = not self.model.can_undo

    def _filter(self, side: Side, words: str) -> None:
        if self._model is not None:
            self._model.filters[side] = words
            self._show(side)

    def _mark(self, side: Side, ids: Iterable[str]) -> None:
        if self._model is not None:
            self._model.mark(side, ids)
            self._say_counts()

    def _only(self, value: bool) -> None:
        if self._model is not None:
            self._model.only_access = value
            self._show("available")

    def _move(self, side: Side, *, shown: bool) -> None:
        moved = self.model.move_shown(side) if shown else self.model.move_marked(side)
        self._said_moved(side, moved, "The list is empty." if shown else "Mark one or more groups in the list first.")

    def _said_moved(self, side: Side, moved: int, nothing: str = "") -> None:
        self._show()
        there = "Selected" if side == "available" else "Available"
        self.say(f"{counted(moved, 'group')} moved to {there}." if moved else nothing)

    def _act_on(self, number: int, lines: list[tuple[int, str]]) -> None:
        """Move the lines that were double-clicked or marked when Enter was pressed."""
        side: Side = "selected" if number else "available"
        options = self.lists[side].options
        if self.busy or any(place >= len(options) or options[place][0] != words for place, words in lines):
            # The list has changed since: what stands there now is not what the person saw.
            return
        self._said_moved(side, self.model.move(side, [options[place][1] for place, _ in lines]))

    def _undo(self) -> None:
        self.model.undo()
        self._show()
        self.say("The last move was taken back.")

    # --- what a person does, as methods --------------------------------------------------------------------------
    def choose(self, ids: Iterable[str]) -> None:
        """Put exactly these groups on the selected side."""
        self.model.choose(ids)
        self._show()

    def accept(self) -> None:
        """OK: make the table of registered groups equal to the selected side, in the background."""
        model, groups = self.model, self._groups
        add, remove, chosen = model.to_add, model.to_remove, tuple(model.chosen)

        def work(_task: Task) -> None:
            registry = self._workspace.registry(self._name)
            if add:
                registry.add(add, groups=groups, by=self._by)
            if remove:
                registry.remove(remove)

        def done(_: None) -> None:
            moved_since = tuple(self.model.chosen)
            self.keep("moves", None)
            self._model = None
            assert groups is not None  # noqa: S101 - the model was made of them
            self._show_groups(groups)
            if moved_since != chosen:
                # What was moved while OK was carried out waits for the next OK.
                self.choose(moved_since)
            self.accepted += 1
            kind: Kind = "ok" if add or remove else "plain"
            parts = [f"{len(add):,} registered"] if add else []
            parts += [f"{len(remove):,} taken out"] if remove else []
            total = len(self.value)
            said = f"{', '.join(parts)}. " if parts else "Nothing was changed. "
            self.say(f"{said}{counted(total, 'group is', 'groups are')} registered now.", kind)

        self.run(work, words="Registering", done=done)

    def reject(self) -> None:
        """Cancel: forget the moves."""
        self.model.reset()
        self._show()
        self.say("Cancelled. Nothing was registered or taken out.")

    def mark_empty(self) -> None:
        """Count the members of the groups that are shown and mark the empty ones, in the background."""
        shown = [
            i for side in ("available", "selected") for i in self.model.shown(side) if not self.model.lines[i].gone
        ]
        if not shown:
            self.say("The lists are empty.")
            return

        def work(task: Task) -> dict[str, int]:
            with self._workspace.spoke(self._name) as spoke:
                members = spoke.look_up_members_by_group_id(
                    shown, partial="keep", progress=task.progress, cancel=task.cancelled
                )
            counts = members["group_id"].value_counts()
            # A group whose walk failed is unknown, not empty.
            report = members.attrs.get("completeness") or {}
            unsure = {*report.get("failed", ()), *report.get("partial", ())}
            return {i: int(counts.get(i, 0)) for i in shown if i not in unsure}

        def done(counts: dict[str, int]) -> None:
            self.model.count_members(counts)
            self._show()
            empty = sum(1 for count in counts.values() if not count)
            words = f"{empty:,} of the {len(counts):,} shown groups {'is' if empty == 1 else 'are'} empty."
            if unsure := len(shown) - len(counts):
                # Of a group that could not be read nothing is known, least of all that somebody is in it.
                words = words.replace("shown groups", "groups that could be counted")
                words += f" {counted(unsure, 'group')} could not be read: press Mark empty groups again."
            self.say(words, "warning" if unsure else "ok")

        self.run(work, words=f"Counting the members of {len(shown):,} groups", done=done)

    def rehearse(self, *, names: Iterable[str] = ("confluence-users", "confluence-admins")) -> None:
        """Do what a person does: choose the groups of these names, or the first two, and press OK."""
        self.settled()
        by_name = {line.name: group_id for group_id, line in self.model.lines.items()}
        wanted = [by_name[name] for name in names if name in by_name] or self.model.shown("available")[:2]
        self.choose([*self.model.chosen, *wanted])
        self.finish(self.accept)
