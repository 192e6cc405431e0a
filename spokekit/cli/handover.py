"""``spokekit handover``: carry what is configured here to a ServiceNow instance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spokekit._home import home
from spokekit._words import counted
from spokekit._workspace import workspace
from spokekit.cli._output import INCOMPLETE, Format, FormatOption, emit, listener, out, say, typed_words
from spokekit.cli._secrets import read_secret
from spokekit.cli._signals import interruptible
from spokekit.errors import Conflict, InputError, PlanError

if TYPE_CHECKING:
    from spokekit.handover import Changes, HandOver
    from spokekit.handover.client import SignIn

app = typer.Typer(no_args_is_help=True)

ConnectionsOption = Annotated[
    list[str] | None,
    typer.Option("--connection", help="Name, id or alias of a connection; may be repeated. Without it, all active."),
]

InstanceOption = Annotated[str, typer.Option("--instance", metavar="URL", help="Address of the instance.")]
ClientIdOption = Annotated[
    str, typer.Option("--client-id", help="Of an OAuth registry on the instance that takes client credentials.")
]
SecretOption = Annotated[
    str, typer.Option("--client-secret-file", metavar="FILE|-", help="Its secret; - for standard input.")
]
ApiKeyOption = Annotated[
    str, typer.Option("--api-key-file", metavar="FILE|-", help="An API key instead; - for standard input.")
]
SessionOption = Annotated[
    str, typer.Option("--session-file", metavar="FILE|-", help="The Cookie header of a signed-in browser instead.")
]
AppIdOption = Annotated[
    str, typer.Option("--app-id", help="Client ID of the instance's own app at Atlassian; for one connection.")
]
GroupsTableOption = Annotated[
    str, typer.Option("--groups-table", metavar="NAME", help="The spoke's groups table, where it is not found.")
]
WriteOption = Annotated[bool, typer.Option("--write", help="Write to the instance; without it, only show what would.")]
YesOption = Annotated[bool, typer.Option("--yes", help="With --write: do not ask for the words that confirm it.")]
FingerprintOption = Annotated[
    str, typer.Option("--fingerprint", help="Refuse unless the preview has this fingerprint; its beginning is enough.")
]
ApplyArgument = Annotated[
    str | None, typer.Argument(metavar="APPLY_ID", help="From `handover journal`; its beginning is enough.")
]


Grant = Literal["consent", "service-account"]
GrantOption = Annotated[
    Grant, typer.Option("--grant", help="As in the plan: a person's consent, or a service account.")
]


@app.command()
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
    ] = "consent",
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
        grant=grant,
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
def schema() -> None:
    """Print the JSON schema of the plan's records.json."""
    from spokekit.handover import schema as text

    out(text().rstrip("\n"))


@app.command()
def compare(
    instance: InstanceOption,
    connection: ConnectionsOption = None,
    client_id: ClientIdOption = "",
    client_secret_file: SecretOption = "",
    api_key_file: ApiKeyOption = "",
    session_file: SessionOption = "",
    app_id: AppIdOption = "",
    grant: GrantOption = "consent",
    groups_table: GroupsTableOption = "",
    out_: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write the drift as a page and a workbook as well.")
    ] = None,
    format: FormatOption = Format.table,
) -> None:
    """Compare an instance with what is configured here, and say what is missing, extra, different or orphaned.

    Nothing is written, and the secret is not kept. Each row says what it means and what to do. The exit code is 3 when
    something could not be read: that is said, and never taken for missing.
    """
    from spokekit.handover import make_plan
    from spokekit.handover.compare import compare as compared
    from spokekit.handover.plan import instance_of

    address = _checked(instance)
    sign_in = _sign_in(client_id, client_secret_file, api_key_file, session_file)
    made = make_plan(
        workspace().store,
        connection or (),
        instance=instance_of(address),
        client_id=app_id,
        grant=grant,
    )
    frame = compared(made, address, sign_in, whole=not connection, groups_table=groups_table)
    if out_ is not None:
        from spokekit.handover.page import to_folder

        for path in to_folder(frame, made, address, out_).paths:
            say(f"Written: {path}")
    columns = ("kind", "table", "record", "column", "here", "there", "means", "do")
    emit(frame, format, columns=columns if format is Format.table else None, empty="The instance is as planned.")


@app.command()
def apply(
    instance: InstanceOption,
    plan_file: Annotated[
        Path | None, typer.Option("--plan", metavar="FOLDER", help="A plan's folder or its records.json.")
    ] = None,
    connection: ConnectionsOption = None,
    client_id: ClientIdOption = "",
    client_secret_file: SecretOption = "",
    api_key_file: ApiKeyOption = "",
    session_file: SessionOption = "",
    app_id: AppIdOption = "",
    grant: GrantOption = "consent",
    update: Annotated[
        list[str] | None,
        typer.Option("--update", metavar="NAME", help="Confirm a difference by its name in the preview; repeatable."),
    ] = None,
    groups: Annotated[bool, typer.Option("--groups", help="Write the registered groups as well.")] = False,
    groups_table: GroupsTableOption = "",
    write: WriteOption = False,
    yes: YesOption = False,
    fingerprint: FingerprintOption = "",
    format: FormatOption = Format.table,
) -> None:
    """Write the plan to an instance by its Table API: what it lacks is made, and nothing else is touched.

    A dry run, unless --write is given. A record that spokekit did not make is only changed where each difference was
    confirmed with --update. Never a secret: it and Get OAuth Token come last, by hand. The exit code is 3 when it
    stopped early; `handover resume` goes on.
    """
    if plan_file is not None and (connection or app_id):
        raise InputError(
            "A plan from a folder and options that make one exclude each other.",
            field="plan",
            hint="Give --plan, or --connection and --app-id.",
        )
    hand_over = _open(instance, client_id, client_secret_file, api_key_file, session_file)
    if plan_file is not None:
        from spokekit.handover import read_plan

        made = read_plan(plan_file)
    else:
        made = hand_over.plan(connection or (), app_id, grant)
    changes = hand_over.preview(made, update=update or (), groups=groups, groups_table=groups_table)
    _carry_out(hand_over, changes, write=write, yes=yes, fingerprint=fingerprint, format=format)


