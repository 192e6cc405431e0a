"""What a component says where no page shows it, in Python or IPython in a terminal: its state, and the way on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import ipywidgets as ipw

from spokekit._foreign import SENTENCE, shown
from spokekit._secret import scrub
from spokekit.widgets._reopened import show_component


def in_terminal() -> bool:
    """Tell whether this process is no kernel, so that no page shows a component of it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is None


class InWords(ipw.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Base of `Component`: how it is shown in a page, in a saved notebook and in a terminal.

    Attributes
    ----------
    commands:
        The commands that do the same without a page.
    """

    commands: ClassVar[tuple[str, ...]] = ()
    status: Any

    def state_in_words(self) -> list[str]:
        """Return sentences that say how it stands."""
        return [self.status or "Nothing was done in it yet."]

    def way_on(self) -> str:
        """Return the sentence that leads on from a terminal."""
        return f"The same by command: {', '.join(self.commands)}" if self.commands else ""

    def in_words(self) -> str:
        """Return its name, its state and the way on, for a terminal; what a server sent stands in it as plain text."""
        title = getattr(self, "_title", "") or type(self).__name__
        state = (shown(scrub(line), SENTENCE) for line in (title, *self.state_in_words()))
        page = "Its fields and buttons need a page, which `spokekit lab` opens."
        return "\n".join((*state, f"{page} {self.way_on()}".rstrip()))

    def _repr_keys(self) -> Iterator[str]:
        # A box's own repr prints every child with its value: group names and typed words in the saved output.
        return iter(())

    def __repr__(self) -> str:
        return self.in_words() if in_terminal() else str(super().__repr__())

    def _ipython_display_(self) -> None:
        if in_terminal():
            print(self.in_words())  # noqa: T201 - IPython in a terminal would cut it short
        else:
            show_component(self._repr_mimebundle_())
