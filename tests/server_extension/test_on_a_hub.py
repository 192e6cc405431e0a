"""Two people on one host of a real JupyterHub, configured as the documentation says: each has a day of their own."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from spokekit.board.server import BoardSite
from spokekit.board.wire import Fault
from spokekit.training.desk import Desk
from tests.oauth.support import free_port
from tests.oauth.test_passage import form_of
from tests.server_extension.hub import Hub, Kernel, Person, running_hub

FOLDER, FORM = "spokekit-notebooks", "02-configure-the-connection.ipynb"
LESSON = "consent-is-dead"
PRACTICE = Path(".local", "share", "spokekit", "practice")


@dataclass
class Class:
    """A class whose board is away until it is opened; its address and its code are known before."""

    file: Path
    port: int

    def __post_init__(self) -> None:
        with BoardSite(self.file, class_name="Autumn", port=self.port) as board:
            self.url, self.code = board.url, board.code

    def opened(self) -> BoardSite:
        board = BoardSite(self.file, port=self.port)
        assert (board.url, board.code) == (self.url, self.code)
        return board


@pytest.fixture(scope="module")
def autumn(tmp_path_factory: pytest.TempPathFactory) -> Class:
    return Class(tmp_path_factory.mktemp("board") / "class.sqlite", free_port())


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, autumn: Class) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub"), autumn.url, autumn.code) as running:
        yield running


def test_two_people_on_one_host(hub: Hub, autumn: Class) -> None:
    with ExitStack() as stack:
        # Ben's server comes before the board does; both start at the same time but for that.
        ben = stack.enter_context(hub.person("ben"))
        until(lambda: "not joined" in hub.log.read_text(), hub)
        board = stack.enter_context(autumn.opened())
        ada = stack.enter_context(hub.person("ada"))
        # Each at the same time as the other, as people are.
        threads = stack.enter_context(ThreadPoolExecutor(2))
        days = dict(zip(("ada", "ben"), threads.map(lambda person: has_a_day(person, board), (ada, ben)), strict=True))
        sites = {name: day.site for name, day in days.items()}
        rows = {name: day.row for name, day in days.items()}
        stands_on_the_board(board, hub)
        gets_an_order_alone(board, rows, sites, hub)
        sees_nothing_of(ben, ada, sites["ada"], sites["ben"])
        sees_nothing_of(ada, ben, sites["ben"], sites["ada"])
        stops(ada, sites["ada"])
        assert ben.get("api/status").status_code == 200
        assert board.front.defects == []
    log = hub.log.read_text()
    assert [secret for day in days.values() for secret in day.secrets if secret in log] == []


@dataclass
class Day:
    site: dict[str, Any]
    row: int
    secrets: list[str]


def has_a_day(person: Person, board: BoardSite) -> Day:
    finds_the_notebooks(person)
    with closing(person.kernel(f"{FOLDER}/{FORM}")) as kernel:
        site = json.loads(kernel.told("__import__('os').environ['SPOKEKIT_PRACTICE']"))
        secrets = [site["client_secret"], site["key"], *consents(person, kernel, site)]
        row = is_in_the_class(person, kernel, board)
        does_a_lesson(person, kernel)
    return Day(site, row, secrets)


def until(there: Callable[[], object], hub: Hub) -> None:
    deadline = time.monotonic() + 30
    while not there():
        assert time.monotonic() < deadline, hub.log.read_text()[-4000:]
        time.sleep(0.05)


def is_in_the_class(person: Person, kernel: Kernel, board: BoardSite) -> int:
    """Return the row of somebody who joined by the hub's configuration, or who joins now, in a terminal."""
    if person.name == "ben":
        assert [one.number for one in board.classroom.learners] == [1], "the board was away when this server started"
        said = kernel.run(f"!spokekit lessons join {board.url}")
        assert "Autumn, in which you are" in said, said
    joined = json.loads((person.home / PRACTICE / "lessons" / "class.json").read_text())
    assert joined["pseudonym"] == board.classroom.kept.learners[joined["learner"]].pseudonym
    return int(joined["learner"])


def stands_on_the_board(board: BoardSite, hub: Hub) -> None:
    """See that each row says what its learner did, and nothing of the other's."""
    learners = board.classroom.kept.learners
    assert sorted(learners) == [1, 2]
    for one in learners.values():
        until(lambda one=one: "right" in [noted.outcome for noted in one.noted()], hub)
        assert {(noted.lesson, noted.attempt) for noted in one.noted()} == {(LESSON, 1)}
        assert one.name == "", "a pseudonym, since nobody gave a name"


