"""``spokekit audit night``: the audit that nobody watches, from cron, a systemd timer or a CI job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spokekit._workspace import workspace
from spokekit.cli._output import AtMostOption, ChangedOption, Format, FormatOption, emit, listener, out, say
from spokekit.cli._signals import interruptible
from spokekit.errors import InputError

if TYPE_CHECKING:
    from spokekit.audit.night import Night

_MOST_SHOWN = 20


def night(
    connection: Annotated[
        list[str] | None,
        typer.Option(
            "--connection",
            "-c",
            metavar="NAME",
            help="Connection by name, id or alias; may be repeated. Without it, the default alias's.",
        ),
    ] = None,
    all_connections: Annotated[
        bool, typer.Option("--all-connections", help="Every connection that is switched on.")
    ] = False,
    ask: Annotated[
        list[str] | None,
        typer.Option(
            "--ask", metavar="QUESTION", help="A question whose rows are findings; may be repeated. Without it, a few."
        ),
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write night.json, night.html and night.xlsx there.")
    ] = None,
    registered: Annotated[
        bool, typer.Option("--registered", help="Only the registered groups, not all groups of the site.")
    ] = False,
    match: Annotated[str | None, typer.Option("--match", help="Groups whose name fits, such as 'okta-*'.")] = None,
    with_spaces: Annotated[bool, typer.Option("--with-spaces", help="Read spaces and their grants too.")] = False,
    changed: ChangedOption = False,
    at_most: AtMostOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Walk, ask, and say what is new since the night before: for cron, a timer, a CI job.

    Nothing is asked of anybody, and nothing is printed when nothing is new. A walk that was broken off is continued.
    A finding is new until a night has reported it, and open until somebody accepts or mends it.

    Exit codes: 0 nothing new, 1 a site failed, 3 something could not be read, 4 new findings; of several sites the
    first of 1, 3, 4 that there is.
    """
    from spokekit.audit import night as service
    from spokekit.audit.show import night_files
    from spokekit.audit.walk.changed import AT_MOST

    if registered and match:
        raise typer.BadParameter("--registered and --match exclude each other.")
    if at_most is not None and not changed:
        raise typer.BadParameter("--at-most belongs to --changed.")
    if all_connections and connection:
        raise typer.BadParameter("--connection and --all-connections exclude each other.")
    work = workspace()
    names: list[str | None] = [*connection] if connection else [None]
    if all_connections:
        names = [one.connection_id for one in work.connections.list() if one.active]
        if not names:
            raise InputError("No connection is configured yet.", hint="Add one: spokekit connections add.")
    with interruptible() as cancel:
        made = service.night(
            work,
            names,
            ask=ask or (),
            groups="registered" if registered else match or "all",
            with_spaces=with_spaces,
            changed=changed,
            at_most=at_most or AT_MOST,
            progress=listener() if sys.stderr.isatty() else None,
            cancel=cancel,
        )
    written = None if out_folder is None else night_files.write(made, out_folder, made_by="spokekit audit night")
    # Last of all: a night that is killed before this reports again.
    service.reported(made)
    if format is not Format.table:
        emit(night_files.as_json(made) if format is Format.json else night_files.sites_frame(made), format)
    elif not made.quiet or sys.stdout.isatty():
        _tell(made)
        if written is not None:
            say(f"Written: {', '.join(str(path) for path in written.paths)}")
    raise typer.Exit(made.exit_code)


def _tell(made: Night) -> None:
    from spokekit.audit.show.night_files import frames_of

    for one in made.sites:
        failed = "failed. " if one.outcome == "failed" else ""
        out(f"{one.site or one.connection or 'The default connection'}: {failed}{one.words}")
        if one.do:
            out(f"Next: {one.do}")
    for name, frame in frames_of(made).items():
        if "tonight" not in frame:
            continue
        new = frame[frame["tonight"]].drop(columns=["tonight", "first_seen"])
        if len(new):
            out(f"\n{frame.attrs['title']} ({name}: {len(new):,} new)")
            emit(new.head(_MOST_SHOWN).to_dict("records"), Format.table)
            if len(new) > _MOST_SHOWN:
                out(f"… and {len(new) - _MOST_SHOWN:,} more: --out FOLDER writes all.")
