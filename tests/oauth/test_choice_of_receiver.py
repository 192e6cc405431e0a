"""Which receiver is chosen where, and that the reason is said in words."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from spokekit.oauth.receivers import choose_receiver, make_receiver, own_callback_page, propose_redirect_uri
from tests.oauth.support import free_port

HUB = {"JUPYTERHUB_USER": "ann", "JUPYTERHUB_SERVICE_PREFIX": "/user/ann/"}
SERVICENOW = "https://example.service-now.com/oauth_redirect.do"
OWN = "http://localhost:8888/user/ann/spokekit/oauth/callback"


@pytest.fixture
def loopback() -> str:
    return f"http://localhost:{free_port()}/callback"


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder in which a server with process id 7 stands."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "spokekit-oauth").mkdir()
    return tmp_path


def server(
    folder: Path, *, url: str = "http://localhost:8888/", base_url: str = "/", extension: bool = False
) -> dict[str, str]:
    (folder / "jpserver-7.json").write_text(json.dumps({"url": url, "base_url": base_url, "pid": 7, "token": "x"}))
    if extension:
        (folder / "spokekit-oauth" / "server-7.json").write_text("{}")
    return {"JPY_PARENT_PID": "7"}


@pytest.mark.parametrize(
    ("environ", "name", "words"),
    [
        ({}, "loopback", "A listener waits on port"),
        (HUB, "paste", "JupyterHub"),
        (HUB | {"BINDER_SERVICE_HOST": "10.0.0.1"}, "paste", "Binder"),
        ({"BINDER_LAUNCH_HOST": "https://mybinder.org/"}, "paste", "Binder"),
        ({"CODESPACES": "true"}, "paste", "codespace"),
        ({"COLAB_RELEASE_TAG": "x"}, "paste", "hosted notebook"),
        ({"SERVER_SOFTWARE": "voila/0.5.13"}, "paste", "Voilà"),
        ({"SSH_CONNECTION": "1 2 3 4"}, "paste", "SSH"),
        ({"SSH_CONNECTION": "1 2 3 4", "VSCODE_PID": "5"}, "paste", "SSH from VS Code"),
        ({"VSCODE_PID": "5"}, "loopback", "A listener waits"),
        ({"VSCODE_AGENT_FOLDER": "/x"}, "paste", "remote window of VS Code"),
        ({"JPY_PARENT_PID": "not a number"}, "loopback", "A listener waits"),
    ],
)
def test_by_the_place(environ: dict[str, str], name: str, words: str, loopback: str) -> None:
    receiver, reason = choose_receiver(loopback, environ=environ)
    assert receiver.name == name and words in reason
    assert receiver.redirect_uri == loopback, "what is sent is what is shown, to the letter"
    if name == "paste":
        assert "will not load; that is expected: paste its address" in reason


def test_by_the_jupyter_server(jupyter: Path, loopback: str) -> None:
    local = server(jupyter)
    assert choose_receiver(loopback, environ=local)[0].name == "loopback"
    receiver, reason = choose_receiver(OWN, environ=local)
    assert receiver.name == "paste" and "extension is not running" in reason
    receiver, reason = choose_receiver(OWN, environ=server(jupyter, extension=True))
    assert receiver.name == "extension" and receiver.redirect_uri == OWN
    receiver, reason = choose_receiver(loopback, environ=server(jupyter, url="http://workstation:8888/"))
    assert receiver.name == "paste" and "open to other machines" in reason
    assert choose_receiver(OWN, environ={})[0].name == "paste"
    (jupyter / "jpserver-7.json").write_text("half a fi")
    assert choose_receiver(OWN, environ=local)[0].name == "paste"


def test_by_the_redirect_uri_and_the_port(loopback: str) -> None:
    receiver, reason = choose_receiver(SERVICENOW, environ={})
    assert receiver.name == "paste" and "does not lead to this computer" in reason
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"http://localhost:{taken.getsockname()[1]}/callback"
        receiver, reason = choose_receiver(address, environ={})
        assert receiver.name == "paste" and "is used by another" in reason
    assert make_receiver("paste", loopback).redirect_uri == loopback


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "http://localhost:8751/callback"),
        (HUB, "http://localhost:8751/callback"),
        (HUB | {"JUPYTERHUB_PUBLIC_URL": "https://hub.example/user/ann/"},
         "https://hub.example/user/ann/spokekit/oauth/callback"),
        (HUB | {"JUPYTERHUB_PUBLIC_URL": "http://hub.example/user/ann/"}, "http://localhost:8751/callback"),
        (HUB | {"JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example/hub/"},
         "https://hub.example/hub/user-redirect/spokekit/oauth/callback"),
        # What passes the hub's own address is written, code included, into the hub's log.
        (HUB | {"JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example/hub/",
                "JUPYTERHUB_PUBLIC_URL": "https://hub.example/user/ann/"},
         "https://hub.example/user/ann/spokekit/oauth/callback"),
        (HUB | {"JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example/hub/", "BINDER_LAUNCH_HOST": "x"},
         "http://localhost:8751/callback"),
    ],
)  # fmt: skip
def test_the_address_that_is_proposed(jupyter: Path, environ: dict[str, str], expected: str) -> None:
    address, reason = propose_redirect_uri(environ | server(jupyter, extension=True))
    assert address == expected and reason


def test_a_hub_that_tells_no_address_is_asked_for_it_in_the_browser(jupyter: Path) -> None:
    # JupyterHub sets both variables to nothing unless its administrator names the public address.
    silent = HUB | {"JUPYTERHUB_PUBLIC_URL": "", "JUPYTERHUB_PUBLIC_HUB_URL": ""}
    here = silent | server(jupyter, extension=True, base_url="/user/ann/")
    address, reason = propose_redirect_uri(here)
    assert address == "http://localhost:8751/callback" and "paste its address" in reason
    assert own_callback_page(here) == "/user/ann/spokekit/oauth/start"
    assert own_callback_page(silent) is None, "without the extension it would be not found"
