"""Controls with their words: every helper gives a label, lines up with the others, and escapes what it shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import ipywidgets as ipw
import traitlets as tr

from spokekit._foreign import NAME, SENTENCE, markup, shown
from spokekit._frames import UNKNOWN, cell, is_id
from spokekit.errors import InputError

Kind = Literal["plain", "good", "ok", "warning", "error", "busy", "asking"]
ButtonKind = Literal["plain", "primary", "danger", "quiet", "fold"]

LABEL_WIDTH = "150px"

# A sign and a word, so that nothing is said by colour alone.
_SIGNS: dict[Kind, str] = {
    "plain": "",
    # All is well, without anything having been done just now.
    "good": "✓",
    "ok": "✓ Done.",
    "warning": "! Note.",
    "error": "✕ Not done.",
    "busy": "… Working.",
    # The work waits for an answer.
    "asking": "? Your turn.",
}


def button(words: str, *, kind: ButtonKind = "plain", tooltip: str = "") -> ipw.Button:
    """Return a button that is as wide as its words; ``primary`` is the one press that a screen leads to."""
    made = ipw.Button(description=words, tooltip=tooltip or None, layout=ipw.Layout(width="auto"))
    if kind != "plain":
        made.add_class(f"sk-{kind}")
    return made


def _labelled(kind: Any, label: str, **options: Any) -> Any:
    options.setdefault("layout", ipw.Layout(width="auto"))
    return kind(description=label, style={"description_width": LABEL_WIDTH}, **options)


def text(label: str, value: str = "", *, placeholder: str = "", live: bool = False) -> ipw.Text:
    """Return a labelled text field; without ``live`` its value changes on Enter and on leaving the field."""
    return _labelled(ipw.Text, label, value=value, placeholder=placeholder, continuous_update=live)


def suggestions(label: str, value: str = "", *, placeholder: str = "") -> ipw.Combobox:
    """Return a labelled text field that proposes its ``options`` while somebody types; anything may be typed."""
    options = {"placeholder": placeholder, "ensure_option": False, "continuous_update": True}
    return _labelled(ipw.Combobox, label, value=value, **options)


def area(label: str, value: str = "", *, rows: int = 3, placeholder: str = "", live: bool = False) -> ipw.Textarea:
    """Return a labelled text area; ``live`` as for `text`."""
    return _labelled(ipw.Textarea, label, value=value, placeholder=placeholder, rows=rows, continuous_update=live)


def check(label: str, value: bool = False) -> ipw.Checkbox:
    """Return a labelled check box."""
    return ipw.Checkbox(value=value, description=label, indent=False, layout=ipw.Layout(width="auto"))


def dropdown(label: str, options: Sequence[Any], *, value: Any = None) -> ipw.Dropdown:
    """Return a labelled drop-down; options are values or (label, value) pairs."""
    layout = ipw.Layout(width="auto", max_width="100%")
    made: ipw.Dropdown = _labelled(ipw.Dropdown, label, options=list(options), layout=layout)
    if value is not None:
        made.value = value
    return made


def choices(options: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return (label, value) pairs for a list, the labels as foreign text is shown and the values as they are."""
    return [(shown(label, NAME), value) for label, value in options]


def select_many(label: str, options: Sequence[Any] = (), *, rows: int = 12) -> ipw.SelectMultiple:
    """Return a labelled list for several choices; put at most some hundred options in (see `GroupPicker`)."""
    return _labelled(ipw.SelectMultiple, label, options=list(options), rows=rows)


def filtered_list(label: str, rows: int, filter_label: str, placeholder: str) -> tuple[ipw.Text, ipw.SelectMultiple]:
    """Return a text field that filters a list for several choices, and the list; both as wide as their place."""
    both = text(filter_label, placeholder=placeholder, live=True), select_many(label, rows=rows)
    for control in both:
        control.add_class("sk-stack")
    return both


def upload(label: str, accept: str, *, multiple: bool = False) -> ipw.FileUpload:
    """Return a button that takes files of these endings; see `Component.on_upload`."""
    return ipw.FileUpload(accept=accept, multiple=multiple, description=label, layout=ipw.Layout(width="auto"))


def progress_bar() -> ipw.IntProgress:
    """Return the bar of a component's work."""
    made = _labelled(ipw.IntProgress, "Progress", min=0, max=1, layout=ipw.Layout(flex="1"))
    made.add_class("sk-progress")
    return made


_INPUTS = (ipw.Text, ipw.Textarea, ipw.Combobox, ipw.Dropdown, ipw.Checkbox, ipw.SelectMultiple, ipw.BoundedIntText)


