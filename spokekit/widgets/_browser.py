"""The small things that Python cannot do in a page: a secret field, a keyboard guard, the clipboard, a download."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as ipw
import traitlets as tr

from spokekit._secret import Secret

_STATIC = Path(__file__).parent / "static"


def _asset(*names: str) -> str:
    return "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in names)


class _Small(anywidget.AnyWidget):
    def _repr_keys(self) -> Iterator[str]:
        return iter(())

    def __repr__(self) -> str:
        # anywidget's own shows an address, which no saved output could be compared with.
        return f"{type(self).__name__}()"


class KeyboardGuard(_Small):
    """An invisible helper: keeps JupyterLab's shortcuts off the controls of the component around it.

    It also brings the theme, names the component for screen readers, makes its status line a live region and leads the
    keyboard on where a control goes away.
    `Component` adds one by itself; only a box outside of a component needs to.
    """

    _esm = _asset("clipboard.js", "focus.js", "guard.js")
    _css = _asset("theme.css")
    label = tr.Unicode("").tag(sync=True)

    def __init__(self, label: str = "") -> None:
        # Hidden from the first paint on: an empty box would leave a gap above the heading.
        super().__init__(label=label, layout=ipw.Layout(display="none"))


class SecretField(_Small):
    """A field for a secret that never enters the front end's model, a saved notebook or its widget state.

    What is typed lives in the page, is sent on Enter or on leaving the field, and is emptied there. The kernel keeps
    it as a `Secret` until `take` hands it over.

    Parameters
    ----------
    description:
        The label.
    masked:
        False shows what is typed: for the address that is pasted back, which must not be saved either.
    set_words, unset_words:
        What stands beside the field when something was entered, and when not.
    is_set:
        True at the start when a secret is known already, for example one in the store.
    """

    _esm = _asset("secret_field.js")
    description = tr.Unicode("Secret").tag(sync=True)
    is_set = tr.Bool(False).tag(sync=True)
    disabled = tr.Bool(False).tag(sync=True)
    masked = tr.Bool(True).tag(sync=True)
    set_words = tr.Unicode("entered, not shown").tag(sync=True)
    unset_words = tr.Unicode("").tag(sync=True)

    def __init__(
        self,
        description: str = "Secret",
        *,
        masked: bool = True,
        set_words: str = "entered, not shown",
        unset_words: str = "",
        is_set: bool = False,
    ) -> None:
        super().__init__(
            description=description, masked=masked, set_words=set_words, unset_words=unset_words, is_set=is_set
        )
        self._held: Secret | None = None
        self._callbacks: list[Callable[[], None]] = []
        self.on_msg(self._receive)

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("kind") == "value":
            self.put(Secret(str(content.pop("value", ""))))

    def put(self, secret: Secret | None) -> None:
        """Hold `secret` as if it had been typed; None empties the field. The non-widget path, used by tests too."""
        self._held = secret or None
        self.is_set = bool(secret)
        self.send({"kind": "received"})
        if secret:
            for callback in tuple(self._callbacks):
                callback()

    def on_entered(self, callback: Callable[[], None]) -> None:
        """Call `callback` (without the value) each time something was entered."""
        self._callbacks.append(callback)

    @property
    def has_new(self) -> bool:
        """Say whether something was entered that nobody took yet."""
        return self._held is not None

    def peek(self) -> Secret | None:
        """Return what was entered and leave it here, for a check before it is taken."""
        return self._held

    def take(self, *, keeps: bool = False) -> Secret | None:
        """Return what was entered and forget it here; None when nothing was entered since the last time.

        ``keeps`` leaves the mark "entered" on, for a caller that stores the secret.
        """
        held, self._held = self._held, None
        self.is_set = keeps and (self.is_set or held is not None)
        self.send({"kind": "clear"})
        return held


class ListKeys(_Small):
    """An invisible helper: double click and Enter in the lists beside it act on what was clicked or is marked.

    Parameters
    ----------
    css:
        The class of the boxes with one list each; the lists are told apart by their order.
    act:
        Called with the list's number and its lines as they stand in the page: their places and texts.
    """

    _esm = _asset("list_keys.js")
    css = tr.Unicode("").tag(sync=True)

    def __init__(self, css: str, act: Callable[[int, list[tuple[int, str]]], None]) -> None:
        super().__init__(css=css, layout=ipw.Layout(display="none"))
        self._act = act
        self.on_msg(self._told)

    def _told(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("kind") == "act":
            self._act(int(content["list"]), [(int(place), str(words)) for place, words in content["lines"]])


class CopyButton(_Small):
    """A button that copies `text` to the clipboard of the browser and says so."""

    _esm = _asset("clipboard.js", "copy_button.js")
    text = tr.Unicode("").tag(sync=True)
    description = tr.Unicode("Copy").tag(sync=True)

    def __init__(self, text: str = "", *, description: str = "Copy") -> None:
        super().__init__(text=text, description=description, layout=ipw.Layout(width="auto"))


class DownloadButton(_Small):
    """A button that asks for a file when it is pressed; the file goes to the page and into no notebook."""

    _esm = _asset("download_button.js")
    description = tr.Unicode("Download").tag(sync=True)
    disabled = tr.Bool(False).tag(sync=True)

    def __init__(self, description: str = "Download") -> None:
        super().__init__(description=description, layout=ipw.Layout(width="auto"))
        self._callbacks: list[Callable[[], None]] = []
        self.on_msg(self._asked)

    def on_asked(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the button is pressed; it answers with `give`."""
        self._callbacks.append(callback)

    def give(self, name: str, mime: str, data: bytes) -> None:
        """Hand a file to the browser."""
        self.send({"kind": "file", "name": name, "mime": mime}, [data])

    def click(self) -> None:
        """Do what a press does; without a page nothing is downloaded."""
        for callback in () if self.disabled else tuple(self._callbacks):
            callback()

    def _asked(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("kind") == "ask":
            self.click()


class ConsentLink(_Small):
    """A link to the consent page. Its address holds the attempt's state, so it is sent to the page and never synced."""

    _esm = _asset("consent_link.js")
    description = tr.Unicode("Open the consent page").tag(sync=True)

    def __init__(self, description: str = "Open the consent page") -> None:
        super().__init__(description=description, layout=ipw.Layout(width="auto"))
        self._address: Secret | None = None
        self.on_msg(self._asked)

    def show(self, address: Secret, *, open_it: bool = False) -> None:
        """Show the link; with ``open_it`` the page tries to open it, which a browser allows right after a press."""
        self._address = address
        self.send({"kind": "address", "url": address.reveal(), "open": open_it})

    def hide(self) -> None:
        """Take the link away."""
        self._address = None
        self.send({"kind": "clear"})

    def _asked(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        # A view that was drawn later than the address was sent asks for it.
        if content.get("kind") == "ask" and self._address is not None:
            self.send({"kind": "address", "url": self._address.reveal(), "open": False})
