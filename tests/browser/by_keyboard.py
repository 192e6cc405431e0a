"""Somebody with a keyboard and no mouse: goes on with Tab, back with Shift+Tab, and reads what a component says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.browser.jupyterlab_page import NotebookPage


class ByKeyboard:
    """One component and the keyboard; ``status`` is its status line."""

    def __init__(self, notebook: NotebookPage, component: str) -> None:
        self.notebook = notebook
        self.panel = notebook.component(component)
        self.keyboard = notebook.page.keyboard
        self.status = self.panel.locator(".sk-status:visible")

    def field(self, name: str) -> Locator:
        """Return the field with this label."""
        return self.panel.get_by_label(name, exact=True)

    def button(self, name: str) -> Locator:
        """Return the first button whose words contain `name`."""
        # A fold's begins with its sign, some end with a number.
        return self.panel.get_by_role("button", name=name).first

    def go(self, there: Locator, key: str = "Tab") -> None:
        """Press `key` until the focus is `there`."""
        expect(there).to_be_enabled()
        for _ in range(30):
            if there.evaluate("(e) => e === document.activeElement"):
                return
            self.keyboard.press(key)
        raise AssertionError(f"{key} does not lead to {there}")

    def back(self, there: Locator) -> None:
        """Press Shift+Tab until the focus is `there`."""
        self.go(there, "Shift+Tab")

    def write(self, text: str) -> None:
        """Put `text` into the field that has the focus."""
        self.keyboard.press("Control+a")
        self.keyboard.press("Delete")
        # As one input: each letter alone would be answered before the next is there.
        self.keyboard.insert_text(text)

    def press(self, name: str, said: str, *, wait: int = 20_000) -> None:
        """Go on to a button, press it, and wait until the status line says `said`."""
        self.go(self.button(name))
        self.keyboard.press("Enter")
        expect(self.status).to_contain_text(said, timeout=wait)
