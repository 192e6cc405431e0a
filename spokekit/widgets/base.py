"""What every component shares: a box with a heading, a status line in words, the theme, and a task runner.

A component is a `ipywidgets.VBox`: returning it shows it, and its traits can be observed. It never calls the network
itself; it calls a service one floor down and hands long work to its `TaskRunner`. ::

    class GroupCount(Component):
        value = tr.Int(0)                                  # untagged: observable, never saved in a notebook

        def __init__(self, spoke, **options):
            super().__init__("Groups", **options)
            self._spoke = spoke
            self.look = self.button("Count the groups", self.count, kind="primary")
            self.body = [self.look]

        def count(self):
            self.run(lambda task: self._spoke.look_up_groups(progress=task.progress, cancel=task.cancelled),
                     words="Looking up the groups", done=lambda frame: self.set_trait("value", len(frame)))
"""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as ipw
import traitlets as tr

from spokekit._foreign import SENTENCE, markup, shown
from spokekit._home import under_voila
from spokekit._secret import Secret, scrub
from spokekit._words import span
from spokekit._workspace import workspace as of_this_process
from spokekit.confluence.report import Progress
from spokekit.errors import SpokekitError
from spokekit.widgets._belonging import Belonging, Complaint, Source
from spokekit.widgets._browser import KeyboardGuard, SecretField
from spokekit.widgets._explain import explain
from spokekit.widgets._in_words import InWords
from spokekit.widgets.controls import button, choices, hide, html, note, progress_bar, row, show, status_line, write
from spokekit.widgets.tasks import Task, TaskRunner

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.widgets.controls import ButtonKind, Kind

# From here on nobody wants to sit and look.
LONG_PAUSE = timedelta(minutes=2)
MAY_BE_CLOSED = "You may close this page meanwhile; the work goes on, and shows here when you come back."

_memory: dict[tuple[str, str], dict[str, Any]] = {}


def page_may_be_closed() -> bool:
    """Say whether work goes on without the page: Voilà stops the kernel with it."""
    return not under_voila(os.environ)


def forget_typed() -> None:
    """Forget what all components remembered for a re-run of their cells."""
    _memory.clear()


