"""What is previewed before it is carried out: the preview, the words that have to be typed, and the press that acts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tr

from spokekit.widgets.base import Component
from spokekit.widgets.controls import card, html, note, paragraph, row, show, text, write

if TYPE_CHECKING:
    from spokekit.widgets._belonging import Belonging, Source


class PreviewForm(Component):
    """Base of the forms that change something: nothing is, before its preview was seen and confirmed."""

    preview = tr.Any(None, allow_none=True)
    _preview_of: Belonging

    def _make_preview_card(
        self,
        apply: ipw.Button,
        *beside: ipw.Widget,
        above: Iterable[ipw.Widget] = (),
        below: Iterable[ipw.Widget] = (),
    ) -> None:
        """Make the controls: `above` stands over what is to be typed, `beside` at the button that acts."""
        self.shown_preview = html("")
        self.confirm_hint = note("")
        self.confirm = text("Type to confirm", live=True)
        self.apply_button = apply
        self.preview_card = titled_card(
            "Preview",
            self.shown_preview,
            *above,
            self.confirm_hint,
            self.confirm,
            row(apply, *beside, css="sk-actions"),
            *below,
        )

    def _tie_preview(
        self, inputs: Mapping[str, Source], *things: ipw.Widget, again: str, allow: Callable[[], None]
    ) -> None:
        """Tie the preview to the inputs that it is made for; `allow` says whether it may be carried out now."""
        self._preview_of = self.belongs_to("preview", inputs, self.shown_preview, *things, again=again, changed=allow)
        under_title(self.preview_card, self._preview_of.note)
        self.on_change(self.confirm, lambda _: allow())
        # The controls come back when work ends, this one only when it may be pressed.
        self.on_change(self, lambda _: allow(), "busy")

    def _lay_out_preview(self, shown: str, hint: str, press: str) -> None:
        """Show a preview, as markup, what is to be typed, if anything is, and what the button says."""
        self.shown_preview.value = shown
        self.confirm.value = ""
        show(self.confirm, when=hint)
        write(self.confirm_hint, paragraph(hint))
        self.apply_button.description = press

    def _confirmed(self, preview: Any) -> bool:
        """Say whether what a preview asks for is typed."""
        return bool(" ".join(self.confirm.value.split()).casefold() == preview.confirmation)

    def _allow(self) -> None:
        """Let the preview be carried out while it is one for the inputs on the screen, and confirmed."""
        self.preview = self._preview_of.require() if self._preview_of.current else None
        show(self.preview_card, when=self._preview_of.known)
        self.apply_button.disabled = self.busy or self.preview is None or not self._confirmed(self.preview)


def titled_card(title: str, *widgets: ipw.Widget) -> ipw.VBox:
    """Return a card with a heading."""
    return card(html(f"<h3 style='margin:0'>{title}</h3>"), *widgets)


def under_title(titled: ipw.VBox, widget: ipw.Widget) -> None:
    """Put a widget under the heading of a card."""
    head, *rest = titled.children
    titled.children = (head, widget, *rest)