def gets_an_order_alone(board: BoardSite, rows: dict[str, int], sites: dict[str, dict[str, Any]], hub: Hub) -> None:
    desks = {name: Desk(site) for name, site in sites.items()}
    with ExitStack() as stack:
        for desk in desks.values():
            stack.callback(desk.close)
        number = board.order(Fault("429 x5 @members"), rows["ada"])
        ada, ben = (board.classroom.kept.learners[rows[name]] for name in ("ada", "ben"))
        until(lambda: number in ada.done, hub)
        assert ada.done[number].outcome == "done" and number not in ben.done
        assert [what for what, _ in desks["ada"].struck()] == [("429", 5, "members")]
        assert desks["ben"].struck() == []


def finds_the_notebooks(person: Person) -> None:
    page = person.arrive()
    assert page.url.path == person.at(f"doc/tree/{FOLDER}/00-start-here.ipynb")
    settings = re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page.text, re.DOTALL)
    assert settings is not None
    lab = json.loads(settings[1])
    assert lab["news"] == {"disabled": True}, "nobody is asked about news"
    assert lab["extensionManager"]["can_install"] is False, "nor is the internet for extensions"
    there = {one["name"] for one in person.get(f"api/contents/{FOLDER}").json()["content"]}
    assert {"00-start-here.ipynb", FORM, "training"} <= there


def consents(person: Person, kernel: Kernel, site: dict[str, Any]) -> list[str]:
    """Fill in notebook 02 from the console and press Accept; returns what may stand in no log."""
    notebook = json.loads((person.home / FOLDER / FORM).read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            kernel.run("".join(cell["source"]))
    redirect = f"{person.hub.base}{person.at('spokekit/oauth/callback')}"
    assert kernel.told("form.fields['redirect_uri'].value") == redirect
    shown = person.get("spokekit/oauth/start")
    assert f"<code>{redirect}</code>" in shown.text, "the address that notebook 01 leads to"

    console = person.get(f"spokekit/practice/{urlsplit(site['url']).port}/console")
    assert console.status_code == 200
    assert site["client_id"] in console.text and site["client_secret"] in console.text
    kernel.run(f"""
import time
from spokekit._secret import Secret
form.fields["client_id"].value = {site["client_id"]!r}
form.secret.put(Secret({site["client_secret"]!r}))
form.save(get_token=True)
while form.token.address is None and (form.busy or form.token.busy):
    time.sleep(0.02)
""")
    link = kernel.told("form.token.address.reveal()")
    assert link.startswith(person.at("spokekit/oauth/start?flow="))
    consent = person.client.get(link)
    assert "asks for access" in consent.text
    pressed = {**form_of(consent), "decision": "accept", "site": ""}
    back = person.client.post(consent.url, data=pressed, headers={"Sec-Fetch-Site": "same-origin"})
    assert str(back.url).split("?")[0] == redirect and "Received" in back.text, "at the person's own server"
    assert f"the browser tab of Jupyter with {FORM}" in back.text
    assert "Connected to" in kernel.run("form.token.settled(); print(form.token.status)")
    return [value for values in parse_qs(urlsplit(str(back.url)).query).values() for value in values]


def does_a_lesson(person: Person, kernel: Kernel) -> None:
    said = kernel.run(f"""
from spokekit.widgets import LessonPanel
panel = LessonPanel({LESSON!r})
panel.rehearse()
print(panel.outcome_word)
!spokekit lessons progress --format json
""")
    outcome, _, progress = said.partition("\n")
    assert outcome == "right"
    assert [row["lesson"] for row in json.loads(progress) if row["attempts"]] == [LESSON]
    practice = person.home / PRACTICE
    assert practice.stat().st_mode & 0o077 == 0
    # The kernel's own home is the attempt's from here on.
    assert kernel.told("__import__('os').environ['SPOKEKIT_HOME']") == str(practice / "lessons" / LESSON / "1")


def sees_nothing_of(one: Person, other: Person, theirs: dict[str, Any], own: dict[str, Any]) -> None:
    for name in ("url", "client_secret", "key"):
        assert own[name] != theirs[name]
    console = f"spokekit/practice/{urlsplit(theirs['url']).port}/console"
    for path in ("spokekit/notebooks", console, f"api/contents/{FOLDER}"):
        assert one.client.get(other.at(path)).status_code == 403, path
    assert one.get(console).status_code == 404, "through the own server neither"
    assert httpx2.get(f"{theirs['url']}console").status_code == 403, "nor past the hub"


def stops(person: Person, site: dict[str, Any]) -> None:
    assert person.hub.stop(person.name) == 204, "at once: the hub does not have to say that it is slow"
    deadline = time.monotonic() + 20
    with suppress(httpx2.TransportError):
        while time.monotonic() < deadline:
            httpx2.get(site["url"])
            time.sleep(0.1)
    assert time.monotonic() < deadline, "the practice site ends with the server"
