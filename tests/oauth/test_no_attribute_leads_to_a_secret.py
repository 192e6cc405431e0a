"""What a debugger's variables view, an inspector or a walk over attributes finds: no secret in clear, anywhere."""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
import gc
import importlib
import inspect
import io
import json
import logging
import pickle
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.practice import PracticeSite
from tests.conftest import connect

PLANTED = "planted-in-clear-4711"

# What holds this test's own variables, what belongs to the class and not to the object, and the other side of the wire.
_LEFT_OUT = (type, types.ModuleType, types.FrameType, types.TracebackType, types.CodeType, logging.Logger)
# The cache of such a function (`urlsplit` has one, and this test asks it) is no attribute of anything.
_LEFT_OUT += (functools._lru_cache_wrapper,)


def _texts(thing: Any) -> str | None:
    if isinstance(thing, bytes | bytearray | memoryview):
        return bytes(thing).decode("latin-1")
    return str.__str__(thing) if isinstance(thing, str) else None


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """Name everything that one step leads to: attributes, properties, slots, items, closures, what a weakref names."""
    if isinstance(thing, types.FunctionType):
        yield from ((f"<cell {cell!r:.30}>", cell) for cell in thing.__closure__ or ())
        yield from (("<default>", value) for value in thing.__defaults__ or ())
        return
    if isinstance(thing, weakref.ref):
        yield "()", thing()
    yield from ((f"<{number}>", one) for number, one in enumerate(gc.get_referents(thing)))
    if type(thing).__module__.partition(".")[0] in ("spokekit", "httpx2"):
        for name in dir(thing):
            try:
                yield f".{name}", getattr(thing, name)
            except Exception:  # noqa: BLE001 - some attributes exist only later
                continue


def found_from(roots: Iterable[tuple[str, Any]], secrets: Iterable[str]) -> list[str]:
    """Return the ways on which a secret is reached from `roots`."""
    secrets = tuple(secrets)
    waiting = collections.deque(roots)
    seen: dict[int, Any] = {}
    found = []
    while waiting:
        way, thing = waiting.popleft()
        if id(thing) in seen or isinstance(thing, _LEFT_OUT):
            continue
        if type(thing).__module__.startswith(("spokekit.practice", "tests.contract", "_pytest")):
            continue
        seen[id(thing)] = thing
        text = _texts(thing)
        if text is not None:
            found += [way for secret in secrets if secret in text]
            continue
        waiting.extend((way + step, one) for step, one in _parts(thing))
    return found


def test_the_walk_itself_finds_what_lies_in_the_open() -> None:
    @dataclasses.dataclass(slots=True)
    class Open:
        inner: Any

    def closed(value: str) -> Any:
        return lambda: value

    for holder in (Open({"a": [PLANTED]}), closed(PLANTED), closed(Open(PLANTED.encode()))):  # type: ignore[arg-type]
        assert found_from([("x", holder)], [PLANTED])


def test_no_inspector_shows_a_secret() -> None:
    import rich
    from IPython.core.interactiveshell import InteractiveShell
    from rich.console import Console

    secret = Secret(PLANTED)

    @dataclasses.dataclass
    class Holder:
        it: Secret

    console = Console(file=io.StringIO(), width=200)
    for one in (secret, Holder(secret), {"it": secret}):
        rich.inspect(one, all=True, console=console)
    shell = InteractiveShell(user_ns={"secret": secret})
    shown = [
        console.file.getvalue(),  # type: ignore[attr-defined]
        repr(inspect.getmembers(secret)),
        repr(inspect.getmembers_static(secret)),
        repr(dataclasses.asdict(Holder(secret))),
        repr([getattr(secret, name) for name in dir(secret)]),
        repr([getattr(secret, f"_Secret{name}", None) for name in Secret.__slots__]),
        repr(object.__getstate__(secret)),  # type: ignore[attr-defined]
        str(shell.inspector.info(secret, detail_level=2)),
    ]
    assert not [text for text in shown if PLANTED in text]
    assert not found_from([("secret", secret), ("module", vars(sys.modules["spokekit._secret"]))], [PLANTED])
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for write in (lambda: pickle.dumps(secret, protocol), lambda: object.__reduce_ex__(secret, protocol)):  # noqa: B023
            with pytest.raises(TypeError, match="secret"):
                write()
    assert copy.copy(secret) is secret is copy.deepcopy(secret)


def test_the_debugger_shows_none() -> None:
    """What debugpy's variables view asks of an object: each name, its value and its repr, one level after another."""
    pytest.importorskip("debugpy")
    import debugpy

    vendored = str(Path(debugpy.__file__).parent / "_vendored" / "pydevd")
    code = (
        f"import sys; sys.path.insert(0, {vendored!r})\n"
        "from _pydevd_bundle.pydevd_resolver import DefaultResolver\n"
        "from spokekit._secret import Secret\n"
        f"secret = Secret({PLANTED!r})\n"
        "for one in DefaultResolver().get_contents_debug_adapter_protocol(secret): print(one)\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "frozen_modules=off", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert "reveal" in done.stdout, done.stderr
    assert PLANTED not in done.stdout


_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)


