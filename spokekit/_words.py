"""How spokekit says numbers and times: counts, spans, and when to come back by the clock on the person's wall."""

from __future__ import annotations

from datetime import datetime, timedelta


def counted(count: int, what: str) -> str:
    """Return ``1 group`` or ``1,234 groups``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def span(seconds: float) -> str:
    """Return a length of time in round words: seconds, minutes, hours, or days."""
    if seconds < 90:
        return counted(max(1, round(seconds)), "second")
    if seconds < 5400:
        return counted(round(seconds / 60), "minute")
    if seconds < 23.5 * 3600:
        return f"{seconds / 3600:.1f} hours".replace(".0 ", " ")
    return counted(round(seconds / 86400), "day")


def clock(moment: datetime, now: datetime | None = None) -> str:
    """Return ``14:05`` in this computer's time zone, and ``Friday, 27 November, 09:00`` where it is not today."""
    here = moment.astimezone()
    today = (now or datetime.now().astimezone()).astimezone()
    if here.date() == today.date():
        return f"{here:%H:%M}"
    return f"{here:%A}, {here.day} {here:%B}{'' if here.year == today.year else f' {here.year}'}, {here:%H:%M}"


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
