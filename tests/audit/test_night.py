"""The night: unattended, once on a site, telling what is new and nothing else, and right by the site's own books."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spokekit._home import lock_file
from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.audit.night import Night, SiteNight, night, reported
from spokekit.audit.show import night_files
from spokekit.audit.walk.members import GroupReader
from spokekit.cli import main
from spokekit.confluence.report import Progress
from spokekit.connections.connection import Connection, ConnectionDraft
from spokekit.errors import Cancelled, InputError, NotFound, NotThere
from spokekit.oauth.grant import get_token
from spokekit.practice import PracticeSite
from spokekit.practice.apps import App
from spokekit.practice.service_accounts import make_service_account, revoke

INACTIVE = "inactive-in-groups"


def connected(work: Workspace, site: PracticeSite, app: App, number: int = 0) -> Connection:
    """Save a read-only connection of a service account to one of the sites, with its site."""
    draft = ConnectionDraft(
        name=f"Night {number}",
        url=site.url,
        auth_url=site.auth_url,
        client_id=app.client_id,
        grant="service-account",
        read_only=True,
    )
    saved = work.connections.add(draft)
    work.tokens.set_client_secret(saved, Secret(app.client_secret))
    get_token(work, saved, site=site.sites[number].cloud_id)
    return work.connection(saved.connection_id)


@pytest.fixture
def small(home: Path) -> Iterator[PracticeSite]:
    """A site of eight groups of six, whose first person is a service account."""
    with PracticeSite(size="8x6", strict=True) as site:
        yield site


@pytest.fixture
def app(small: PracticeSite) -> App:
    return make_service_account(small, account=small.account_id)


def one_night(work: Workspace, *names: str | None, **options: Any) -> Night:
    made = night(work, names or (None,), ask=[INACTIVE], **options)
    reported(made)
    return made


def books(site: PracticeSite) -> set[tuple[str, str]]:
    frame = site.world.frames(tables=["memberships"])["memberships"].astype(str)
    return set(zip(frame["group_id"], frame["account_id"], strict=True))


def inactive(site: PracticeSite) -> set[tuple[str, str]]:
    users = site.world.frames(tables=["users"])["users"]
    gone = set(users[users["account_status"] != "active"]["account_id"].astype(str))
    return {pair for pair in books(site) if pair[1] in gone}


def pairs(frame: Any, **which: Any) -> set[tuple[str, str]]:
    for column, value in which.items():
        frame = frame[frame[column] == value]
    return set(zip(frame["group_id"].astype(str), frame["account_id"].astype(str), strict=True))


@pytest.mark.parametrize("seed", [1, 2])
def test_each_of_many_nights_is_right_by_the_books(
    small: PracticeSite, app: App, workspace: Workspace, seed: int
) -> None:
    connected(workspace, small, app)
    rng, world = random.Random(seed), small.world
    people = [str(account) for account in world.frames(tables=["users"])["users"]["account_id"]]
    groups = [str(group) for group in world.frames(tables=["groups"])["groups"]["group_id"]]
    before: set[tuple[str, str]] | None = None
    told: set[tuple[str, str]] = set()
    for number in range(7):
        for _ in range(rng.choice([0, 1, 5])):
            group, account = rng.choice(groups), rng.choice(people)
            if account == small.account_id:
                continue
            if rng.random() < 0.3:
                world.set_status(account, rng.choice(["active", "inactive"]))
            elif not world.add_member(group, account):
                world.remove_member(group, account)
        made = night(workspace, ask=[INACTIVE])
        (one,) = made.sites
        now, open_ones = books(small), inactive(small)
        assert one.outcome != "failed", one.words
        (asked,) = one.asked
        assert pairs(asked.frame) == open_ones
        assert pairs(asked.frame, tonight=True) == open_ones - told
        assert made.exit_code == (4 if open_ones - told else 0)
        if before is None:
            assert one.changes is None
        else:
            assert one.changes is not None
            assert pairs(one.changes, change="added") == now - before
            assert pairs(one.changes, change="removed") == before - now
            assert made.quiet == (now == before and not open_ones - told)
        if number == 4:
            # Killed before it had told anybody: the next one tells it all, and what is new since then as well.
            continue
        reported(made)
        before, told = now, open_ones


def test_from_cron_after_a_kill_without_home_and_keyring(home: Path, tmp_path: Path) -> None:
    with PracticeSite(size="40x4", strict=True, latency_ms=200) as site:
        work = Workspace()
        connected(work, site, make_service_account(site, account=site.account_id))
        work.close()
        out = tmp_path / "out"
        # What cron gives, and less: no HOME, no PATH that matters, no bus on which a keyring would be.
        bare = {"SPOKEKIT_HOME": str(home), "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
        command = [sys.executable, "-m", "spokekit", "audit", "night", "--ask", INACTIVE, "--out", str(out)]
        first = subprocess.Popen(command, env=bare, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while site.count("members") < 24 and first.poll() is None:
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        first.communicate(timeout=30)
        assert not out.exists()
        paid = site.count("members")
        done = subprocess.run(command, env=bare, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode in (0, 4), done.stderr
        # It went on from there: a few of the groups at most were under way when it was killed.
        assert site.count("members") < 40 + paid
        told = json.loads((out / "night.json").read_text(encoding="utf-8"))
        (one,) = told["sites"]
        assert one["complete"] and one["memberships"] == len(books(site))
        assert one["new_findings"] == len(inactive(site)) and told["exit_code"] == done.returncode
        again = subprocess.run(command, env=bare, capture_output=True, text=True, timeout=120, check=False)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", ""), "nothing is new, so nothing is said"
        assert site.writes == {} and site.count("authorize") == 0
        page = (out / "night.html").read_text(encoding="utf-8")
        assert "Nothing new." in page and "http://" not in page.replace(site.url, "") and "<script" not in page
        assert {path.name for path in out.iterdir()} == {"night.json", "night.html", "night.xlsx"}
        assert all(path.stat().st_mode & 0o077 == 0 for path in out.iterdir())


def test_an_incomplete_walk_is_told_and_calls_nothing_fixed(
    small: PracticeSite,
    app: App,
    workspace: Workspace,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connected(workspace, small, app)
    person = next(iter(books(small)))
    small.world.set_status(person[1], "inactive")
    one_night(workspace)
    read = GroupReader.read

    async def refuses(self: GroupReader, group_id: str) -> bool:
        if group_id == person[0]:
            raise NotThere("The group cannot be read.", status=404, endpoint="GET members")
        return await read(self, group_id)

    with monkeypatch.context() as broken, pytest.raises(SystemExit) as left:
        broken.setattr(GroupReader, "read", refuses)
        main(["audit", "night", "--ask", INACTIVE])
    said = capsys.readouterr()
    assert left.value.code == 3, said
    assert "Next: " in said.out
    again = one_night(workspace)
    assert (again.exit_code, again.sites[0].asked[0].fixed) == (0, 0)


def test_a_finding_that_was_accepted_is_not_open_and_one_that_came_back_is_new(
    small: PracticeSite, app: App, workspace: Workspace
) -> None:
    from spokekit.audit.findings import Findings

    saved = connected(workspace, small, app)
    group, account = next(pair for pair in sorted(books(small)) if pair[1] != small.account_id)
    small.world.set_status(account, "inactive")
    first = one_night(workspace).sites[0]
    assert (group, account) in pairs(first.asked[0].frame, tonight=True)
    Findings(str(saved.cloud_id)).accept(list(first.asked[0].frame["finding_id"]), reason="known", by="Kim")
    quiet = one_night(workspace)
    assert (quiet.exit_code, quiet.sites[0].open, quiet.sites[0].asked[0].accepted) == (0, 0, first.open)
    small.world.set_status(account, "active")
    one_night(workspace)
    small.world.set_status(account, "inactive")
    assert one_night(workspace).exit_code == 4


def test_two_at_a_time_and_what_fails_names_one_thing_to_do(
    small: PracticeSite, app: App, workspace: Workspace, home: Path
) -> None:
    saved = connected(workspace, small, app)
    (home / "nights").mkdir()
    with lock_file(home / "nights" / str(saved.cloud_id)):
        (held,) = night(workspace, ask=[INACTIVE]).sites
    assert held.outcome == "failed" and "Another night is under way" in held.words and held.do.startswith("Wait")
    assert small.count("groups") == 0
    revoke(small.auth, app)
    workspace.tokens.forget(saved)
    made = night(workspace, ask=[INACTIVE])
    assert made.exit_code == 1 and "admin.atlassian.com" in made.sites[0].do
    (gone,) = night(workspace, ["nobody"], ask=[INACTIVE]).sites
    assert gone.outcome == "failed" and "There is no connection" in gone.words
    assert night_files.as_json(made)["sites"][0]["snapshot"] in (None, "")


def test_a_question_that_no_night_can_ask_is_refused_before_anything_is_read(
    small: PracticeSite, app: App, workspace: Workspace
) -> None:
    connected(workspace, small, app)
    with pytest.raises(NotFound, match="inactive"):
        night(workspace, ask=["inactive-in-group"])
    with pytest.raises(InputError, match="needs person"):
        night(workspace, ask=["why-a-seat"])
    assert small.count("groups") == 0


def test_a_cancelled_night_is_gone_on_with(small: PracticeSite, app: App, workspace: Workspace) -> None:
    import threading

    connected(workspace, small, app)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        night(workspace, ask=[INACTIVE], cancel=cancel)
    assert one_night(workspace).exit_code in (0, 4)


def test_several_sites_make_one_folder_with_a_site_column(home: Path, tmp_path: Path) -> None:
    with PracticeSite(size="6x4", sites=3, strict=True) as site:
        work = Workspace()
        app = make_service_account(site, account=site.account_id)
        for number in range(3):
            connected(work, site, app, number)
        # A fourth one leads to the first site again, and a fifth one nowhere.
        twice = ConnectionDraft(
            name="Twice", url=site.url, auth_url=site.auth_url, client_id=app.client_id, grant="service-account"
        )
        saved = work.connections.add(twice)
        work.tokens.set_client_secret(saved, Secret(app.client_secret))
        get_token(work, saved, site=site.sites[0].cloud_id)
        work.connections.add(ConnectionDraft(name="Nowhere", client_id="abcdefgh12345678"))
        person = next(account for _, account in sorted(books(site)) if account != site.account_id)
        for world in site.worlds.values():
            world.set_status(person, "inactive")
        with pytest.raises(SystemExit) as left:
            main(["audit", "night", "--all-connections", "--ask", INACTIVE, "--out", str(tmp_path / "out")])
        assert left.value.code == 1
        told = json.loads((tmp_path / "out" / "night.json").read_text(encoding="utf-8"))
        by_name = {one["connection"]: one for one in told["sites"]}
        names = {site.sites[number].name for number in range(3)}
        assert {by_name[f"Night {number}"]["site"] for number in range(3)} == names
        assert "walked once" in by_name["Twice"]["words"] and by_name["Nowhere"]["outcome"] == "failed"
        assert by_name["Nowhere"]["do"]
        # The points of the hour are the app's, whichever site they go to.
        spent = sum(one["points"] for one in told["sites"] if one["points"])
        assert spent > 0
        frame = night_files.frames_of(night(work, ["Night 0", "Night 1"], ask=[INACTIVE]))[INACTIVE]
        assert list(frame.columns[:4]) == ["site", "finding_id", "tonight", "first_seen"]
        assert set(frame["site"]) <= names and len(set(frame["site"])) == 2


def test_sites_of_one_app_share_its_points_of_the_hour(home: Path) -> None:
    import threading

    with PracticeSite(size="20x4", sites=2, strict=True) as site:
        work = Workspace()
        app = make_service_account(site, account=site.account_id)
        for number in range(2):
            connected(work, site, app, number)
        cost = _points_of(one_night(work, "Night 0"))
        # What is left of the hour does for the first site and a half of the second.
        site.limits.spend(app.client_id, site.limits.left(app.client_id) - cost * 3 // 2)
        cancel, waited = threading.Event(), []

        def watch(progress: Progress) -> None:
            if progress.paused_until is not None:
                waited.append(progress)
                cancel.set()

        with pytest.raises(Cancelled):
            night(work, ["Night 0", "Night 1"], ask=[INACTIVE], progress=watch, cancel=cancel)
        assert waited and waited[0].paused_until is not None
        assert not [request for request in site.requests if request.status == 429], "it waited before it was refused"


def _points_of(made: Night) -> int:
    (one,) = made.sites
    assert one.snapshot is not None
    return int(one.snapshot.completeness["points"])


def test_a_question_without_rows_is_told_in_words(
    small: PracticeSite, app: App, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    connected(workspace, small, app)
    for _, account in sorted(books(small)):
        small.world.set_status(account, "active")
    asked = ["admins", INACTIVE]
    with pytest.raises(SystemExit) as left:
        main(["audit", "night", *(word for name in asked for word in ("--ask", name))])
    told = capsys.readouterr()
    assert left.value.code == 4, told
    assert "(admins: " in told.out and INACTIVE not in told.out and told.err == ""


def test_exit_codes_of_several_sites() -> None:
    from datetime import UTC, datetime

    def code(*outcomes: Any) -> int:
        return Night(datetime.now(UTC), [SiteNight("x", outcome=one) for one in outcomes]).exit_code

    assert [code("nothing new"), code("new findings", "nothing new"), code("new findings", "incomplete")] == [0, 4, 3]
    assert code("incomplete", "failed", "new findings") == 1