@given(_TEXT, _TEXT)
def test_a_secret_is_exactly_what_was_put_in(one: str, other: str) -> None:
    assert Secret(one).reveal() == one
    assert (Secret(one) == Secret(other)) is (one == other)
    assert (Secret(one) != Secret(other)) is (one != other)
    assert hash(Secret(one)) == hash(Secret(one))
    assert len({Secret(one), Secret(other), Secret(one)}) == len({one, other})
    assert bool(Secret(one)) is bool(one)
    assert Secret(one) != one


def test_it_lives_as_long_as_its_object_in_threads_and_when_its_module_is_loaded_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = Secret(PLANTED)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: (n, Secret(f"{PLANTED}-{n}")), range(500)))
        assert list(pool.map(lambda pair: pair[1].reveal() == f"{PLANTED}-{pair[0]}", made)) == [True] * 500
    del made
    gc.collect()
    watched = weakref.ref(made_here := Secret("x"))
    del made_here
    assert watched() is None
    module = sys.modules["spokekit._secret"]
    kept = dict(vars(module))
    try:
        importlib.reload(module)
        assert module.Secret is not Secret
        assert secret.reveal() == PLANTED
    finally:
        vars(module).update(kept)


def test_a_forked_child_opens_what_its_parent_made() -> None:
    code = (
        "import os\nfrom spokekit._secret import Secret\n"
        f"secret = Secret({PLANTED!r})\nchild = os.fork()\n"
        f"if child == 0: os._exit(0 if secret.reveal() == {PLANTED!r} and secret == Secret({PLANTED!r}) else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def _public(workspace: Workspace) -> list[tuple[str, Any]]:
    roots: list[tuple[str, Any]] = [("workspace", workspace), ("connection", workspace.connection())]
    for name, module in list(sys.modules.items()):
        if name.startswith("spokekit") and not name.startswith("spokekit.practice"):
            roots += [(f"{name}.{key}", value) for key, value in vars(module).items() if not key.startswith("__")]
    return roots


def test_after_a_consent_nothing_that_a_person_holds_leads_to_a_secret(
    workspace: Workspace, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spokekit._home import home
    from spokekit.confluence import RetryPolicy, Spoke
    from spokekit.errors import SpokekitError
    from spokekit.oauth.endpoint import Endpoint
    from spokekit.widgets import ConnectionForm, ConnectionsPanel, GroupPicker, Guide
    from spokekit.widgets.token_button import TokenButton

    secrets = {site.client_secret}
    # What the spy below notes must not lie in the open itself.
    given: list[Secret] = []
    redeem = Endpoint.redeem

    def noted(self: Endpoint, code: Secret, *more: Any) -> Any:
        answer = redeem(self, code, *more)
        given.extend((code, answer.access_token, answer.refresh_token or Secret("")))
        return answer

    monkeypatch.setattr(Endpoint, "redeem", noted)
    saved = connect(workspace, site)
    workspace.tokens.forget(saved)
    button = TokenButton(workspace=workspace)
    button.way.value = "paste"
    button.get()
    while not button.waiting:
        threading.Event().wait(0.01)
    assert button.address is not None
    state = parse_qs(urlsplit(button.address.reveal()).query)["state"][0]
    callback = site.play_browser(button.address.reveal())
    # While it waits: the address, the state and the client secret are all in somebody's hands.
    assert not found_from([("button", button), *_public(workspace)], (*secrets, state))
    button.pasted.put(Secret(callback))
    button.settled(10)
    assert button.token_status.state == "valid" and all(given) and len(given) == 3
    secrets |= {one.reveal() for one in given} | {state, workspace.tokens.access_token(workspace.connection()).reveal()}
    secrets |= {entry["key"] for entry in json.loads((home() / "vault.json").read_text())["keys"]}
    connection = workspace.connection()
    spoke = Spoke(connection, workspace.tokens.source(connection), retry=RetryPolicy(retries=0))
    frame = spoke.look_up_groups()
    site.advance(4000)
    secrets.add(workspace.tokens.access_token(workspace.connection()).reveal())
    errors = []
    for fault in ("reset:1", "html-200:1", "401-always"):
        site.faults.add(fault)
        try:
            spoke.look_up_members_by_group_id("0815")
        except SpokekitError as error:
            errors.append(error)
        site.faults.clear()
    components = [kind(workspace=workspace) for kind in (ConnectionForm, ConnectionsPanel, GroupPicker, Guide)]
    assert len(errors) == 3
    things = {"button": button, "spoke": spoke, "frame": frame, "errors": errors, "components": components}
    found = found_from([*things.items(), *_public(workspace)], secrets)
    spoke.close()
    assert not found
