"""Pictures of an audit, in matplotlib alone: legible for five groups and for five thousand, light and dark.

Whatever does not fit is gathered as "the rest" with its numbers. Parts are told apart by hatching too, never by colour
alone, and each picture has an alternative text that says what a reader should see in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from spokekit.audit.show.picture import (
    Palette,
    Picture,
    bars,
    new_figure,
    nothing_to_draw,
    short,
    thousands,
)
from spokekit.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spokekit.audit.audit import Audit


def group_sizes(audit: Audit, *, top: int = 25) -> Picture:
    """Return the sizes of the largest groups as bars, deactivated members apart, and the rest in a sentence."""
    listed = audit.ask("group-sizes")
    frame = listed.dropna(subset="members").astype({"members": "int64", "inactive": "int64"})
    unread = len(listed) - len(frame)
    shown, rest = frame.head(top), frame.iloc[top:]
    empty = int((frame["members"] == 0).sum())
    names = [short(name) for name in shown["group_name"]]
    inactive = shown["inactive"].to_numpy()
    active = shown["members"].to_numpy() - inactive
    note = f"{len(frame):,} groups, {empty:,} of them empty."
    if unread:
        note = f"{note[:-1]}; of {unread:,} more the members were never read."
    if len(rest):
        note += f" Not shown: {len(rest):,} with {int(rest['members'].sum()):,} members together"
        note += f", {int(rest['members'].max()):,} at most."

    first = f"The largest is {shown['group_name'].iloc[0]} with {shown['members'].iloc[0]:,}. " if len(shown) else ""
    alt = f"Bars: members of the {len(shown)} largest groups. {first}{note}"
    parts = (("active", active, 0, ""), ("deactivated", inactive, 1, "////"))
    return bars("Largest groups", alt, note, "members", names, parts)


def overlap(audit: Audit, groups: Sequence[str] | None = None, *, top: int = 15) -> Picture:
    """Return a map of how much groups overlap: each cell says how many percent of the row's members are in the column's
    group. Without `groups`, the `top` largest ones."""
    chosen, total = _chosen(audit, groups, top)
    if not chosen:
        return nothing_to_draw("Who is in both?")
    numbers = [number for number, _, _ in chosen]
    place = {number: i for i, number in enumerate(numbers)}
    listed = ", ".join(map(str, numbers))
    pairs = audit.session.rows(
        "SELECT a.group_no, b.group_no, COUNT(*) FROM memberships a JOIN memberships b ON a.user_no = b.user_no "
        f"WHERE a.group_no IN ({listed}) AND b.group_no IN ({listed}) GROUP BY 1, 2"
    )
    shared = np.zeros((len(numbers), len(numbers)))
    for one, two, count in pairs:
        shared[place[one], place[two]] = count
    sizes = np.diag(shared)
    percent = 100 * shared / np.maximum(sizes, 1)[:, None]
    names = [short(name, 26) for _, name, _ in chosen]
    note = "" if groups is not None or total <= top else f"The {len(names)} largest of {total:,} groups."
    title = "Who is in both? Percent of the row's members who are also in the column's group"

    def draw(theme: Palette) -> Figure:
        side = 2.6 + 0.42 * max(4, len(names))
        figure, axes = new_figure(theme, side + 2.2, side + 0.9, title, note, wrap=58)
        from matplotlib.colors import LinearSegmentedColormap

        ramp = LinearSegmentedColormap.from_list("spokekit", theme.ramp)
        image = axes.imshow(percent, cmap=ramp, vmin=0, vmax=100, aspect="equal")
        axes.set_xticks(range(len(names)), names, rotation=55, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for i in range(len(names)):
            for j in range(len(names)):
                if i != j and shared[i, j]:
                    red, green, blue, _ = image.cmap(image.norm(percent[i, j]))
                    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
                    color = "#101215" if bright else "#f4f5f7"
                    axes.text(j, i, f"{percent[i, j]:.0f}", ha="center", va="center", fontsize=7.5, color=color)
        bar = figure.colorbar(image, ax=axes, shrink=0.7, label="percent")
        bar.ax.yaxis.label.set_color(theme.ink)
        bar.ax.tick_params(colors=theme.ink)
        return figure

    off = percent - np.diag(np.diag(percent)) if len(numbers) else percent
    alt = f"Heatmap of {len(names)} groups. {note} "
    if off.size and off.max() > 0:
        at = int(off.argmax())
        row, column = divmod(at, off.shape[1])
        alt += f"The strongest overlap: {off.max():.0f} percent of {chosen[row][1]} are in {chosen[column][1]}."
    else:
        alt += "No two of them share a member."
    return Picture(title, alt, draw)


def combinations(audit: Audit, groups: Sequence[str] | None = None, *, top: int = 6, most: int = 18) -> Picture:
    """Return which combinations of groups people are in: bars over dots (an UpSet plot). Without `groups`, the `top`
    largest ones; the `most` frequent combinations are shown and the rest is counted."""
    chosen, total = _chosen(audit, groups, top)
    if not chosen:
        return nothing_to_draw("Which groups do people share?")
    if len(chosen) > 12:
        raise InputError("More than 12 groups make no readable picture of combinations.", field="groups")
    bits = " + ".join(f"MAX(CASE WHEN group_no = {n} THEN {1 << i} ELSE 0 END)" for i, (n, _, _) in enumerate(chosen))
    listed = ", ".join(str(n) for n, _, _ in chosen)
    rows = audit.session.rows(
        f"SELECT c, COUNT(*) FROM (SELECT user_no, {bits} AS c FROM memberships WHERE group_no IN ({listed}) "
        "GROUP BY user_no) GROUP BY c ORDER BY 2 DESC, 1"
    )
    shown, rest = rows[:most], rows[most:]
    counts = np.array([count for _, count in shown])
    names = [short(name, 30) for _, name, _ in chosen]
    parts = [] if groups is not None or total <= len(chosen) else [f"The {len(chosen)} largest of {total:,} groups."]
    if rest:
        parts.append(f"{len(rest):,} rarer combinations with {sum(n for _, n in rest):,} people are left out.")
    note = " ".join(parts)

    def draw(theme: Palette) -> Figure:
        width = 4.6 + 0.36 * max(6, len(shown))
        figure, (upper, dots) = new_figure(
            theme,
            width,
            3.4 + 0.3 * max(3, len(names)),
            "Which groups do people share?",
            note,
            rows=(3.0, 0.3 * max(3, len(names)) + 0.2),
            wrap=round(9 * width),
        )
        places = np.arange(len(shown))
        upper.bar(places, counts, color=theme.series[0], width=0.62)
        for x, count in zip(places, counts, strict=True):
            upper.text(x, count, f"{count:,}", ha="center", va="bottom", fontsize=8, color=theme.ink)
        upper.set_ylabel("people")
        thousands(upper.yaxis)
        upper.set_xticks([])
        upper.margins(y=0.12)
        for y in range(len(names)):
            if y % 2 == 0:
                dots.axhspan(y - 0.5, y + 0.5, color=theme.grid, alpha=0.35, lw=0)
        for at, (combination, _) in enumerate(shown):
            inside = [y for y in range(len(names)) if int(combination) >> y & 1]
            outside = [y for y in range(len(names)) if y not in inside]
            dots.plot([at] * len(outside), outside, "o", ms=5, mfc="none", mec=theme.grid)
            dots.plot([at] * len(inside), inside, "o-", ms=7, color=theme.series[0], lw=2)
        dots.set_yticks(range(len(names)), names)
        dots.set_ylim(len(names) - 0.5, -0.5)
        dots.set_xticks([])
        dots.grid(visible=False)
        dots.tick_params(length=0)
        for side in dots.spines.values():
            side.set_visible(False)
        upper.set_xlim(-0.7, max(6, len(shown)) - 0.3)
        dots.set_xlim(upper.get_xlim())
        return figure

    said = []
    for combination, count in shown[:3]:
        inside_names = [name for y, (_, name, _) in enumerate(chosen) if combination >> y & 1]
        said.append(f"{count:,} people are in {' and '.join(inside_names)}{' only' if len(inside_names) == 1 else ''}")
    return Picture(
        "Which groups do people share?", f"Bars over a grid of dots. {'; '.join(said)}. {note}".strip(), draw
    )


def over_time(audit: Audit, groups: Sequence[str] | None = None, *, top: int = 6) -> Picture:
    """Return how many members groups had at each snapshot, as steps. Without `groups`, those that changed most."""
    if groups is None:
        changed = audit.ask("changes-since", days=36_500)
        busiest = changed.groupby("group_id", observed=True).size().sort_values(ascending=False, kind="stable")
        groups = [group for group in busiest.index if group in set(audit.frame("groups")["group_id"])][:top]
        groups = groups or [row[2] for row in _chosen(audit, None, top)[0]]
    frame = audit.ask("membership-over-time", groups=tuple(groups))
    lines = [(str(name), part) for (name, _), part in frame.groupby(["group_name", "group_id"], sort=False)]
    moments = frame["taken_at"].nunique()
    note = (
        f"{moments:,} snapshots. The groups whose members changed most." if moments > 1 else "Only one snapshot so far."
    )
    styles = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
    marks = ("o", "s", "^", "D", "v", "P")

    def draw(theme: Palette) -> Figure:
        figure, axes = new_figure(theme, 9.6, 4.4, "Members over time", note)
        ends = []
        for number, (name, part) in enumerate(lines):
            color = theme.series[number % len(theme.series)]
            times = part["taken_at"].dt.tz_localize(None).to_numpy()
            axes.plot(
                times,
                part["members"],
                linestyle=styles[number % len(styles)],
                drawstyle="steps-post",
                color=color,
                marker=marks[number % len(marks)],
                ms=4 if moments <= 40 else 0,
                lw=1.8,
                label=short(name, 28),
            )
            ends.append((float(part["members"].iloc[-1]), short(name, 26), color))
        axes.set_ylabel("members")
        axes.set_ylim(bottom=0)
        axes.margins(y=0.1)
        if moments > 1:
            from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

            locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        else:
            taken = frame["taken_at"].drop_duplicates().dt.tz_localize(None)
            axes.set_xticks(taken.to_list(), taken.dt.strftime("%Y-%m-%d").to_list())
        if lines:
            axes.legend(frameon=False, labelcolor=theme.ink, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
        thousands(axes.yaxis)
        return figure

    said = [
        f"{name}: from {int(part['members'].iloc[0]):,} to {int(part['members'].iloc[-1]):,}" for name, part in lines
    ]
    return Picture("Members over time", f"Lines of members at each snapshot. {'; '.join(said)}. {note}", draw)


def grants_by_space(audit: Audit, *, top: int = 25) -> Picture:
    """Return how many groups, single people and open classes each space names, the most first."""
    frame = audit.ask("grants-by-space")
    kinds = ["named_groups", "named_people", "named_classes"]
    frame = frame.assign(all=frame[kinds].sum(axis=1)).sort_values("all", ascending=False, kind="stable")
    shown, rest = frame.head(top), frame.iloc[top:]
    open_to_all = int((frame["named_classes"] > 0).sum())
    note = f"{len(frame):,} spaces, {open_to_all:,} of them open to a whole class of people."
    if len(rest):
        note += f" Not shown: {len(rest):,} that name {int(rest['all'].sum()):,} together."
    names = [short(f"{key}  {name}") for key, name in zip(shown["space_key"], shown["space_name"], strict=True)]
    labels = ("groups", "single people", "everybody, or a class of people")
    hatches = ("", "////", "....")

    values = [shown[kind].to_numpy() for kind in kinds]
    parts = tuple(zip(labels, values, range(3), hatches, strict=True))
    first = f"{shown['space_key'].iloc[0]} names the most ({shown['all'].iloc[0]:,}). " if len(shown) else ""
    alt = f"Bars for {len(shown)} spaces. {first}{note}"
    return bars("Who do spaces name?", alt, note, "named in the space's permissions", names, parts)


def overview(audit: Audit) -> tuple[Picture, ...]:
    """Return the pictures for which the audit holds something."""
    counts = {name: audit.session.rows(f"SELECT COUNT(*) FROM {name}")[0][0] for name in ("memberships", "grants")}
    pictures = [group_sizes(audit), overlap(audit), combinations(audit)] if counts["memberships"] else []
    if len(audit.moments()) > 1:
        pictures.append(over_time(audit))
    if counts["grants"]:
        pictures.append(grants_by_space(audit))
    return tuple(pictures)


def _chosen(audit: Audit, groups: Sequence[str] | None, top: int) -> tuple[list[tuple[int, str, str]], int]:
    """Return (number, name, id) of the groups asked for, or of the largest, and how many groups there are."""
    total = int(audit.session.rows("SELECT COUNT(*) FROM groups")[0][0])
    if groups is None:
        rows = audit.session.rows(
            "SELECT g.group_no, g.name, g.group_id FROM groups g JOIN (SELECT group_no, COUNT(*) AS n FROM memberships "
            "GROUP BY group_no) m USING (group_no) ORDER BY m.n DESC, g.name, g.group_id LIMIT $top",
            {"top": top},
        )
        return [(int(n), str(name), str(i)) for n, name, i in rows], total
    made = []
    for group in groups:
        number = audit.look_up("group", group)
        name, group_id = audit.session.rows("SELECT name, group_id FROM groups WHERE group_no = $n", {"n": number})[0]
        made.append((number, str(name), str(group_id)))
    return made, total
