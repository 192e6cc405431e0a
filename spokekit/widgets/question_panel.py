"""Ask questions by name: names are chosen from suggestions, and an answer can be taken away where it stands."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tr

from spokekit._frames import shown
from spokekit._words import counted
from spokekit.audit.questions.registry import REGISTRY
from spokekit.errors import InputError, SpokekitError
from spokekit.widgets._downloads import Downloads, Taken
from spokekit.widgets.base import Component
from spokekit.widgets.controls import (
    dropdown,
    hide,
    html,
    html_table,
    lead_to,
    row,
    sentence,
    show,
    status_line,
    suggestions,
    text,
)
from spokekit.widgets.walk_panel import WalkPanel, audit_of, newest_of

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit.audit import Audit
    from spokekit.audit.questions.registry import Param, Question

_SHOWN = 100
_WALK_FIRST = "The panel of the walk says what it costs; start it there, then ask again."
_NAMES = {"group": "group", "groups": "group", "person": "person", "space": "space"}


class QuestionPanel(Component):
    """Ask questions by name and read the answers.

    The path without a widget: ``audit.ask(name, ...)``, or ``spokekit audit ask``.

    Parameters
    ----------
    audit:
        An `Audit`, or a `WalkPanel` whose newest one is asked.

    Attributes
    ----------
    value:
        The answer as a frame, or None.
    accepted:
        How many questions were answered.
    """

    commands = ("spokekit audit questions", "spokekit audit ask")
    value = tr.Any(None, allow_none=True)
    accepted = tr.Int(0)

    def __init__(self, audit: Audit | WalkPanel, **options: Any) -> None:
        super().__init__("Ask", **options)
        self._source = audit
        self.question = dropdown("Question", self._options())
        self.params: dict[str, ipw.Widget] = {}
        self._fields = ipw.VBox()
        self._words = html("")
        self.start = self.button("Ask", self.ask, kind="primary")
        self.mend = self.button("", self._mend)
        self._near = row()
        hide(self.mend, self._near)
        self._place = html("")
        self._downloads = Downloads(self, self._taken)
        self._answer_of = self.belongs_to(
            "answer",
            {
                "question": self.question,
                "parameters": lambda: {name: field.value for name, field in self.params.items()},
                "snapshot": lambda: id(audit_of(self._source)),
            },
            self._place,
            again="Press Ask.",
            changed=self._answer_seen,
        )
        self.remember(question=self.question)
        self.body = [
            self.question,
            self._fields,
            self._words,
            row(self.start, self.mend, css="sk-actions"),
            self.outcome,
            self._near,
            self._answer_of.note,
            self._downloads.row,
            self._place,
        ]
        if isinstance(audit, WalkPanel):
            self.on_change(audit, lambda _: self._other_audit())
        self.on_change(self.question, lambda _: self._chosen())
        self.disable_while_busy(self.question)
        self.on_change(self, lambda _: self._allow(), "busy")
        self._chosen()

    @property
    def audit(self) -> Audit:
        """The audit that is asked. Raises NotFound when there is no snapshot yet."""
        return newest_of(self._source)

    # --- which question ------------------------------------------------------------------------------------------
    def _options(self) -> list[tuple[str, str]]:
        """List the questions; those that have to wait for something say so."""
        from spokekit.audit import questions_frame

        listed = questions_frame()
        listed = listed[listed["answerable"]]
        return [
            (f"○ {title} (not yet)" if self._waits_for(REGISTRY.get(name))[0] else title, name)
            for title, name in zip(listed["title"], listed["name"], strict=True)
        ]

    def _waits_for(self, asked: Question) -> tuple[str, str]:
        """Return why a question cannot be answered yet, and the press that leads on; both empty when it can."""
        audit = audit_of(self._source)
        if audit is None:
            return "Nothing has been walked yet.", "What will a walk cost?"
        if {"spaces", "grants"} & set(asked.needs) and not audit.has_spaces():
            words = "No walk has read the spaces yet, and nothing read is not the same as nothing there."
            return words, "What will a walk with spaces cost?"
        return "", ""

    def _mend(self) -> None:
        """Prepare the walk that is missing; nothing is walked before its cost was seen."""
        if isinstance(self._source, WalkPanel):
            self._source.prepare(spaces=audit_of(self._source) is not None)
            self.say(_WALK_FIRST)

    def _other_audit(self) -> None:
        self._complaint.over()
        if self.status == _WALK_FIRST:
            self.say("")
        chosen, options = self.question.value, self._options()
        if options != list(self.question.options):
            # The fields and what is typed in them stay.
            self.fill(self.question, options, chosen)
        for param in self._param_list():
            self._suggest(param.kind, self.params[param.name])
        self._allow()
        self._answer_of.see()

    def _param_list(self) -> list[Param]:
        return [param for param in REGISTRY.get(self.question.value).params if param.kind in _NAMES]

    def _allow(self) -> None:
        asked = REGISTRY.get(self.question.value)
        why, press = self._waits_for(asked)
        # Not for what is missing: a Tab that comes before Python has seen the choice would pass the button over.
        self.start.disabled = self.busy
        mends = bool(press) and isinstance(self._source, WalkPanel)
        self.mend.description = press
        show(self.mend, when=mends)
        lead_to(*((self.mend, self.start) if mends else (self.start, self.mend)))
        known = f"<p class='sk-note'>Cannot know: {sentence(asked.cannot_know)}</p>" if asked.cannot_know else ""
        self._words.value = known + (status_line(why, "warning") if why else "")

    def _chosen(self) -> None:
        asked = REGISTRY.get(self.question.value)
        typed = {name: field.value for name, field in self.params.items()}
        self.params = {param.name: _field(param, typed.get(param.name)) for param in asked.params}
        self._fields.children = tuple(self.params.values())
        hide(self._near)
        for param in asked.params:
            field = self.params[param.name]
            self.on_change(field, partial(self._typed, param.kind, field))
            self.on_enter(field, self.ask)
            if param.kind in _NAMES:
                self._suggest(param.kind, field)
        self._allow()
        self._answer_of.see()

    def _typed(self, kind: str, field: ipw.Widget, _value: Any) -> None:
        hide(self._near)
        self._answer_of.see()
        if kind in _NAMES:
            self._suggest(kind, field)

    def _suggest(self, kind: str, field: ipw.Combobox) -> None:
        audit = audit_of(self._source)
        if audit is None:
            return
        before, comma, last = field.value.rpartition(",") if kind == "groups" else ("", "", field.value)
        gap = ", " if comma else ""
        field.options = [f"{before}{gap}{name}" for name in audit.suggest(_NAMES[kind], last.strip())]

    def ask(self) -> None:
        """Answer the chosen question, in the background.

        Raises `InputError`, shown in the component, when it has to wait for a walk.
        """
        if self.runner.running:
            return
        hide(self._near)
        name = self.question.value
        why, press = self._waits_for(REGISTRY.get(name))
        if why and isinstance(self._source, WalkPanel):
            raise InputError(why, field="question", hint=f"Press {press}")
        given = {param: field.value for param, field in self.params.items() if field.value not in ("", None)}
        audit, inputs = self.audit, self._answer_of.inputs()
        self.run(
            lambda _task: audit.ask(name, **given),
            words="Asking",
            done=lambda answer: self._answered(answer, audit.caution(), inputs),
            failed=self._not_answered,
        )

    def _not_answered(self, error: BaseException) -> bool:
        near = error.candidates if isinstance(error, SpokekitError) else ()
        fields = [f for f in self.params.values() if isinstance(f, ipw.Combobox) and f.value.strip()]
        fields.sort(key=lambda f: repr(f.value.strip()) not in str(error))
        if near and fields:
            presses = [self.button(name, partial(self._take_near, fields[0], name)) for name in near]
            self.offer(self._near, "Did you mean", *presses)
        return False

    def _take_near(self, field: ipw.Combobox, name: str) -> None:
        field.value = name
        self.ask()

    def _answer_seen(self) -> None:
        known, current = self._answer_of.known, self._answer_of.current
        # Under another question not even a grey answer stands; under other parameters it is one to compare with.
        other = known and self.value is not None and self.value.attrs["question"] != self.question.value
        show(self._place, when=not other)
        self._downloads.show(known and not other, current=current)

    def _taken(self) -> Taken:
        from spokekit.audit.show.export import About

        answer: pd.DataFrame = self._answer_of.require()
        filters = ", ".join(f"{name}={value}" for name, value in answer.attrs["params"].items())
        about = About.of(self.audit, title=answer.attrs["title"], made_by="", filters=filters)
        return answer.attrs["question"], answer, about

    def _answered(self, answer: pd.DataFrame, caution: str, inputs: dict[str, Any]) -> None:
        table = shown(answer, most=_SHOWN)
        more = f", the first {_SHOWN} are shown; a download has all" if len(answer) > _SHOWN else ""
        made = html_table(table.heads, table.rows, caption=answer.attrs["title"], numbers=table.numbers)
        self._place.value = made if table.rows else ""
        self.value = answer
        self.accepted += 1
        words = f"{counted(len(answer), 'row')}{more}. {caution}".strip()
        self._answer_of.made(answer, inputs, words, "warning" if caution else "good")

    def rehearse(self, *, question: str = "in-several-access-groups", **params: Any) -> None:
        """Do what a person does: choose a question, type what it needs, and ask."""
        self.question.value = question
        for name, value in params.items():
            self.params[name].value = value
        self.finish(self.ask)


def _field(param: Param, typed: Any) -> ipw.Widget:
    label = param.name.replace("_", " ").capitalize()
    if param.kind in ("number", "days"):
        value = typed if isinstance(typed, int) else int(param.default if not param.required else 0)
        return ipw.BoundedIntText(
            value=value, min=0, max=1_000_000, description=label, style={"description_width": "150px"}
        )
    words = typed if isinstance(typed, str) else ""
    if param.kind in _NAMES:
        return suggestions(label, words, placeholder=param.words)
    return text(label, words, placeholder=param.words, live=True)
