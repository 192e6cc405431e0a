"""``spokekit groups``: list the groups of a site, and register those that may be managed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spokekit._words import counted
from spokekit._workspace import workspace
from spokekit.cli._output import ConnectionOption, Format, FormatOption, emit, pauses, say

if TYPE_CHECKING:
    import pandas as pd

    from spokekit._workspace import Workspace

app = typer.Typer(no_args_is_help=True)


def group_columns() -> tuple[str, ...]:
    """Return the columns of groups, and whether they are registered."""
    from spokekit.confluence.shapes import GROUP_COLUMNS

    return (*GROUP_COLUMNS, "registered")


Access = Literal["user", "admin", "site-admin"]
IdsArgument = Annotated[list[str], typer.Argument(metavar="ID", help="Group ids, as `groups list` shows them.")]


@app.command("list")
def list_(
    connection: ConnectionOption = None,
    access: Annotated[Access | None, typer.Option("--access", help="Only groups that give this access.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Groups that give no access to Confluence, too.")] = False,
    format: FormatOption = Format.table,
) -> None:
    """List the groups that give access to Confluence, or with --all every group of the site.

    The exit code is 3 when some could not be read.
    """
    work = workspace()
    groups = _look_up(work, connection)
    if access is not None:
        kinds = groups["access"].str.split(", ")
        groups = _keep(groups, [access in kind for kind in kinds])
    elif not all_:
        groups = _keep(groups, groups["access"] != "")
    registered = work.registry(connection).ids()
    groups["registered"] = groups["group_id"].isin(registered).astype(bool)
    emit(groups, format, columns=group_columns(), empty="No group fits.")


@app.command()
def registered(
    connection: ConnectionOption = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask the site first what the groups are called now.")
    ] = False,
    format: FormatOption = Format.table,
) -> None:
    """List the registered groups; nothing is asked of the site unless --refresh is given."""
    work = workspace()
    groups = _look_up(work, connection) if refresh else None
    frame = work.registry(connection).frame()
    frame["registered"] = True
    if groups is not None:
        frame.attrs["completeness"] = groups.attrs.get("completeness")
    more = ("current_name", "renamed", "missing", "registered_at", "registered_by")
    emit(frame, format, columns=(*group_columns(), *more), empty="No group is registered yet: spokekit groups add ID…")


@app.command()
def add(ids: IdsArgument, connection: ConnectionOption = None, format: FormatOption = Format.table) -> None:
    """Register groups by id, all or none, so that their members may be managed."""
    work = workspace()
    groups = _look_up(work, connection)
    registry = work.registry(connection)
    new = registry.add(ids, groups=groups)
    known = len(set(ids)) - len(new)
    before = f"; {counted(known, 'group')} before." if known else "."
    say(f"Registered {counted(len(new), 'group')}{before}")
    frame = registry.frame()
    emit(frame[frame["group_id"].isin(ids)].assign(registered=True), format, columns=group_columns())


@app.command()
def remove(ids: IdsArgument, connection: ConnectionOption = None) -> None:
    """Take groups off the list of registered groups, all or none. Nobody's membership changes."""
    removed = workspace().registry(connection).remove(ids)
    say(f"Removed {counted(len(removed), 'group')} from the registered groups.")


# ------------------------------------------------------------------------------------------------- inside


def _look_up(work: Workspace, connection: str | None) -> pd.DataFrame:
    with work.spoke(connection) as spoke:
        groups = spoke.look_up_groups(partial="keep", progress=pauses())
    work.registry(connection).refresh(groups)
    return groups


def _keep(groups: pd.DataFrame, mask: Any) -> pd.DataFrame:
    kept: pd.DataFrame = groups[mask].copy()
    kept.attrs = groups.attrs
    return kept
