"""Attempts: a home of their own, nothing deleted, only on a practice site, and a check that never raises."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spokekit.errors import Conflict, NotFound, SpokekitError
from spokekit.practice import PracticeSite
from spokekit.training.attempts import Attempts, practice_home
from spokekit.training.course import lesson
from spokekit.training.desk import Desk, desk_here
from spokekit.training.doer import Doer
from spokekit.training.progress import Certificate, by_lesson


@pytest.fixture(autouse=True)
def _home_is_put_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    kept = dict(os.environ)
    yield
    for name in ("SPOKEKIT_HOME", "SPOKEKIT_VAULT"):
        os.environ.pop(name, None)
        if name in kept:
            os.environ[name] = kept[name]


@pytest.fixture
def attempts(site: PracticeSite, home: Path) -> Iterator[Attempts]:
    desk = Desk(site.describe())
    yield Attempts(desk, home)
    desk.close()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_lesson_leaves_the_other_records_alone_and_starting_over_deletes_nothing(
    attempts: Attempts, connected: Any, home: Path
) -> None:
    before = connected.connection()
    first = attempts.begin(lesson("synced-group"))
    assert first.home.parent.parent.parent == home
    assert practice_home() == home, "also from inside the attempt"
    Doer(first).answer("We do, with spokekit")
    assert first.check().turn == "we-do"
    kept = {name for name in tree(first.home) if not name.endswith(("-wal", "-shm"))}
    second = attempts.begin(lesson("synced-group"), again=True)
    assert second.home != first.home and kept <= set(tree(first.home))
    assert second.check().outcome == "not attempted"
    told = first.check()
    assert told.outcome == "cannot check" and "spokekit lessons reset synced-group" in told.words
    assert connected.connection() == before
    events = [(one.attempt, one.event) for one in attempts.events.all("synced-group")]
    assert events[:3] == [(1, "begun"), (1, "answered"), (1, "checked")] and (2, "reset") in events


def test_hints_then_the_solution(attempts: Attempts) -> None:
    attempt = attempts.begin(lesson("redirect-mismatch"))
    assert attempt.solution().steps == () and "3 more hints" in attempt.solution().words
    assert [attempt.hint()[0] for _ in range(4)] == [1, 2, 3, 3]
    assert attempt.hints_seen == 3
    assert len(attempt.solution().steps) == 3


def test_a_check_never_raises(attempts: Attempts, site: PracticeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = attempts.begin(lesson("synced-group"))
    Doer(attempt).answer("We do, with spokekit")

    def broken(_: Any, __: Any) -> bool:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(type(attempt.lesson), "right", broken)
        assert attempt.check().outcome == "cannot check"
    site.stop()
    told = attempt.check()
    assert told.outcome == "cannot check" and "does not answer" in told.words and "spokekit lab" in told.words


@pytest.mark.parametrize("answer", ["nonsense", "", "  "])
def test_an_answer_is_one_of_those_offered(attempts: Attempts, answer: str) -> None:
    attempt = attempts.begin(lesson("synced-group"))
    with pytest.raises(SpokekitError, match="The answer is one of"):
        attempt.answer(answer)


def test_a_lesson_begins_on_a_practice_site_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Desk({"url": "https://api.atlassian.com/", "client_id": "x", "redirect_uris": []})
    with pytest.raises(Conflict, match="practice site only"):
        Attempts(real, home).begin(lesson("synced-group"))
    assert not (home / "lessons").exists()
    for said, words in (("", "no practice site"), ("nonsense", "does not hold"), (json.dumps([1]), "does not hold")):
        monkeypatch.setenv("SPOKEKIT_PRACTICE", said)
        with pytest.raises(SpokekitError, match=words):
            desk_here()


def test_another_key_is_refused(site: PracticeSite, home: Path) -> None:
    desk = Desk({**site.describe(), "key": "guessed"})
    with pytest.raises(SpokekitError, match="key"):
        Attempts(desk, home).begin(lesson("synced-group"))
    desk.close()


def on_a_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    """Pretend to be a kernel of a person's server on a hub that tells its address; returns its callback URL."""
    (folder / "spokekit-oauth").mkdir(parents=True)
    (folder / "spokekit-oauth" / "server-7.json").write_text("{}")
    (folder / "jpserver-7.json").write_text('{"url": "http://localhost:8888/user/ann/", "base_url": "/user/ann/"}')
    told = {"JUPYTER_RUNTIME_DIR": str(folder), "JPY_PARENT_PID": "7", "JUPYTERHUB_SERVICE_PREFIX": "/user/ann/"}
    for name, value in {**told, "JUPYTERHUB_PUBLIC_URL": "https://hub.example/user/ann/"}.items():
        monkeypatch.setenv(name, value)
    return "https://hub.example/user/ann/spokekit/oauth/callback"


@pytest.mark.parametrize("name", ["first-connection", "redirect-mismatch", "consent-is-dead", "killed-in-the-middle"])
def test_on_a_hub_a_lesson_works_with_the_servers_own_address(
    name: str, attempts: Attempts, site: PracticeSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = on_a_hub(monkeypatch, tmp_path / "runtime")
    first = site.redirect_uris[0]
    attempt = attempts.begin(lesson(name))
    do = Doer(attempt)
    if name == "redirect-mismatch":
        assert [list(app.redirect_uris) for app in do.site.apps] == [[f"{own}s"], [first, own]]
    else:
        assert {app.redirect_uris for app in do.site.apps} == {(first, own)}
        assert do.draft().redirect_uri == own, "what the connection form proposes"
    if attempt.lesson.start.step >= 2:
        assert do.connection.redirect_uri == own
    attempt.lesson.solve(do)
    assert attempt.check().outcome == "right" and do.connection.redirect_uri == own


def test_where_the_extension_is_missing_a_lesson_stays_with_the_apps_first_address(
    attempts: Attempts, site: PracticeSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on_a_hub(monkeypatch, tmp_path / "runtime")
    (tmp_path / "runtime" / "spokekit-oauth" / "server-7.json").unlink()
    first = site.redirect_uris[0]
    do = Doer(attempts.begin(lesson("redirect-mismatch")))
    assert do.connection.redirect_uri == first


def test_progress_and_certificate(attempts: Attempts, tmp_path: Path) -> None:
    chosen = lesson("synced-group")
    with pytest.raises(NotFound):
        Certificate.of(attempts.events, [chosen])
    attempt = attempts.begin(chosen)
    attempt.check()
    attempt.hint()
    chosen.solve(Doer(attempt))
    attempt.check()
    (row,) = by_lesson(attempts.events, [chosen])
    assert (row["attempts"], row["checks"], row["hints"], row["outcome"]) == (1, 2, 1, "right")
    page, data = Certificate.of(attempts.events, [chosen], name="<b>Kim</b>").write(tmp_path / "mine.html")
    assert "&lt;b&gt;Kim" in page.read_text() and json.loads(data.read_text())["lessons"][0]["lesson"] == chosen.name