class Component(InWords):
    """Base of the components.

    Parameters
    ----------
    title:
        The heading; also the name that a screen reader gives the component.
    lead:
        One sentence under the heading.
    **options:
        Values for the component's own traits. An unknown name is a `TypeError` that suggests the nearest one.

    Attributes
    ----------
    status:
        The status line, as plain words. Observable.
    status_kind:
        ``plain``, ``good`` (all is well), ``ok`` (something was done), ``warning``, ``error``, ``busy`` or ``asking``.
    busy:
        True while work runs; controls that start work are disabled meanwhile.
    runner:
        The `TaskRunner`.
    """

    status = tr.Unicode("")
    status_kind = tr.Unicode("plain")
    busy = tr.Bool(False)

    _own: ClassVar[frozenset[str]] = frozenset(ipw.VBox.class_trait_names())

    def __init__(self, title: str = "", *, lead: str = "", **options: Any) -> None:
        allowed = {"layout"} | {n for n in self.class_trait_names() if n not in self._own and not n.startswith("_")}
        for name in options:
            if name not in allowed:
                near = difflib.get_close_matches(name, sorted(allowed), n=1)
                raise TypeError(
                    f"{type(self).__name__} has no option {name!r}."
                    + (f" Did you mean {near[0]!r}?" if near else f" It has: {', '.join(sorted(allowed))}.")
                )
        # Inside another component it has no name of its own, and needs none.
        self._guard = KeyboardGuard(title)
        self._guard.on_msg(self._enter_pressed)
        self._complaint = Complaint(self)
        self._on_enter: dict[str, tuple[ipw.Widget, Callable[[], Any]]] = {}
        self._entered: tuple[ipw.Widget, str] | None = None
        self._head: list[ipw.Widget] = []
        self._title = title
        if title:
            # Under the first heading of a page, and beside those of its sections: no level is left out.
            self._head.append(html(f"<h2>{markup(title)}</h2>", "sk-heading"))
        if lead:
            self._head.append(note(lead, css="sk-lead"))
        self._status_html = html("", "sk-status")
        self._bar = progress_bar()
        self._cancel = button("Cancel")
        self._progress = row(self._bar, self._cancel, css="sk-work")
        hide(self._status_html, self._progress)
        self.outcome = ipw.VBox([self._progress, self._status_html])
        self._body: tuple[ipw.Widget, ...] = ()
        self._foot: tuple[ipw.Widget, ...] = ()
        self._memory_key: tuple[str, str] | None = None
        self._busy_controls: list[ipw.Widget] = []
        self._filling: set[ipw.Widget] = set()
        self.runner = TaskRunner(self)
        super().__init__(**options)
        self.add_class("spokekit")
        self._cancel.on_click(lambda _: self.runner.cancel())
        self._arrange()

    # --- what is shown -------------------------------------------------------------------------------------------
    @property
    def body(self) -> tuple[ipw.Widget, ...]:
        """The widgets below the heading.

        The status line, ``outcome``, comes last; a component that shows long results puts it before them by itself.
        """
        return self._body

    @body.setter
    def body(self, widgets: Iterable[ipw.Widget]) -> None:
        self._body = tuple(widgets)
        self._arrange()

    @property
    def foot(self) -> tuple[ipw.Widget, ...]:
        """The widgets under the status line: where to go on."""
        return self._foot

    @foot.setter
    def foot(self, widgets: Iterable[ipw.Widget]) -> None:
        self._foot = tuple(widgets)
        self._arrange()

    def work_with(self, workspace: Workspace | None, name: str | None) -> None:
        """Work with the connection of this name, or the default alias's; without a workspace, in this process's."""
        self._workspace = workspace or of_this_process()
        self._name = name
        self.mark_kind(self._workspace, name)

    def mark_kind(self, workspace: Workspace, name: str | None) -> None:
        """Say in the heading that the connection that is worked with is read-only, where it is."""
        try:
            read_only = workspace.connection(name).read_only
        except SpokekitError:
            # What is wrong with it, the component's own work will say.
            return
        mark = " <small>· read-only connection</small>" if read_only else ""
        if self._head and self._title:
            self._head[0].value = f"<h2>{markup(self._title)}{mark}</h2>"

    def _arrange(self) -> None:
        last = () if self.outcome in self._body else (self.outcome,)
        self.children = (self._guard, *self._head, *self._body, *last, *self._foot)

    # --- the status line -----------------------------------------------------------------------------------------
    def say(self, words: str, kind: Kind = "plain") -> None:
        """Put plain `words` into the status line; they are escaped and scrubbed."""
        words = shown(scrub(words), SENTENCE)
        self.set_trait("status_kind", kind)
        self.set_trait("status", words)
        write(self._status_html, status_line(words, kind))

    def show_error(self, error: BaseException) -> None:
        """Show an exception: what happened, why it probably happened, and what to do next."""
        happened, likely, hint = explain(error)
        text = " ".join(part for part in (happened, likely, hint) if part)
        self.set_trait("status_kind", "error")
        self.set_trait("status", text)
        write(self._status_html, status_line(happened, "error", likely=likely, hint=hint))
        self._complaint.made(error, text, self._body)

    # --- work ----------------------------------------------------------------------------------------------------
    def run(
        self,
        work: Callable[[Task], Any],
        *,
        words: str,
        done: Callable[[Any], None] | None = None,
        failed: Callable[[BaseException], bool | None] | None = None,
    ) -> Future[Any] | None:
        """Start `work` in the background; see `TaskRunner.start`."""
        return self.runner.start(work, words=words, done=done, failed=failed)

    def settled(self, timeout: float | None = 60.0) -> None:
        """Wait until the component's work is done; raises what the work raised. For unattended runs."""
        self.runner.settled(timeout)

    def rehearse(self) -> None:
        """Do what a person does here, on a practice site, until it is done; raises what the component shows."""
        self.settled()

    def disable_while_busy(self, *controls: ipw.Widget) -> None:
        """Disable `controls` while work runs."""
        self._busy_controls.extend(controls)

    def task_started(self, task: Task) -> None:
        """Called by the runner."""
        self._was_disabled = [(c, c.disabled) for c in self._busy_controls]
        for control in self._busy_controls:
            control.disabled = True
        self._began: tuple[int, int, float] | None = None
        self.set_trait("busy", True)
        self._bar.max, self._bar.value, self._bar.bar_style = 1, 0, ""
        hide(self._bar)
        show(self._progress)
        self.say(f"{task.words} …", "busy")

    def show_progress(self, progress: Progress | str) -> None:
        """Called by the runner, at most 20 times a second."""
        if not self.busy:
            return
        if isinstance(progress, str):
            self.say(progress, "busy")
            return
        total, done = progress.total, progress.done
        if total:
            show(self._bar)
            self._bar.max, self._bar.value = max(int(total), 1), int(done)
        left = ""
        if progress.paused_until:
            self._began = None
        elif total and not progress.words.endswith(" left"):
            # Who knows its pace better says the time in its words; two times at once would contradict each other.
            left = self._time_left(int(done), int(total))
        pause = progress.paused_until
        if pause is not None and pause - datetime.now(UTC) > LONG_PAUSE:
            left = f". {MAY_BE_CLOSED}" if page_may_be_closed() else ""
        self.say(progress.words + left, "busy")

    def _time_left(self, done: int, total: int) -> str:
        # Counted from the first word of this stage on: what an earlier stage or a pause took, or an earlier run has
        # done already, says nothing of its pace. A guess from too little would only mislead.
        now = time.monotonic()
        if self._began is None or self._began[0] != total or done < self._began[1]:
            self._began = total, done, now
        _, before, since = self._began
        made, elapsed = done - before, now - since
        if made < 3 or elapsed <= 2 or done >= total:
            return ""
        return f" · about {span(max(5, round(elapsed * (total - done) / made / 5) * 5))} left"

    def task_ended(self) -> None:
        """Called by the runner."""
        hide(self._progress)
        if self.status_kind in ("busy", "asking"):
            self.say("")
        for control, was in self._was_disabled:
            control.disabled = was
        self.set_trait("busy", False)

    def finish(self, action: Callable[[], Any], timeout: float | None = 60.0) -> None:
        """Call what starts work, and wait until that is done; see `settled`."""
        action()
        self.settled(timeout)

    # --- events --------------------------------------------------------------------------------------------------
    def on_click(self, control: ipw.Button, action: Callable[[], Any]) -> None:
        """Call `action` when `control` is pressed; what it raises is shown in the component."""
        control.on_click(self.guarded(lambda _: action()))

    def button(
        self, words: str, action: Callable[[], Any], *, kind: ButtonKind = "plain", tooltip: str = ""
    ) -> ipw.Button:
        """Return a button that calls `action` when it is pressed, as `on_click` does."""
        made = button(words, kind=kind, tooltip=tooltip)
        self.on_click(made, action)
        return made

    def on_change(self, control: ipw.Widget, action: Callable[[Any], Any], trait: str = "value") -> None:
        """Call ``action(new value)`` when `trait` changes; what it raises is shown in the component."""

        def changed(change: Any) -> None:
            if control not in self._filling:
                action(change["new"])

        control.observe(self.guarded(changed), trait)

    def fill(self, control: ipw.Widget, options: Iterable[tuple[str, Any]], value: Any) -> None:
        """Give a list other options and what is chosen of them, without calling what `on_change` ties to it."""
        self._filling.add(control)
        try:
            # New options clear the choice in the browser's list; inside one message it comes back at once.
            with control.hold_sync():
                control.options = choices(options)
                control.value = value
        finally:
            self._filling.discard(control)

    def on_upload(self, field: ipw.FileUpload, action: Callable[[bytes, str, datetime | None], Any]) -> None:
        """Call ``action(content, name, last modified)`` for each file that arrives."""

        def arrived(files: Any) -> None:
            if files:
                # The content must not stay in the widget's state, which is saved in the notebook.
                field.value = ()
            for one in files:
                action(bytes(one["content"]), str(one["name"]), one.get("last_modified"))

        self.on_change(field, arrived)

    def on_enter(self, field: ipw.Widget, action: Callable[[], Any]) -> None:
        """Call ``action()`` when Enter is pressed in a text field, once all that was typed before it is here.

        ipywidgets' own message comes before the last letters while the kernel is still busy with the first ones.
        """
        self._on_enter[field.description] = field, action
        field.observe(lambda _: self._act_on_enter(field, action), "value")

    def _enter_pressed(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        pressed = self._on_enter.get(str(content.get("label"))) if content.get("kind") == "enter" else None
        if pressed is not None:
            self._entered = pressed[0], str(content.get("value", ""))
            self._act_on_enter(*pressed)

    def _act_on_enter(self, field: ipw.Widget, action: Callable[[], Any]) -> None:
        # Who types on meanwhile sends more than stood there at Enter, never less.
        if self._entered is not None and self._entered[0] is field and field.value.startswith(self._entered[1]):
            self._entered = None
            self.guarded(action)()

    def guarded(self, action: Callable[..., Any]) -> Callable[..., None]:
        """Wrap a callback: an exception in one would otherwise only reach the log console, which nobody opens."""

        def safe(*args: Any) -> None:
            try:
                action(*args)
            except Exception as error:  # noqa: BLE001 - see the docstring
                self.show_error(error)

        return safe

    def belongs_to(
        self,
        what: str,
        inputs: Mapping[str, Source],
        *things: ipw.Widget,
        again: str,
        changed: Callable[[], Any] | None = None,
    ) -> Belonging:
        """Tie something that is shown to the inputs that it was made for; see `Belonging`.

        Parameters
        ----------
        what:
            What it is, for the sentences: "preview".
        inputs:
            Each input by the name that a person knows it by: a widget with a ``value``, an object and its trait, or a
            function that returns the value (then call ``see`` when it may have changed).
        *things:
            The widgets to be greyed while the inputs are others.
        again:
            What to do for a new one: "Press Preview."
        changed:
            Called after each look at the inputs; enables and disables what acts on it.
        """
        return Belonging(self, what, inputs, things, again=again, changed=changed)

    def ask_first(
        self, place: ipw.HBox, words: str, yes: str, action: Callable[[], Any], *, no: str = "No, keep it"
    ) -> None:
        """Ask a question in `place`, which was made by `row`; only the button `yes` calls `action`."""

        def answered(act: bool) -> None:
            place.children = ()
            hide(place)
            if act:
                action()

        agree = self.button(yes, partial(answered, True), kind="danger")
        self.offer(place, words, agree, self.button(no, partial(answered, False)))

    def offer(self, place: ipw.HBox, words: str, *presses: ipw.Button) -> None:
        """Put a sentence and buttons into `place`, which was made by `row`; without a button it is hidden."""
        place.children = (note(words), *presses)
        show(place, when=presses)

    # --- remembering ---------------------------------------------------------------------------------------------
    def remember(self, key: str = "", **widgets: ipw.Widget) -> None:
        """Keep the ``value`` of `widgets` over a re-run of the cell, and put back what was kept before.

        ``key`` tells components of one class apart (a connection id, for example). A secret field is refused.
        """
        place = (type(self).__name__, key)
        kept = _memory.setdefault(place, {})
        self._memory_key = place
        for name, widget in widgets.items():
            if isinstance(widget, SecretField | ipw.Password):
                raise TypeError("A secret is never remembered.")
            if name in kept:
                try:
                    widget.value = kept[name]
                except tr.TraitError:
                    # The choice that was made is not offered any more; the new default stands.
                    del kept[name]
            widget.observe(lambda change, name=name: kept.__setitem__(name, change["new"]), "value")

    def keep(self, name: str, value: Any) -> None:
        """Keep one more value beside those of `remember`; a `Secret` is refused."""
        if isinstance(value, Secret):
            raise TypeError("A secret is never remembered.")
        if self._memory_key is not None:
            _memory.setdefault(self._memory_key, {})[name] = value

    def kept(self, name: str, default: Any = None) -> Any:
        """Return what `keep` kept."""
        return _memory.get(self._memory_key, {}).get(name, default) if self._memory_key else default

    def forget(self) -> None:
        """Forget what this component remembered: the work is done, the next run starts afresh."""
        if self._memory_key is not None:
            _memory.get(self._memory_key, {}).clear()


__all__ = ["Component", "Task", "forget_typed", "page_may_be_closed"]
