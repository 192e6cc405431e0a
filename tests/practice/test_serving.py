"""Starting and stopping: in process, as a command, side by side, and with a defect of our own."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import httpx2
import pytest

from spokekit.errors import InputError
from spokekit.practice import FAULTS, PracticeSite
from tests.practice.support import Api, authorize_url, key_of

COMMAND = [sys.executable, "-c", "from spokekit.cli import main; main()", "practice"]


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[bytes], dict]]:
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_one_json_line_and_serves_until_interrupted(number: signal.Signals) -> None:
    with running(
        "--sites", "2", "--redirect-uri", "http://localhost:7/x", "--switch", "page_cap=5", "--fault", "503:2@current"
    ) as (
        process,
        said,
    ):
        assert set(said) == {"url", "auth_url", "client_id", "client_secret", "redirect_uris", "key", "sites"}
        key = {"X-Practice-Key": said["key"]}
        assert said["redirect_uris"] == ["http://localhost:7/x"] and len(said["sites"]) == 2
        assert set(said["sites"][0]) == {"cloud_id", "name", "url"}
        assert httpx2.get(f"{said['url']}console", headers=key).status_code == 200
        assert httpx2.get(f"{said['url']}practice/faults", headers=key).json()["active"][0]["name"] == "503"
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out) == (0, b"")
        assert b"Traceback" not in err and said["client_secret"].encode() not in err


def test_beside_a_server_on_a_hub_its_callback_address_is_registered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ann/")
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_URL", "https://hub.example/user/ann/")
    with running() as (_, said):
        own = "https://hub.example/user/ann/spokekit/oauth/callback"
        assert said["redirect_uris"] == ["http://localhost:8751/callback", own]


def wait_until_gone(url: str) -> None:
    """Wait until nothing answers at an address; the test's own time limit ends it."""
    while True:
        try:
            httpx2.get(url, timeout=5)
        except httpx2.ConnectError:
            return
        except httpx2.HTTPError:
            pass
        time.sleep(0.05)


def test_a_command_runs_beside_the_site_and_takes_it_along() -> None:
    code = (
        "import json, os, sys, time, urllib.request\n"
        "told = json.loads(os.environ['SPOKEKIT_PRACTICE'])\n"
        "url, key = told['url'], {'X-Practice-Key': told['key']}\n"
        "asked = urllib.request.Request(url + 'console', headers=key)\n"
        "print(url, urllib.request.urlopen(asked).status, *sys.argv[1:], flush=True)\n"
        "time.sleep(0 if '--end' in sys.argv else 60)\n"
        "sys.exit(7)\n"
    )
    options = ["--seed", "3", sys.executable, "-c", code]
    done = subprocess.run([*COMMAND, *options, "--end", "--port", "1"], capture_output=True, text=True, timeout=30)
    url, *rest = done.stdout.split()
    assert (done.returncode, rest) == (7, ["200", "--end", "--port", "1"]), "the rest is the command's own"
    wait_until_gone(url)
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and "200" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM, "the command stands in the place of the one that was started"
    missing = subprocess.run([*COMMAND, "no-such-program"], capture_output=True, text=True, timeout=30)
    assert missing.returncode == 1 and "no-such-program" in missing.stderr


def test_the_command_shows_the_menu_of_faults() -> None:
    shown = subprocess.run([*COMMAND, "--fault", "list"], capture_output=True, text=True, check=True).stdout
    assert all(name in shown for name in FAULTS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "XXL"], "no practice world of size 'XXL'"),
        (["--switch", "nothing=1"], "no switch of the practice site"),
        (["--switch", "quota=many"], "is a number, not 'many'"),
        (["--switch", "no_resources=perhaps"], "is true or false"),
        (["--fault", "nonsense"], "no fault 'nonsense'"),
        (["--signed-in", "boss"], "role 'boss'"),
    ],
)
def test_the_command_says_what_is_wrong_with_an_option(options: list[str], words: str) -> None:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=20)
    assert done.returncode in (1, 2) and words in done.stderr and done.stdout == "" and "Traceback" not in done.stderr


def test_a_taken_port_is_said() -> None:
    with PracticeSite() as first, pytest.raises(InputError, match=f"cannot use port {first.port}"):
        PracticeSite(port=first.port).start()


def test_a_site_listens_on_this_machine_only_and_gives_its_port_back() -> None:
    with PracticeSite() as site:
        port = site.port
        assert site.url == f"http://127.0.0.1:{port}/" == site.auth_url
        with socket.socket() as probe, pytest.raises(OSError):
            probe.bind(("127.0.0.1", port))
    with PracticeSite(port=port) as again:
        assert again.port == port
    assert "practice-site" not in [thread.name for thread in threading.enumerate()]


def test_the_same_seed_keeps_client_and_secret_for_yesterdays_connection() -> None:
    one, two, other = PracticeSite(), PracticeSite(), PracticeSite(seed=2)
    assert (one.client_id, one.client_secret) == (two.client_id, two.client_secret)
    assert one.client_id != other.client_id and one.client_secret != other.client_secret
    assert one.apps[0].client_secret != one.apps[1].client_secret
    assert PracticeSite(client_id="mine", client_secret="s").client_id == "mine"


def test_a_site_stops_at_once_even_while_it_answers() -> None:
    with PracticeSite(latency_ms=5_000) as site:
        api = Api(site, httpx2.Client())
        got: list[object] = []

        def ask() -> None:
            try:
                got.append(api.v1("/group").status_code)
            except httpx2.HTTPError as problem:
                got.append(type(problem))

        waiting = threading.Thread(target=ask)
        waiting.start()
        while site.in_flight == 0:
            time.sleep(0.005)
        started = time.perf_counter()
    assert time.perf_counter() - started < 3
    waiting.join(5)
    api.http.close()
    assert got and got != [200] and not waiting.is_alive()