def inputs_in(widgets: Iterable[ipw.Widget]) -> Iterator[ipw.Widget]:
    """Yield what a person types and chooses in, also in boxes; a component (a box with a status) has its own."""
    for widget in widgets:
        if isinstance(widget, _INPUTS):
            yield widget
        elif not widget.has_trait("status"):
            yield from inputs_in(getattr(widget, "children", ()))


def filled(field: ipw.Widget, hint: str) -> str:
    """Return what is typed in a field, without blanks at its ends. Raises `InputError` when nothing is."""
    typed: str = field.value.strip()
    if not typed:
        raise InputError(f"The field “{field.description}” is empty.", hint=hint)
    return typed


def html(markup: str, css: str = "") -> ipw.HTML:
    """Return markup as a widget; the caller has escaped what came from people or servers."""
    made = ipw.HTML(markup)
    for name in css.split():
        made.add_class(name)
    return made


_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_WHOLE = re.compile(
    r"\b(?:(?P<date>\d{4}-\d\d-\d\d(?!\d)(?:[ T]\d\d:\d\d(?::\d\d)?(?:Z| [A-Z]{3,5}\b)?)?"
    rf"|\d{{1,2}} (?:{_MONTHS})\b(?: \d{{4}})?(?:, \d\d:\d\d(?::\d\d)?)?)|(?:\d+:)?{_UUID})[.,;:!?)”]*"
)


def sentence(words: object, most: int = SENTENCE) -> str:
    """Return words as markup, escaped, in which no line breaks inside a date, with its time, or inside an id."""
    return _WHOLE.sub(
        lambda m: f"<span class='sk-{'date' if m['date'] else 'whole-id'}'>{m[0]}</span>", markup(words, most)
    )


def paragraph(words: str) -> str:
    """Return a sentence as a paragraph, escaped; nothing for nothing."""
    return f"<p>{sentence(words)}</p>" if words else ""


def bullets(lines: Iterable[str]) -> str:
    """Return sentences as a list, escaped; nothing for none."""
    items = "".join(f"<li>{sentence(line)}</li>" for line in lines)
    return f"<ul class='sk-list'>{items}</ul>" if items else ""


def note(words: str, css: str = "sk-note") -> ipw.HTML:
    """Return a sentence, escaped; ``code`` spans may be marked with backticks."""
    parts = sentence(words).split("`")
    marked = "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
    return html(f"<p>{marked}</p>", css)


def status_line(words: str, kind: Kind = "plain", *, likely: str = "", hint: str = "") -> str:
    """Return a sentence as a status line looks, escaped: a bar, a sign and a word say of which kind it is.

    Parameters
    ----------
    kind:
        ``good`` says that all is well, ``ok`` that something was done.
    likely, hint:
        The probable cause, and what to do next; a line each.
    """
    sign = f"<span class='sk-word'>{_SIGNS[kind]}</span> " if _SIGNS[kind] else ""
    more = "".join(
        f"<p><span class='sk-word'>{word}</span> {sentence(said)}</p>"
        for word, said in (("Probably:", likely), ("Next:", hint))
        if said
    )
    return f"<div class='sk-line sk-{kind}'>{sign}{sentence(words)}{more}</div>" if words or more else ""


def notebook_link(notebook: str, inside: str, *, css: str = "", title: str = "") -> str:
    """Return a link to another notebook, as markup; `notebook` is where it is, seen from this notebook's folder.

    In JupyterLab it opens there (``guard.js``); elsewhere, under Voilà for example, it is an ordinary relative link.
    """
    name = markup(notebook)
    more = f" title='{markup(title)}'" if title else ""
    return f"<a class='{css}' href='{name}' data-notebook='{name}'{more}>{inside}</a>"


def outside_link(address: str, words: str, *, css: str = "", title: str = "") -> str:
    """Return a link to a page outside of the notebook, as markup; it opens in a tab of its own."""
    more = f" title='{markup(title)}'" if title else ""
    there = f"href='{markup(address)}' target='_blank' rel='noopener'"
    return f"<a class='{css}' {there}{more}>{markup(words)}</a>"


def show(*widgets: ipw.Widget, when: object = True) -> None:
    """Show widgets, or hide them: then they take no place."""
    for widget in widgets:
        widget.layout.display = "" if when else "none"


def hide(*widgets: ipw.Widget) -> None:
    """Hide widgets."""
    show(*widgets, when=False)