@app.command()
def resume(
    instance: InstanceOption,
    apply_id: ApplyArgument = None,
    client_id: ClientIdOption = "",
    client_secret_file: SecretOption = "",
    api_key_file: ApiKeyOption = "",
    session_file: SessionOption = "",
    write: WriteOption = False,
    yes: YesOption = False,
    format: FormatOption = Format.table,
) -> None:
    """Go on with an apply that was killed or stopped (the latest, without an id); a dry run, unless --write is given.

    What may have been written already is looked for first, so that nothing is made twice.
    """
    hand_over = _open(instance, client_id, client_secret_file, api_key_file, session_file)
    for words in hand_over.take_in():
        say(words)
    changes = hand_over.preview_resume(apply_id)
    _carry_out(hand_over, changes, write=write, yes=yes, format=format)


@app.command()
def undo(
    instance: InstanceOption,
    apply_id: ApplyArgument = None,
    client_id: ClientIdOption = "",
    client_secret_file: SecretOption = "",
    api_key_file: ApiKeyOption = "",
    session_file: SessionOption = "",
    write: WriteOption = False,
    yes: YesOption = False,
    format: FormatOption = Format.table,
) -> None:
    """Take an apply back (the last one, without an id), less what others have changed or used since.

    A dry run, unless --write is given. Only what spokekit made is deleted, as it was left.
    """
    hand_over = _open(instance, client_id, client_secret_file, api_key_file, session_file)
    _carry_out(hand_over, hand_over.preview_undo(apply_id), write=write, yes=yes, format=format)


@app.command()
def drop(
    instance: InstanceOption,
    apply_id: ApplyArgument = None,
    client_id: ClientIdOption = "",
    client_secret_file: SecretOption = "",
    api_key_file: ApiKeyOption = "",
    session_file: SessionOption = "",
) -> None:
    """Do not go on with an apply that is not finished (the latest, without an id); what it did can still be undone."""
    hand_over = _open(instance, client_id, client_secret_file, api_key_file, session_file)
    state = hand_over.drop(apply_id)
    say(f"{state.message} Undo what was done: spokekit handover undo --instance {instance} {state.apply_id[:8]}")


@app.command()
def journal(apply_id: ApplyArgument = None, format: FormatOption = Format.table) -> None:
    """List what was written to instances: every entry, or those of one apply."""
    from spokekit.groups import journal_copy
    from spokekit.handover import entries
    from spokekit.handover.steps import RECORDS

    for file in journal_copy.files(workspace().store, RECORDS):
        say(f"Not in the journal, which was lost meanwhile: an apply kept in {file}; `handover resume` takes it in.")
    emit(entries(workspace().store, apply_id), format, empty="Nothing was written to an instance yet.")


# ------------------------------------------------------------------------------------------------- inside


def _checked(address: str) -> str:
    """Return the instance's address; raises `Conflict` for one that a lesson has nothing to do with."""
    from spokekit._surroundings import is_loopback
    from spokekit.connections.fields import host_of
    from spokekit.handover.client import check_address
    from spokekit.training.attempts import INSTANCE_KEY, in_an_attempt

    checked = check_address(address)
    if in_an_attempt() and not is_loopback(host_of(checked)):
        raise Conflict(
            "This is a lesson's home, and a lesson reaches its practice instance only.",
            hint=f"Its address was said when the lesson began, and its key is in {home() / INSTANCE_KEY}. For your own "
            "instance, take SPOKEKIT_HOME away.",
        )
    return checked


def _open(address: str, client_id: str, secret: str, api_key: str, session: str) -> HandOver:
    from spokekit.handover import HandOver

    # The address first, so that nobody types a secret for nothing.
    checked = _checked(address)
    return HandOver(workspace().store, checked, _sign_in(client_id, secret, api_key, session))


def _carry_out(
    hand_over: HandOver,
    changes: Changes,
    *,
    write: bool,
    yes: bool,
    format: Format,
    fingerprint: str = "",
) -> None:
    """Show a preview, and write it where that was asked for."""
    if fingerprint and not changes.fingerprint.startswith(fingerprint.strip().lower()):
        for line in changes.lines:
            say(line)
        raise PlanError(
            "The preview has another fingerprint than the one given.",
            likely="The instance or the plan was changed since it was looked at.",
            hint="Look at what is shown now, then give its fingerprint.",
        )
    if not write or not changes.planned:
        emit(changes.frame, format)
    elif format is Format.table:
        for step in changes.planned:
            say(f"  {step.action} {step.what} {step.cells()['column']}".rstrip())
    for line in changes.lines:
        say(line)
    if not changes.planned:
        return
    if not write:
        say("Nothing was written: a dry run. Repeat with --write to write it.")
        return
    words = changes.confirmation
    typed = words if yes else typed_words(words, "--yes")
    with interruptible("; spokekit handover resume then settles it") as cancel:
        result = hand_over.apply(changes, confirm=typed, progress=listener(), cancel=cancel)
    emit(result.frame, format)
    say(result.words)
    if result.apply_id:
        say(
            f"In the journal as {result.apply_id}. Undo: spokekit handover undo {result.apply_id[:8]} "
            f"--instance {hand_over.address}"
        )
    if result.stopped or not result.finished:
        raise typer.Exit(INCOMPLETE)


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
