"""``spokekit handover``: carry what is configured here to a ServiceNow instance."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from spokekit._words import counted
from spokekit._workspace import workspace
from spokekit.cli._output import guarded, out, say

app = typer.Typer(
    add_completion=False, help="Carry what is configured here to a ServiceNow instance.", no_args_is_help=True
)

ConnectionsOption = Annotated[
    list[str] | None,
    typer.Option("--connection", help="Name, id or alias of a connection; may be repeated. Without it, all active."),
]


class Grant(enum.StrEnum):
    """How the instance gets its token."""

    consent = "consent"
    service_account = "service-account"


@app.command()
@guarded()
def plan(
    to: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="A new folder for the artefacts.")],
    connection: ConnectionsOption = None,
    instance: Annotated[
        str, typer.Option("--instance", metavar="NAME", help="Name of the instance: acme of acme.service-now.com.")
    ] = "",
    parent_alias: Annotated[
        str,
        typer.Option("--parent-alias", metavar="SYS_ID", help="The sys_id of the spoke's own alias on the instance."),
    ] = "",
    client_id: Annotated[
        str, typer.Option("--client-id", help="Of the app that was made for the instance; for one connection.")
    ] = "",
    grant: Annotated[
        Grant, typer.Option("--grant", help="A person's consent, or a service account's client credentials.")
    ] = Grant.consent,
) -> None:
    """Write a folder with all that an instance needs: a checklist, the records, and the registered groups.

    No credential is needed, and no secret or token is in the folder. It holds a checklist, the plan as JSON with its
    schema, XML for Import XML, a project for the ServiceNow SDK, and the groups for the dialog Add Groups; the
    checklist says what each of them does and does not do.
    """
    from spokekit.handover import make_plan, write
    from spokekit.handover.checklist import FILES

    made = make_plan(
        workspace().store,
        connection or (),
        instance=instance,
        parent_sys_id=parent_alias,
        client_id=client_id,
        grant="service-account" if grant is Grant.service_account else "consent",
    )
    target = write(made, to)
    out(str(target))
    groups = sum(len(part.groups) for part in made.parts)
    records = sum(1 for _ in made.records())
    say(
        f"The plan has {counted(len(made.parts), 'connection')}, {counted(records, 'record')} and "
        f"{counted(groups, 'group')}."
    )
    for name, does, does_not in FILES:
        say(f"{name}: {does}. {does_not}".replace("**", ""))
    for note in made.notes:
        say(f"Note: {note}")
    say("Next: work through checklist.md; the secret and Get OAuth Token come last, by hand.")


@app.command()
@guarded()
def schema() -> None:
    """Print the JSON schema of the plan's records.json."""
    from spokekit.handover import schema as text

    out(text().rstrip("\n"))
