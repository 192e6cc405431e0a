"""A real JupyterHub with its proxy, configured by the lines that its page of the documentation shows, and its people.

Each person has a client of their own, with the cookies of their own sign-in, and goes through the hub's proxy as a
browser does. The people are no users of the system: what differs from the page is in `_AROUND`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
import websocket

from tests.browser.jupyterlab_page import TIED
from tests.oauth.support import free_port

HOWTO = Path(__file__).parents[2] / "notebooks" / "docs" / "howto" / "hub.md"
PROXY = "configurable-http-proxy"
_KEY = "the-key-of-the-tests-at-this-hub"

# One host, people without a system's account, and ports that are free. The hub knows the address at which it is
# reached, as in the page, and that is this one.
_AROUND = """
import os
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/{{username}}"
c.Spawner.environment = {{**c.Spawner.environment, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}}
c.Spawner.args = [*c.Spawner.args, *(["--allow-root"] if os.geteuid() == 0 else [])]
c.JupyterHub.bind_url = c.JupyterHub.public_url = "{base}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{inside}/"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.services = [{{"name": "tests", "api_token": "{key}"}}]
c.JupyterHub.load_roles = [{{"name": "tests", "scopes": ["admin:servers"], "services": ["tests"]}}]
"""


def documented(board: str, code: str) -> str:
    """Return the lines of a hub's configuration that the documentation shows, with the class that there is here."""
    blocks = re.findall(r"^```python\n(.*?)^```", HOWTO.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(block for block in blocks if block.startswith("c."))
    for shown, here in (("https://class.example.com", board), ("ABC234", code)):
        assert lines.count(shown) == 1
        lines = lines.replace(shown, here)
    return lines


@dataclass
class Hub:
    base: str
    folder: Path
    log: Path

    @contextmanager
    def person(self, name: str) -> Iterator[Person]:
        """Sign somebody in; the hub begins to start a server for them."""
        with httpx2.Client(base_url=self.base, follow_redirects=True, timeout=60) as client:
            client.get("/hub/login")
            mark = client.cookies.get("_xsrf", path="/hub/")
            page = client.post("/hub/login", data={"username": name, "password": "any", "_xsrf": mark})
            assert f"/hub/spawn-pending/{name}" in str(page.url), page.text[-2000:]
            yield Person(name, client, self)

    def stop(self, name: str) -> int:
        """Stop somebody's server; 204 says that it has stopped, 202 that it is slow."""
        key = {"Authorization": f"token {_KEY}"}
        return httpx2.delete(f"{self.base}/hub/api/users/{name}/server", headers=key, timeout=60).status_code


@dataclass
class Person:
    name: str
    client: httpx2.Client
    hub: Hub

    @property
    def home(self) -> Path:
        return self.hub.folder / self.name

    def at(self, path: str) -> str:
        return f"/user/{self.name}/{path}"

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self.client.get(self.at(path), **more)

    def arrive(self) -> httpx2.Response:
        """Wait until the server is there, and return the page to which the hub leads."""
        deadline = time.monotonic() + 60
        while "/hub/" in str((page := self.get("")).url):
            assert time.monotonic() < deadline, self.hub.log.read_text()[-4000:]
            time.sleep(0.1)
        return page

    def kernel(self, notebook: str) -> Kernel:
        """Start the kernel of a notebook, as JupyterLab does when it is opened."""
        about = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}}
        mark = {"X-XSRFToken": self.client.cookies.get("_xsrf", path=self.at(""))}
        made = self.client.post(self.at("api/sessions"), json=about, headers=mark)
        assert made.status_code == 201, made.text
        cookies = "; ".join(f"{c.name}={c.value}" for c in self.client.cookies.jar if c.path in ("/", self.at("")))
        where = f"{self.hub.base.replace('http', 'ws', 1)}{self.at('api/kernels')}/{made.json()['kernel']['id']}"
        return Kernel(websocket.create_connection(f"{where}/channels", cookie=cookies, timeout=60))


@dataclass
class Kernel:
    socket: websocket.WebSocket

    def run(self, code: str) -> str:
        """Run a cell and return what it printed; an error in it is one here."""
        number, said = uuid.uuid4().hex, ""
        head = {"msg_id": number, "msg_type": "execute_request", "username": "", "session": number, "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "user_expressions": {}}
        message = {"header": head, "parent_header": {}, "metadata": {}, "channel": "shell", "content": content}
        self.socket.send(json.dumps(message))
        while True:
            told = json.loads(self.socket.recv())
            if told["parent_header"].get("msg_id") != number:
                continue
            kind, content = told["msg_type"], told["content"]
            if kind == "stream":
                said += content["text"]
            assert kind != "error", "\n".join(content["traceback"])
            if kind == "status" and content["execution_state"] == "idle":
                return said

    def told(self, expression: str) -> Any:
        """Return what an expression is in the kernel, as far as JSON knows it."""
        return json.loads(self.run(f"import json; print(json.dumps({expression}))"))

    def close(self) -> None:
        self.socket.close()


@contextmanager
def running_hub(folder: Path, board: str, code: str) -> Iterator[Hub]:
    """Run a hub as documented; skips where its proxy is not installed."""
    if shutil.which(PROXY) is None:
        pytest.skip(f"{PROXY} is not on the path: npm install --prefix FOLDER {PROXY}, then FOLDER/node_modules/.bin")
    base = f"http://127.0.0.1:{free_port()}"
    around = _AROUND.format(folder=folder, base=base, inside=free_port(), api=free_port(), key=_KEY)
    (folder / "jupyterhub_config.py").write_text(documented(board, code) + around)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "SPOKEKIT_", "CONFIGPROXY_"))}
    env |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}", "HOME": str(folder)}
    log = folder / "hub.log"
    with log.open("wb") as out:
        hub = subprocess.Popen(
            [sys.executable, "-c", TIED, "-m", "jupyterhub"], cwd=folder, env=env, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + 60
        while "JupyterHub is now running" not in log.read_text():
            assert hub.poll() is None and time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(0.05)
        yield Hub(base, folder, log)
    finally:
        _end(hub)


def _end(hub: subprocess.Popen[bytes]) -> None:
    """End the hub, and see that nothing is left that it started."""
    children = psutil.Process(hub.pid).children(recursive=True) if hub.poll() is None else []
    hub.send_signal(signal.SIGTERM)
    try:
        hub.wait(30)
    except subprocess.TimeoutExpired:
        hub.kill()
        hub.wait(5)
    for child in psutil.wait_procs(children, timeout=10)[1]:
        child.kill()
