"""``spokekit practice``: serve a practice site until interrupted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from spokekit.cli._class import CodeOption, JoinOption, NameOption, class_beside
from spokekit.cli._output import out, say
from spokekit.cli._practice_home import practice_salt, practice_surroundings
from spokekit.cli._signals import asked_to_stop
from spokekit.errors import InputError

if TYPE_CHECKING:
    from spokekit.practice import PracticeInstance, PracticeSite

app = typer.Typer(add_completion=False)


# What stands behind the command's name is the command's own, options and all.
@app.command(context_settings={"allow_interspersed_args": False})
def practice(
    command: Annotated[
        list[str] | None,
        typer.Argument(help="A command to run beside the site, which is named to it in SPOKEKIT_PRACTICE."),
    ] = None,
    *,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 for a free one.")] = 0,
    size: Annotated[str, typer.Option("--size", help="class, S, M, L, XL, MAX, or e.g. 2000x100.")] = "class",
    seed: Annotated[int, typer.Option("--seed", help="Decides names and ids; the same seed, the same world.")] = 1,
    latency_ms: Annotated[
        float, typer.Option("--latency-ms", min=0, help="Milliseconds that each answer is held back.")
    ] = 0,
    sites: Annotated[int, typer.Option("--sites", min=1, max=50, help="How many sites the account reaches.")] = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse unknown query parameters.")] = False,
    signed_in: Annotated[
        str, typer.Option("--signed-in", help="Who consents: admin, member, guest or outsider.")
    ] = "admin",
    redirect_uri: Annotated[
        list[str] | None, typer.Option("--redirect-uri", help="Callback URL of the apps; may be repeated.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option("--fault", help="NAME or NAME:ARGUMENT; may be repeated. `--fault list` shows the menu."),
    ] = None,
    switch: Annotated[
        list[str] | None, typer.Option("--switch", help="NAME=VALUE for an unknown behaviour; may be repeated.")
    ] = None,
    instance: Annotated[
        bool, typer.Option("--instance", help="A practice instance of ServiceNow instead, with --port and --fault.")
    ] = False,
    load: Annotated[
        str, typer.Option("--import", metavar="FOLDER", help="With --instance: XML files to import at the start.")
    ] = "",
    join: JoinOption = "",
    code: CodeOption = "",
    name: NameOption = "",
) -> None:
    """Serve a practice site that behaves like Atlassian, until interrupted.

    Prints one line of JSON with its address, a client id and secret, the callback URLs and the sites. Its developer
    console opens by the link that is said beside it. With a command (a person's Jupyter server on a hub), the site is
    there for it alone and stops with it, the exit code is the command's, and what is done on the site is kept in a
    home of its own until the next day, as with `spokekit lab`.

    With --instance it is an instance that answers like ServiceNow's Table API, for what a hand-over writes.
    """
    if instance or load:
        _instance(port, fault or [], load, others=bool(command or switch or join))
        return
    from spokekit.oauth.receivers import LOOPBACK_REDIRECT, own_callback
    from spokekit.practice import FAULTS, PracticeSite

    if fault and "list" in fault:
        _menu(FAULTS)
        return
    own = own_callback()
    # Beside a person's server on a hub, the address at which that server takes the redirect is registered too.
    redirects = redirect_uri or [LOOPBACK_REDIRECT, *([own] if own else [])]
    options: dict[str, Any] = {
        "size": size,
        "seed": seed,
        "sites": sites,
        "port": port,
        "latency_ms": latency_ms,
        "strict": strict,
        "signed_in": signed_in,
        "faults": fault or [],
        "redirect_uris": redirects,
        **_switches(switch or []),
    }
    if command:
        _beside(command, options, (join, code, name))
    if join:
        raise InputError(
            "A class is joined beside a command, whose records are kept.",
            field="--join",
            hint="spokekit practice --join ADDRESS --code CODE bash, for example; or spokekit lab --join ADDRESS.",
        )
    _serve(PracticeSite(salt=practice_salt(), **options), "Practice site", "developer console")


def _menu(faults: Mapping[str, str]) -> None:
    for name, words in faults.items():
        out(f"{name:20} {words}")


def _serve(made: PracticeSite | PracticeInstance, kind: str, page: str) -> None:
    stopped = asked_to_stop()
    with made:
        out(json.dumps(made.describe()))
        say(f"{kind} on {made.url}. Stop it with Ctrl-C. Its {page}, by a link that works once:")
        say(made.page())
        stopped.wait()


def _instance(port: int, faults: list[str], load: str, *, others: bool) -> None:
    from spokekit.practice import PracticeInstance
    from spokekit.practice.instance import FAULTS

    if "list" in faults:
        _menu(FAULTS)
        return
    if others:
        raise InputError(
            "A practice instance takes no command beside it and no switch.",
            field="instance",
            hint="Start it alone with --instance; in a test, PracticeInstance has switches.",
        )
    made = PracticeInstance(port=port, faults=faults)
    if load:
        made.import_folder(load)
    _serve(made, "Practice instance", "records")


def _beside(command: list[str], options: dict[str, Any], of_class: tuple[str, str, str]) -> NoReturn:
    """Run `command` beside a practice site that ends with it.

    The command takes this process's place, so whoever watches or ends this process watches and ends the command, and
    the site, a child on a pipe, ends with it however it ends.
    """
    program = shutil.which(command[0])
    if program is None:
        raise InputError(f"There is no program {command[0]!r} on the path.", field="command")
    with practice_surroundings(more_homes=True, **options) as site:
        say(f"Practice site on {site['url']}; records: {os.environ.get('SPOKEKIT_HOME') or 'in memory only'}")
        class_beside(*of_class)
        sys.stdout.flush()
        sys.stderr.flush()
        if os.name == "nt":  # there a program that takes a process's place loses its children and its exit code
            raise typer.Exit(subprocess.call([program, *command[1:]]))  # noqa: S603 - the person's own command
        os.execv(program, command)  # noqa: S606 - the person's own command, no shell


def _switches(texts: list[str]) -> dict[str, Any]:
    from spokekit.practice import Switches

    defaults = Switches()
    known = {field.name for field in fields(Switches)}
    values: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or name not in known:
            raise InputError(
                f"{text!r} is no switch of the practice site.",
                field="switch",
                hint=f"Write NAME=VALUE; the names are {', '.join(sorted(known))}.",
            )
        values[name] = _value(name, value.strip(), getattr(defaults, name))
    return values


def _value(name: str, text: str, default: Any) -> Any:
    if text.lower() in ("none", ""):
        return None
    if isinstance(default, bool):
        if text.lower() not in ("true", "false", "yes", "no"):
            raise InputError(f"The switch {name} is true or false, not {text!r}.", field="switch")
        return text.lower() in ("true", "yes")
    if isinstance(default, str):
        return text
    try:
        return float(text) if isinstance(default, float) else int(text)
    except ValueError:
        raise InputError(f"The switch {name} is a number, not {text!r}.", field="switch") from None