def write(place: ipw.HTML, markup: str) -> None:
    """Put markup into a widget that takes no place while there is none."""
    # Shown first: a screen reader tells of what changes in a place that is there.
    show(place, when=markup)
    place.value = markup


def lead_to(first: ipw.Button, *others: ipw.Button) -> None:
    """Make `first` the one primary button: the press that comes next."""
    first.add_class("sk-primary")
    for other in others:
        other.remove_class("sk-primary")


def row(*widgets: ipw.Widget, css: str = "") -> ipw.HBox:
    """Return widgets side by side; they wrap on a narrow page."""
    made = ipw.HBox(widgets)
    made.add_class("sk-row")
    if css:
        made.add_class(css)
    return made


def card(*widgets: ipw.Widget) -> ipw.VBox:
    """Return widgets in a bordered box."""
    made = ipw.VBox(widgets)
    made.add_class("sk-card")
    return made


class Fold(ipw.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Something that is out of the way until it is wanted: a button shows and hides what is below it.

    Parameters
    ----------
    words:
        What the button says.
    shown:
        Whether it is open; observable.
    """

    shown = tr.Bool(False)

    def __init__(self, words: str, *children: ipw.Widget, shown: bool = False) -> None:
        self._words = words
        self._press = button("", kind="fold")
        self._inside = ipw.VBox(children)
        super().__init__([self._press, self._inside])
        self._press.on_click(lambda _: self.set_trait("shown", not self.shown))
        self.observe(lambda _: self._show(), "shown")
        self.shown = shown
        self._show()

    def call(self, words: str) -> None:
        """Let the button say something else."""
        if words != self._words:
            self._words = words
            self._show()

    def hold(self, *children: ipw.Widget) -> None:
        """Have these inside."""
        if self._inside.children != children:
            self._inside.children = children

    def _show(self) -> None:
        show(self._inside, when=self.shown)
        self._press.description = f"{'▾' if self.shown else '▸'} {self._words}"


def html_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str = "",
    label: str = "",
    numbers: Iterable[int] = (),
    widths: Sequence[str] = (),
) -> str:
    """Return an escaped HTML table: text left, numbers right with their heads, ids short with a button that copies.

    More than `FEW` rows are folded behind a button, so that no table scrolls inside a page that scrolls. A missing
    number is called unknown.

    Parameters
    ----------
    caption:
        Stands above the table.
    label:
        What a screen reader calls it when there is no caption.
    numbers:
        Positions of columns to align right.
    widths:
        CSS widths of the columns, so that several tables below each other line up.
    """
    right = frozenset(numbers)
    ids = frozenset(i for i, head in enumerate(columns) if is_id(str(head)))
    head = "".join(
        f"<th scope='col'{' class=sk-number' if i in right else ''}>{markup(str(c))}</th>"
        for i, c in enumerate(columns)
    )
    lines: list[str] = []
    for cells in rows:
        line = "".join(_cell(cell, number=i in right, an_id=i in ids) for i, cell in enumerate(cells))
        lines.append(f"<tr{' class=sk-rest' if len(lines) >= FEW else ''}>{line}</tr>")
    said = f"<caption>{markup(caption)}</caption>" if caption else ""
    name = markup(caption or label or "Table")
    cols = f"<colgroup>{''.join(f'<col style=width:{markup(w)}>' for w in widths)}</colgroup>" if widths else ""
    more = f"<button type='button' class='sk-more'>Show all {len(lines):,} rows</button>" if len(lines) > FEW else ""
    # A region that scrolls has to be reachable from the keyboard.
    return (
        f"<div class='sk-table' tabindex='0' role='region' aria-label='{name}'>"
        f"<table class='sk'>{said}{cols}<thead><tr>{head}</tr></thead><tbody>"
        f"{''.join(lines)}</tbody></table></div>{more}"
    )


FEW = 20
_ID = re.compile(_UUID)
_SHORT = 14


def _cell(value: Any, *, number: bool, an_id: bool) -> str:
    text = cell("", value, missing=UNKNOWN if number else "")
    if text and (an_id or _ID.fullmatch(text)):
        short = text if len(text) <= _SHORT else f"{text[:6]}…{text[-4:]}"
        whole = markup(text)
        # The row says whose id it is; the name of the button says which.
        return (
            f"<td class=sk-id><span title='{whole}'>{markup(short)}</span> <button type='button' class='sk-copy-id' "
            f"data-sk-copy='{whole}' aria-label='Copy {whole}'>copy</button></td>"
        )
    return f"<td{' class=sk-number' if number else ''}>{sentence(text, NAME)}</td>"
