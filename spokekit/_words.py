"""How spokekit says numbers and times, and when two names that people type are the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta


def counted(count: int, one: str, more: str = "") -> str:
    """Return ``1 group`` or ``1,234 groups``; `more` is the plural where that is not the singular and an s."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def some(names: Sequence[str], most: int) -> str:
    """Return ``a, b and 3 more``: names, not more than so many of them."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def span(seconds: float) -> str:
    """Return a length of time in round words: seconds, minutes, hours, or days."""
    if seconds < 90:
        return counted(max(1, round(seconds)), "second")
    if seconds < 5400:
        return counted(round(seconds / 60), "minute")
    if seconds < 23.5 * 3600:
        return f"{seconds / 3600:.1f} hours".replace(".0 ", " ")
    return counted(round(seconds / 86400), "day")


def clock(moment: datetime, now: datetime | None = None, *, seconds: bool = False) -> str:
    """Return ``14:05`` in this computer's time zone, and ``Friday, 27 November, 09:00`` where it is not today."""
    to_the = "%H:%M:%S" if seconds else "%H:%M"
    here = moment.astimezone()
    today = (now or datetime.now().astimezone()).astimezone()
    if here.date() == today.date():
        return f"{here:{to_the}}"
    return f"{here:%A}, {here.day} {here:%B}{'' if here.year == today.year else f' {here.year}'}, {here:{to_the}}"


def moment(then: datetime) -> str:
    """Return ``2026-11-27 09:00 CET``: day, time and zone of this computer, for lists and files."""
    return then.astimezone().strftime("%Y-%m-%d %H:%M %Z").strip()


def later(seconds: float, now: datetime | None = None) -> str:
    """Return when so many seconds are over: ``in 40 seconds``, or ``in 50 minutes, at 14:05``."""
    if seconds < 90:
        return f"in {span(seconds)}"
    now = (now or datetime.now().astimezone()).astimezone()
    try:
        moment = now + timedelta(seconds=seconds)
        return f"in {span(seconds)}, {'at' if moment.date() == now.date() else 'on'} {clock(moment, now)}"
    except OverflowError:
        # Ten thousand years on there is no calendar.
        return f"in {span(seconds)}"


# -- names -------------------------------------------------------------------------------------------------------------


def comparable(name: str) -> str:
    """Return the form in which two names are the same: Unicode form, upper and lower case and blanks do not count.

    A Mac writes ``ö`` as two characters, a web page a no-break space; neither makes another name. Signs that only look
    alike stay apart: see `look_alike`.
    """
    if name.isascii():
        # Nearly every name is, and that is ten times as fast.
        return " ".join(name.lower().split())
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
    return " ".join(folded.split())


_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\ufe58\ufe63\uff0d"
_QUOTES = "\u2018\u2019\u201a\u201b\u2032\u00b4\u0060\uff07"
_UNSEEN = ("Cf", "Cc")
# Letters of other alphabets that nobody tells from Latin ones (Unicode's confusables, those of whole words).
_LETTERS = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d\u03bf\u03b1\u03c1\u03bd\u03b9\u043a\u043c\u0442\u043d\u0432",
    "aeopcyxijshdqwoapvikmthb",
)


def plain(text: str) -> str:
    """Return a text with the signs of a plain keyboard for those that only look like them, and without unseen ones."""
    if text.isascii() and text.isprintable():
        return text.replace("`", "'")
    seen = "".join(
        "-" if c in _DASHES else "'" if c in _QUOTES else "" if unicodedata.category(c) in _UNSEEN else c for c in text
    )
    return unicodedata.normalize("NFKC", seen)


def _skeletons(name: str) -> set[str]:
    # A soft hyphen stands for a dash, or for nothing at all.
    return {_skeleton(name), _skeleton(name.replace("\u00ad", "-"))} if "\u00ad" in name else {_skeleton(name)}


def _skeleton(name: str) -> str:
    folded = comparable(plain(name))
    return (folded if folded.isascii() else folded.translate(_LETTERS)).replace("--", "-")


def sign(character: str) -> str:
    """Return what a sign is called: ``en dash (U+2013)``."""
    return f"{unicodedata.name(character, 'sign without a name').lower()} (U+{ord(character):04X})"


class LookAlikes:
    """Names by what they look like, so that one that was nearly meant is found among very many."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, dict[str, None]] = {}
        for name in names:
            for skeleton in _skeletons(name):
                self._names.setdefault(skeleton, {})[name] = None

    def find(self, typed: str) -> tuple[str, str] | None:
        """Return the name that `typed` looks like and is not, and in which sign they differ; None if there is none."""
        ours = comparable(typed)
        for skeleton in sorted(_skeletons(typed)):
            for name in self._names.get(skeleton, ()):
                if comparable(name) != ours:
                    return name, _difference(typed, name)
        return None


def look_alike(typed: str, names: Iterable[str]) -> tuple[str, str] | None:
    """Return what `LookAlikes.find` does, for one text."""
    return LookAlikes(names).find(typed)


def _difference(typed: str, name: str) -> str:
    here, there = unicodedata.normalize("NFC", typed), unicodedata.normalize("NFC", name)
    odd = [(c, "what was typed") for c in here if c not in there]
    odd += [(c, "its name") for c in there if c not in here]
    # Of two signs that look alike, the one of no plain keyboard is the surprise.
    odd.sort(key=lambda pair: pair[0].isascii())
    return f"there is a {sign(odd[0][0])} in {odd[0][1]}" if odd else "the same signs stand in another order"
