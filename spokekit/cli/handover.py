"""``spokekit handover``: carry what is configured here to a ServiceNow instance."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spokekit._words import counted
from spokekit._workspace import workspace
from spokekit.cli._output import Format, FormatOption, emit, guarded, out, say
from spokekit.cli._secrets import read_secret
from spokekit.errors import InputError

if TYPE_CHECKING:
    from spokekit.handover.client import SignIn

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


@app.command()
@guarded()
def compare(
    instance: Annotated[str, typer.Option("--instance", metavar="URL", help="Address of the instance.")],
    connection: ConnectionsOption = None,
    client_id: Annotated[
        str, typer.Option("--client-id", help="Of an OAuth registry on the instance that takes client credentials.")
    ] = "",
    client_secret_file: Annotated[
        str, typer.Option("--client-secret-file", metavar="FILE|-", help="Its secret; - for standard input.")
    ] = "",
    api_key_file: Annotated[
        str, typer.Option("--api-key-file", metavar="FILE|-", help="An API key instead; - for standard input.")
    ] = "",
    session_file: Annotated[
        str,
        typer.Option("--session-file", metavar="FILE|-", help="The Cookie header of a signed-in browser instead."),
    ] = "",
    app_id: Annotated[
        str, typer.Option("--app-id", help="Client ID of the instance's own app at Atlassian; for one connection.")
    ] = "",
    grant: Annotated[
        Grant, typer.Option("--grant", help="As in the plan: a person's consent, or a service account.")
    ] = Grant.consent,
    groups_table: Annotated[
        str, typer.Option("--groups-table", metavar="NAME", help="The spoke's groups table, where it is not found.")
    ] = "",
    format: FormatOption = Format.table,  # noqa: A002 - the option has this name
) -> None:
    """Compare an instance with what is configured here, and say what is missing, extra, different or orphaned.

    Nothing is written, and the secret is not kept. Each row says what it means and what to do. The exit code is 3 when
    something could not be read: that is said, and never taken for missing.
    """
    from spokekit.handover import make_plan
    from spokekit.handover.client import check_address
    from spokekit.handover.compare import compare as compared

    address = check_address(instance)
    sign_in = _sign_in(client_id, client_secret_file, api_key_file, session_file)
    made = make_plan(
        workspace().store,
        connection or (),
        client_id=app_id,
        grant="service-account" if grant is Grant.service_account else "consent",
    )
    frame = compared(made, address, sign_in, whole=not connection, groups_table=groups_table)
    columns = ("kind", "table", "record", "column", "here", "there", "means", "do")
    emit(frame, format, columns=columns if format is Format.table else None, empty="The instance is as planned.")


def _sign_in(client_id: str, secret: str, api_key: str, session: str) -> SignIn:
    from spokekit.handover.client import SignIn

    given = (("oauth", secret), ("api-key", api_key), ("session", session))
    chosen = [(kind, source) for kind, source in given if source]
    if len(chosen) != 1 or bool(client_id) != (chosen[0][0] == "oauth"):
        raise InputError(
            "It is not clear how to sign in to the instance.",
            field="sign_in",
            hint="Give one of: --client-id with --client-secret-file, --api-key-file, --session-file.",
        )
    kind, source = chosen[0]
    held = read_secret(source, _NAMES[kind])
    if not held:
        raise InputError(
            f"The {_NAMES[kind]} is empty.", field="sign_in", hint="Put it into the file, and nothing else."
        )
    return SignIn(kind, held, client_id)  # type: ignore[arg-type]


_NAMES = {"oauth": "client secret", "api-key": "API key", "session": "session"}
