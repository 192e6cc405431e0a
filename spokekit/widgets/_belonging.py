"""What was made for certain inputs, and must not be taken for an answer to others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import ipywidgets as ipw
import traitlets as tr

from spokekit.errors import InputError, NotFound
from spokekit.widgets.controls import hide, inputs_in, note, write

if TYPE_CHECKING:
    from spokekit.widgets.base import Component
    from spokekit.widgets.controls import Kind

Source: TypeAlias = tr.HasTraits | tuple[tr.HasTraits, str] | Callable[[], Any]

STALE = "sk-stale"


class Belonging:
    """A preview, an answer, a result or a cost, together with the inputs that it was made for.

    Made by `Component.belongs_to`. While the inputs are others, its widgets are greyed, ``note`` says so, a status line
    that told of it is replaced, and `require` refuses. When the inputs are the same again, so is everything else.

    Attributes
    ----------
    note:
        A sentence to be put above the widgets; hidden while the inputs are the same.
    current:
        True while there is something and its inputs are those on the screen.
    """

    def __init__(
        self,
        component: Component,
        what: str,
        inputs: Mapping[str, Source],
        things: tuple[ipw.Widget, ...],
        *,
        again: str,
        changed: Callable[[], Any] | None,
    ) -> None:
        self._component = component
        self._what = what
        self._again = again
        self._things = things
        self._changed = changed
        self._read: dict[str, Callable[[], Any]] = {}
        self._lock = threading.RLock()
        self._made: tuple[Any, dict[str, Any]] | None = None
        self._said: tuple[str, Kind] = ("", "plain")
        self._told = ""
        self.current = False
        self.note = note("")
        hide(self.note)
        see = component.guarded(lambda _: self.see())
        for name, source in inputs.items():
            if not isinstance(source, tuple | tr.HasTraits):
                self._read[name] = source
                continue
            holder, trait = source if isinstance(source, tuple) else (source, "value")
            self._read[name] = partial(getattr, holder, trait)
            holder.observe(see, trait)

    @property
    def known(self) -> bool:
        """Say whether anything was made, for whatever inputs."""
        return self._made is not None

    def inputs(self) -> dict[str, Any]:
        """Return the inputs of this moment; to be taken before the work begins that `made` tells of."""
        return {name: read() for name, read in self._read.items()}

    def made(self, thing: Any, inputs: Mapping[str, Any], words: str = "", kind: Kind = "plain") -> None:
        """Say that `thing` was made for `inputs`, and `words` in the status line if these are the inputs still."""
        with self._lock:
            self._made = thing, dict(inputs)
            self._said = words, kind
            if words:
                self._component.say(words, kind)
            self.see()

    def forget(self) -> None:
        """There is nothing any more."""
        with self._lock:
            self._made = None
            self.see()

    def see(self) -> None:
        """Look at the inputs; called by itself when one with a trait changes."""
        with self._lock:
            stale = self._stale()
            self.current = self._made is not None and not stale
            for thing in self._things:
                (thing.add_class if stale else thing.remove_class)(STALE)
            write(self.note, f"<p><strong>{stale}</strong></p>" if stale else "")
            words, kind = self._said
            if stale and words and self._component.status == words:
                self._component.say(stale, "warning")
            elif self._told and self._component.status == self._told and stale != self._told:
                self._component.say(*((stale, "warning") if stale else (words, kind) if self.current else ("",)))
            self._told = stale
            if self._changed is not None:
                self._changed()

    def require(self) -> Any:
        """Return what was made; raises `InputError` when it was made for other inputs, or when there is nothing."""
        with self._lock:
            if self._made is None:
                raise InputError(f"There is no {self._what} to act on.", hint=self._again)
            if stale := self._stale():
                self.see()
                raise InputError(stale.removesuffix(f" {self._again}"), hint=self._again)
            return self._made[0]

    def _stale(self) -> str:
        if self._made is None:
            return ""
        now, then = self.inputs(), self._made[1]
        others = [name for name in {**then, **now} if name not in now or name not in then or now[name] != then[name]]
        if not others:
            return ""
        return f"This {self._what} was made for other inputs (changed since: {', '.join(others)}). {self._again}"


class Complaint:
    """What was wrong with an input: said until an input is another one, and not of that one."""

    def __init__(self, component: Component) -> None:
        self._component = component
        self._words = ""
        self._fields: dict[ipw.Widget, Any] = {}

    def made(self, error: BaseException, words: str, body: Iterable[ipw.Widget]) -> None:
        """Remember `words` of `error` with what stands in the inputs of `body`, if it is one about them."""
        self._words = words if isinstance(error, InputError | NotFound) else ""
        self._fields = {field: field.value for field in inputs_in(body)} if self._words else {}
        for field in self._fields:
            field.observe(self._changed, "value")

    def _changed(self, _change: Any) -> None:
        if any(field.value != value for field, value in self._fields.items()):
            self.over()

    def over(self) -> None:
        """What was wrong is not wrong any more."""
        if self._words and self._component.status == self._words:
            self._component.say("")