def test_observers_see_each_exchange_in_full(serve: Callable[..., Api]) -> None:
    api = serve()
    seen = []
    api.site.observers.append(seen.append)
    api.v1("/group", limit=3)
    (exchange,) = seen
    assert (exchange.method, exchange.name, exchange.status, exchange.query) == ("GET", "groups", 200, "limit=3")
    assert json.loads(exchange.body)["size"] == 3 and exchange.headers["content-type"] == "application/json"
    assert exchange.request_headers["authorization"].startswith("Bearer ")


def test_a_defect_of_the_practice_site_fails_the_test_that_met_it() -> None:
    with pytest.raises(ZeroDivisionError), PracticeSite() as site:
        site.world.group_order = lambda *_: 1 // 0  # type: ignore[method-assign]
        api = Api(site, httpx2.Client())
        with api.http:
            assert api.v1("/group").status_code == 500


def test_what_is_not_there_is_json_and_bodies_are_bounded(serve: Callable[..., Api]) -> None:
    api = serve()
    assert api.http.get(f"{api.site.url}nothing").json() == {"code": 404, "message": "Not Found"}
    assert api.http.get(f"{api.site.url}oauth/token").status_code == 404
    huge = api.http.post(f"{api.site.url}oauth/token", content=b"x" * 5_000_000)
    assert huge.status_code == 400
    key = key_of(api.site)
    # Nothing of what is too long counts, its beginning neither.
    form = urlencode({"client_id": api.site.client_id, "redirect_uris": "http://localhost:9/"}).encode()
    assert (
        api.http.post(f"{api.site.url}console", content=form + b"&x=" + b"x" * 3_000_000, headers=key).status_code
        == 400
    )
    assert api.site.redirect_uris == ("http://localhost:8751/callback",)
    deep = b"[" * 200_000
    as_json = {"Content-Type": "application/json", **api.headers, **key}
    for url in (f"{api.site.url}oauth/token", f"{api.site.url}app/report-accounts/", f"{api.site.url}practice/faults"):
        assert api.http.post(url, content=deep, headers=as_json).status_code == 400
    assert api("POST", "/api/v2/users-bulk", content=deep).status_code == 400
    assert api.v2("/spaces", cursor=base64.urlsafe_b64encode(deep[:40_000]).decode()).status_code == 400
    for cql in ("(" * 20_000, "not " * 10_000 + "type=page"):
        assert api.v1("/search", cql=cql).status_code == 400


def test_half_a_surrogate_pair_is_answered_and_shown(serve: Callable[..., Api]) -> None:
    api = serve()
    half = "half \ud800 pair"
    made = api("POST", "/rest/api/group", content=json.dumps({"name": half}).encode())
    assert made.status_code == 201 and json.loads(made.content)["name"] == half
    api.site.world.rename_person(api.site.account_id, half)
    group = api.site.world.find_group("site-admins").group_id
    bulk = api("POST", "/api/v2/users-bulk", json={"accountIds": [api.site.account_id]})
    me = api.http.get(f"{api.site.url}me", headers=api.headers)
    for answer in (api.v1(f"/group/{group}/membersByGroupId"), api.v1("/user/current"), bulk, me):
        assert answer.status_code == 200 and r"half \ud800 pair" in answer.text
        json.loads(answer.content)
    assert httpx2.get(authorize_url(api.site)).status_code == 200
    for field in ("client_id", "client_secret"):
        body = {"grant_type": "refresh_token", "client_id": api.site.client_id, "client_secret": "x", field: half}
        refused = httpx2.post(f"{api.site.auth_url}oauth/token", content=json.dumps(body).encode())
        assert (refused.status_code, refused.json()["error"]) == (401, "access_denied")


@pytest.mark.parametrize("host", ["practice.example", "127.0.0.1.practice.example:80", "10.0.0.1", "", "[x"])
def test_a_name_that_somebody_points_to_this_computer_gets_nothing(serve: Callable[..., Api], host: str) -> None:
    site = serve().site
    for path in ("console", "authorize", "practice/faults", "me"):
        answer = httpx2.get(site.url + path, headers={"Host": host})
        assert answer.status_code in (400, 403) and site.client_secret not in answer.text


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://elsewhere.example"}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}],
)
def test_a_form_that_another_page_sends_changes_nothing(serve: Callable[..., Api], headers: dict[str, str]) -> None:
    site = serve().site
    before = site.redirect_uris
    form = {"client_id": site.client_id, "redirect_uris": "https://elsewhere.example/"}
    assert httpx2.post(f"{site.url}console", data=form, headers=headers | key_of(site)).status_code == 403
    assert (
        httpx2.post(f"{site.url}practice/faults", json={"add": ["429"]}, headers=headers | key_of(site)).status_code
        == 403
    )
    assert site.redirect_uris == before and not site.faults.active
    own = {"Origin": site.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert httpx2.post(f"{site.url}console", data=form, headers=own | key_of(site)).status_code == 200
    assert site.redirect_uris == ("https://elsewhere.example/",)


def test_the_bare_address_leads_to_the_console() -> None:
    with PracticeSite() as site:
        page = httpx2.get(site.url, follow_redirects=True, headers=key_of(site))
        assert page.status_code == 200 and page.url.path == "/console"
        assert site.client_id in page.text
