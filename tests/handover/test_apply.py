"""Writing the plan to an instance: each record once, whatever goes wrong; nothing of others'; and all of it undone."""

from __future__ import annotations

import copy
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.cli import main
from spokekit.connections.connection import ConnectionDraft
from spokekit.connections.store import Store
from spokekit.errors import Conflict, InputError, NotFound, PlanError, SpokekitError, TokenRejected, TransportError
from spokekit.groups._lease import Lease
from spokekit.groups.journal import Journal
from spokekit.groups.journal_copy import Kept, keep
from spokekit.handover import (
    Changes,
    HandOver,
    Outcome,
    Plan,
    SignIn,
    as_json,
    entries,
    files,
    make_plan,
    read_plan,
    write,
)
from spokekit.handover import records as rec
from spokekit.handover.client import InstanceClient
from spokekit.handover.steps import RECORDS
from spokekit.handover.writer import InstanceWriter
from spokekit.practice import PracticeInstance
from spokekit.practice.instance.tables import GROUPS
from tests.handover.test_compare import DRIFTS, first, fresh, look, named, one_plan, run

WRITTEN = (*rec.LOAD_ORDER, GROUPS)


@pytest.fixture(scope="module")
def served() -> Iterator[PracticeInstance]:
    with PracticeInstance() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield opened
    opened.close()


def hand_over(instance: PracticeInstance, store: Store) -> HandOver:
    return HandOver(store, instance.url, SignIn("api-key", Secret(instance.api_key)), pace=10_000)


def do(one: HandOver, changes: Changes) -> Outcome:
    return one.apply(changes, confirm=changes.confirmation)


def records(instance: PracticeInstance) -> dict[str, dict[str, dict[str, str]]]:
    return copy.deepcopy({table: instance.data.rows[table] for table in WRITTEN})


def writes(instance: PracticeInstance) -> list[str]:
    return [one.method for one in instance.requests if one.method != "GET"]


def statuses(result: Outcome) -> set[str]:
    return set(result.frame["status"])


def test_after_an_apply_nothing_has_drifted_and_a_second_one_has_nothing_to_do(
    served: PracticeInstance, store: Store
) -> None:
    plan, one = one_plan(fresh(served)), hand_over(served, store)
    before = records(served)
    preview = one.preview(plan, groups=True)
    assert records(served) == before
    assert "Make 19 records" in preview.words
    result = do(one, preview)
    assert (statuses(result), result.stopped) == ({"done"}, "")
    assert list(look(served, plan)["kind"]) == []
    again = one.preview(plan, groups=True)
    assert not again.planned
    assert do(one, again).apply_id == ""
    # The records of the plan and no other ones: the platform's default profile is taken, and none made beside it.
    counts = {table: len(rows) - len(before[table]) for table, rows in records(served).items()}
    assert sum(counts.values()) == 19
    assert counts["oauth_entity_profile"] == counts["oauth_entity"] == 2


@given(
    names=st.lists(st.sampled_from(["Main", "Berlin", "Rome & Co", "Ωmega^=x"]), min_size=1, max_size=3, unique=True),
    scopes=st.lists(st.sampled_from(["read:me", "offline_access", "ace:confluence"]), min_size=1, unique=True),
    profiles=st.booleans(),
)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_import_and_apply_lead_to_the_same_but_for_named_differences(
    served: PracticeInstance, names: list[str], scopes: list[str], profiles: bool
) -> None:
    plan = one_plan(fresh(served), tuple(names), tuple(scopes))
    for name, data in files(plan).items():
        if name.startswith("unload/"):
            served.import_xml(data)
    imported = meanings(served)
    store = Store("sqlite://")
    fresh(served).switches.default_profile_made = profiles
    assert statuses(do(hand_over(served, store), hand_over(served, store).preview(plan))) == {"done"}
    applied = meanings(served)
    store.close()
    assert {table: set(rows) for table, rows in imported.items()} == {t: set(rows) for t, rows in applied.items()}
    different = {
        (table, column)
        for table, rows in imported.items()
        for key, row in rows.items()
        for column in {*row, *applied[table][key]}
        if row.get(column, "") != applied[table][key].get(column, "")
    }
    # A child alias copies its template from the parent by a rule, which an import does not run; the ids differ, which
    # are not in `meanings`.
    assert different == ({("sys_alias", "configuration_template")} if len(names) > 1 else set())


def meanings(instance: PracticeInstance) -> dict[str, dict[tuple[str, ...], dict[str, str]]]:
    """Return the records by what they mean: references by names, and no ids or times."""

    def title(table: str, sys_id: str) -> str:
        row = instance.data.rows[table].get(sys_id, {})
        more = title("oauth_entity", row["oauth_entity"]) if table == "oauth_entity_scope" and row else ""
        return f"{more} {row.get('name', 'nothing')}"

    found: dict[str, dict[tuple[str, ...], dict[str, str]]] = {}
    for table in rec.LOAD_ORDER:
        found[table] = {}
        for row in instance.data.rows[table].values():
            kept = {
                column: title(rec.REFERENCES[table, column], value) if (table, column) in rec.REFERENCES else value
                for column, value in row.items()
                if not column.startswith("sys_")
            }
            key = (kept.get("name", ""), kept.get("oauth_entity", ""), kept.get("oauth_entity_profile", ""))
            key = (*key, kept.get("oauth_entity_scope", ""))
            assert key not in found[table]
            found[table][key] = kept
    return found


STAYS = {
    "two defaults": ("orphaned", "oauth_entity", "default"),
    "scope more": ("extra", "oauth_entity_scope", ""),
    "another alias": ("extra", "sys_alias", ""),
    "group more": ("extra", "groups table", ""),
}
"""What an apply leaves as it is: nothing is deleted that the plan does not know."""


@pytest.mark.parametrize("how", ["imported", "applied"])
@pytest.mark.parametrize("drift", [name for name in DRIFTS if name != "two connections"])
def test_an_apply_mends_each_drift_or_leaves_what_is_more(
    served: PracticeInstance, store: Store, drift: str, how: str
) -> None:
    plan, one = one_plan(fresh(served)), hand_over(served, store)
    if how == "imported":
        fresh(served, plan)
    else:
        do(one, one.preview(plan, groups=True))
    DRIFTS[drift][0](served.data.rows, "Berlin")
    first_look = one.preview(plan, groups=True)
    names = [step.confirm for step in first_look.rows if step.reason == "not_confirmed"]
    mended = one.preview(plan, groups=True, update=names)
    result = do(one, mended)
    assert result.finished, result.words
    assert named(look(served, plan)) == [STAYS[drift]] if drift in STAYS else named(look(served, plan)) == []
    assert not one.preview(plan, groups=True).planned


# -- whatever goes wrong -----------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As when the process ends there."""


def breaking(monkeypatch: pytest.MonkeyPatch, at: int, how: str, *, only_writes: bool) -> list[str]:
    """Let the request number `at` go wrong; returns a list that holds the methods sent so far."""
    send, sent = InstanceClient._send, []

    def broken(self: InstanceClient, method: str, path: str, endpoint: str, **more: Any) -> tuple[int, Any, bytes]:
        counts = method != "GET" or not only_writes
        if counts:
            sent.append(method)
        if not counts or len(sent) - 1 != at:
            return send(self, method, path, endpoint, **more)
        if how in ("killed after", "lost", "500 after"):
            send(self, method, path, endpoint, **more)
        if how.startswith("killed"):
            raise Killed
        if how.startswith("500"):
            return 500, {}, b'{"error": {"message": "broken"}}'
        raise TransportError("The answer did not come.")

    monkeypatch.setattr(InstanceClient, "_send", broken)
    return sent


def settle(served: PracticeInstance, store: Store, plan: Plan, applied: bool) -> None:
    """Resume what is open until nothing is, and hold instance, journal and plan against one another."""
    one = hand_over(served, store)
    if not applied and not one.unfinished():
        do(one, one.preview(plan))
    for _ in range(3):
        if not one.unfinished():
            break
        assert do(one, one.preview_resume()).finished
    assert not one.unfinished()
    assert named(look(served, replace(plan, parts=tuple(replace(p, groups=()) for p in plan.parts)))) == []
    assert not one.preview(plan).planned
    made = {step.made: step for _, step in steps(store) if step.status == "done"}
    there = {key: table for table in rec.LOAD_ORDER for key in served.data.rows[table]} | {}
    del there[served.parent_sys_id]
    assert {key: step.table for key, step in made.items()} == there
    for key, step in made.items():
        row = served.data.rows[step.table][key]
        assert {column: row[column] for column in step.left} == dict(step.left)


def steps(store: Store) -> list[tuple[str, Any]]:
    journal = Journal(store, RECORDS)
    return [(one, step) for one in journal.apply_ids() for step in journal.state(one).rows]


def small(served: PracticeInstance) -> Plan:
    plan = one_plan(fresh(served), ("Main", "Berlin"), ("read:me",))
    return replace(plan, parts=plan.parts[1:])


def test_a_fault_or_a_kill_at_each_write_is_settled_by_a_resume(
    served: PracticeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        plan = small(served)
        store = Store("sqlite://")
        sent = breaking(patch, -2, "", only_writes=True)
        do(hand_over(served, store), hand_over(served, store).preview(plan))
        store.close()
    assert sent == ["POST"] * 6
    for at in range(len(sent)):
        for how in ("killed before", "killed after", "lost", "not arrived", "500 before", "500 after"):
            plan = small(served)
            store = Store("sqlite://")
            one = hand_over(served, store)
            preview = one.preview(plan)
            with monkeypatch.context() as patch:
                breaking(patch, at, how, only_writes=True)
                try:
                    result = do(one, preview)
                except Killed:
                    assert how.startswith("killed")
                else:
                    # An answer that was lost is read back, and the apply goes on; what did not arrive ends it.
                    assert result.finished == (how in ("lost", "500 after"))
            settle(served, store, plan, applied=True)
            store.close()


def test_a_kill_at_each_request_is_settled_by_a_resume(
    served: PracticeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, reached = 0, True
    while reached:
        plan = small(served)
        store = Store("sqlite://")
        one = hand_over(served, store)
        preview, reached = one.preview(plan), False
        with monkeypatch.context() as patch:
            breaking(patch, at, "killed after", only_writes=False)
            try:
                do(one, preview)
            except Killed:
                reached = True
        settle(served, store, plan, applied=not reached)
        store.close()
        at += 1
    assert at > 25


DYING = """
import os, sys
from spokekit._secret import Secret
from spokekit.connections.store import Store
from spokekit.handover import HandOver, SignIn, read_plan
from spokekit.handover.client import InstanceClient

store, folder, url, at = sys.argv[1:]
send, sent = InstanceClient._send, []

def dying(self, method, path, *rest, **more):
    answer = send(self, method, path, *rest, **more)
    if method != "GET":
        sent.append(path)
        if len(sent) > int(at):
            os._exit(9)
    return answer

InstanceClient._send = dying
one = HandOver(Store(store), url, SignIn("api-key", Secret(sys.stdin.readline().strip())), pace=10_000)
preview = one.preview(read_plan(folder))
one.apply(preview, confirm=preview.confirmation)
"""


@pytest.mark.parametrize("at", [0, 3, 5])
def test_a_process_that_dies_after_a_write_is_settled_from_its_store(
    served: PracticeInstance, tmp_path: Path, at: int
) -> None:
    plan = small(served)
    folder, url = write(plan, tmp_path / "plan"), f"sqlite:///{tmp_path / 'store.sqlite'}"
    command = [sys.executable, "-c", DYING, url, str(folder), served.url, str(at)]
    died = subprocess.run(command, input=f"{served.api_key}\n", text=True, capture_output=True, timeout=120)
    assert died.returncode == 9, died.stderr
    store = Store(url)
    assert sum(len(served.data.rows[table]) for table in rec.LOAD_ORDER) >= at + 1
    settle(served, store, plan, applied=True)
    store.close()


@pytest.mark.parametrize("way", ["removed", "rows deleted"])
def test_a_journal_that_is_lost_leaves_a_file_that_a_resume_takes_in(
    served: PracticeInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    way: str,
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("SPOKEKIT_HOME", str(home))
    home.mkdir(mode=0o700)
    path, plan = home / "spokekit.sqlite", small(served)
    store = Store(f"sqlite:///{path}")
    one, create, made = hand_over(served, store), InstanceWriter.create, list[str]()

    def losing(self: InstanceWriter, table: str, values: Any) -> str:
        made.append(create(self, table, values))
        if len(made) == 3:
            if way == "removed":
                for part in home.glob("spokekit.sqlite*"):
                    part.unlink()
            else:
                with closing(sqlite3.connect(path)) as other:
                    other.execute("DROP TRIGGER hand_over_journal_no_delete")
                    other.execute("DELETE FROM hand_over_journal")
                    other.commit()
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(InstanceWriter, "create", losing)
        result = do(one, one.preview(plan))
    assert len(made) == 3, "nothing is written that is not written down first"
    assert result.kept is not None and "no longer in the store" in result.stopped and str(result.kept) in result.words
    assert result.kept.parent == home and result.kept.stat().st_mode & 0o077 == 0
    lines = [json.loads(line) for line in result.kept.read_text().splitlines()]
    assert [line["made"] for line in lines[1:] if line["status"] == "done"][-1] == made[-1]
    assert served.api_key not in result.kept.read_text()
    store.close()

    key = tmp_path / "key"
    key.write_text(served.api_key)
    with pytest.raises(SystemExit):
        main(["handover", "journal"])
    assert f"an apply kept in {result.kept}" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["handover", "resume", "--instance", served.url, "--api-key-file", str(key), "--write", "--yes"])
    said = capsys.readouterr()
    assert ended.value.code in (0, None), said.err
    assert f"The apply {result.apply_id[:8]}, whose journal had been lost, was taken into the journal" in said.err
    store = Store(f"sqlite:///{path}")
    assert not result.kept.exists() and hand_over(served, store).take_in() == ()
    settle(served, store, plan, applied=True)
    undo = hand_over(served, store).preview_undo()
    do(hand_over(served, store), undo)
    assert {row["id"] for row in served.data.rows["sys_alias"].values()} == {"sn_conflunce_spoke.Confluence_Cloud"}
    store.close()


@pytest.mark.parametrize("wrong", ["format", "action", "cut off", "number", "not ours"])
def test_a_file_of_rows_that_was_edited_is_a_sentence_and_not_used(
    served: PracticeInstance, tmp_path: Path, wrong: str
) -> None:
    store = Store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    plan, one = small(served), hand_over(served, store)
    do(one, one.preview(plan))
    journal = Journal(store, RECORDS)
    state = journal.state(journal.apply_ids()[0])
    about = (state.apply_id, state.place, "x", state.mode, state.fingerprint, state.undo_of, state.started_at, "why")
    path = keep(store, Kept(*about, state.rows), RECORDS)
    head, row, *rest = path.read_text().splitlines()
    changed = {
        "format": (head.replace("spokekit hand-over", "spokekit apply"), row),
        "action": (head, row.replace('"create"', '"add"')),
        "cut off": (head, row[:-9]),
        "number": (head, row.replace('"left": {', '"left": {"x": 1, ')),
        "not ours": ("[]", row),
    }[wrong]
    path.write_text("\n".join((*changed, *rest)))
    (told,) = one.take_in()
    assert "does not hold the rows of an apply" in told and path.exists()
    store.close()


def test_two_faults_in_a_row_leave_a_step_unknown_until_a_resume(
    served: PracticeInstance, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, one = small(served), hand_over(served, store)
    preview = one.preview(plan)
    with monkeypatch.context() as patch:
        patch.setattr(InstanceWriter, "one", _no_answer)
        result = do(one, preview)
    assert result.rows[0].status == "unknown"
    assert "could not be read back" in result.stopped
    assert len(served.data.rows["oauth_entity"]) == 1
    rest = one.preview_resume()
    assert "not known whether it was done" in rest.words
    assert do(one, rest).finished
    assert len(served.data.rows["oauth_entity"]) == 1


def _no_answer(*_: Any) -> None:
    raise TransportError("No answer came.")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("denied:oauth_entity_scope", "does not let this account read oauth_entity_scope"),
        ("hidden:oauth_entity", "counts 1 rows in oauth_entity and shows 0"),
        ("busy", "slow down"),
        ("asleep", "goes to sleep"),
        ("down", "answered 503"),
    ],
)
def test_what_cannot_be_read_ends_before_a_write(
    served: PracticeInstance, store: Store, fault: str, words: str
) -> None:
    plan, one = small(served), hand_over(served, store)
    served.data.put("oauth_entity", {"name": "other"}, "a" * 32)
    preview = one.preview(plan)
    served.faults = {fault}
    served.requests.clear()
    for call in (lambda: one.preview(plan), lambda: do(one, preview)):
        with pytest.raises(SpokekitError) as refused:
            call()
        assert words in str(refused.value)
    assert writes(served) == []


def test_a_column_that_the_instance_lacks_ends_before_a_write(served: PracticeInstance, store: Store) -> None:
    plan, one = small(served), hand_over(served, store)
    served.switches.hidden_columns = frozenset(("oauth_entity.refresh_token_url",))
    served.requests.clear()
    with pytest.raises(PlanError, match="no column refresh_token_url"):
        one.preview(plan)
    assert writes(served) == []


def test_a_refusal_in_the_middle_stops_with_the_words_of_the_instance_and_is_resumed(
    served: PracticeInstance, store: Store
) -> None:
    plan, one = small(served), hand_over(served, store)
    preview = one.preview(plan)

    def refused(*arguments: Any, _write: Any = served.api._write) -> Any:
        from spokekit.practice.instance.api import error

        return error(403, "Operation Failed", "ACL on create") if arguments[1] == "sys_alias" else _write(*arguments)

    served.api._write = refused  # type: ignore[method-assign]
    try:
        result = do(one, preview)
    finally:
        del served.api._write
    assert "ACL on create" in result.stopped
    assert not result.finished
    assert set(one.preview_resume().frame["table"]) == {"sys_alias", "oauth_2_0_credentials", "http_connection"}
    settle(served, store, plan, applied=True)


def test_dropping_reads_what_is_not_known_and_it_can_be_undone(
    served: PracticeInstance, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, one = small(served), hand_over(served, store)
    preview = one.preview(plan)
    with monkeypatch.context() as patch:
        breaking(patch, 2, "killed after", only_writes=True)
        with pytest.raises(Killed):
            do(one, preview)
    with pytest.raises(PlanError, match="is not finished"):
        one.preview_undo(one.unfinished()[0].apply_id)
    state = one.drop()
    assert [row.status for row in state.rows].count("done") == 4
    with pytest.raises(NotFound):
        one.preview_resume()
    assert do(one, one.preview_undo()).finished
    assert sum(len(served.data.rows[table]) for table in rec.LOAD_ORDER) == 1


# -- rules of the instance ---------------------------------------------------------------------------------------------


def test_what_a_rule_makes_of_a_record_is_read_and_said(served: PracticeInstance, store: Store) -> None:
    plan, one = small(served), hand_over(served, store)
    served.switches.rewrites = {"oauth_2_0_credentials.applies_to": "specific"}
    result = do(one, one.preview(plan))
    assert result.finished
    credential = next(row for row in result.rows if row.group_id == "oauth_2_0_credentials")
    assert (credential.status, credential.reason) == ("done", "changed")
    assert "applies_to is “specific” there, not “all”" in credential.message
    assert do(one, one.preview_undo()).counts() == {"done": 7}


def test_a_rule_that_leads_elsewhere_stops_the_apply(served: PracticeInstance, store: Store) -> None:
    plan, one = small(served), hand_over(served, store)
    served.switches.rewrites = {"oauth_entity_scope.oauth_entity_scope": "other"}
    result = do(one, one.preview(plan))
    assert "has changed oauth_entity_scope" in result.stopped
    assert served.data.rows["http_connection"] == {}
    assert do(one, one.preview_resume()).finished


def test_a_default_profile_with_another_grant_is_brought_to_the_plan(served: PracticeInstance, store: Store) -> None:
    plan, one = small(served), hand_over(served, store)
    write_ = served.api._write

    def other_grant(*arguments: Any) -> Any:
        answer = write_(*arguments)
        if arguments[:2] == ("POST", "oauth_entity"):
            for row in served.data.rows["oauth_entity_profile"].values():
                row["grant_type"] = "password"
        return answer

    served.api._write = other_grant  # type: ignore[method-assign]
    try:
        assert do(one, one.preview(plan)).finished
    finally:
        del served.api._write
    assert {row["grant_type"] for row in served.data.rows["oauth_entity_profile"].values()} == {"authorization_code"}


# -- what is somebody else's -------------------------------------------------------------------------------------------


def test_a_difference_is_only_written_when_it_was_confirmed_by_name(served: PracticeInstance, store: Store) -> None:
    plan = one_plan(served)
    fresh(served, plan)
    row = first(served.data.rows["http_connection"], "Berlin")
    row["connection_url"] = "https://api.atlassian.com/ex/jira/1"
    one = hand_over(served, store)
    preview = one.preview(plan)
    assert not preview.planned
    ((name, here),) = [
        (found["confirm"], found["there"]) for found in preview.frame.to_dict("records") if found["status"] == "refused"
    ]
    assert (name, here) == (f"{row['sys_id'][:8]}.connection_url", "https://api.atlassian.com/ex/jira/1")
    with pytest.raises(InputError, match="no difference 12345678"):
        one.preview(plan, update=["12345678.active"])
    confirmed = one.preview(plan, update=[name])
    assert confirmed.confirmation == "change 1 value on 127.0.0.1"
    assert do(one, confirmed).finished
    assert named(look(served, plan)) == []
    assert do(one, one.preview_undo()).finished
    assert row["connection_url"] == "https://api.atlassian.com/ex/jira/1"


def test_what_spokekit_made_is_brought_back_without_confirming_each(served: PracticeInstance, store: Store) -> None:
    plan, one = one_plan(fresh(served)), hand_over(served, store)
    do(one, one.preview(plan, groups=True))
    # As after a clone: everything is there, and the redirect and the URL lead elsewhere.
    first(served.data.rows["http_connection"], "Main")["connection_url"] = "https://other.example/"
    first(served.data.rows["oauth_entity"], "Main")["active"] = "false"
    assert {kind for kind, _, _ in named(look(served, plan))} == {"different", "orphaned"}
    preview = one.preview(plan)
    assert [step.action for step in preview.planned] == ["update", "update"]
    assert do(one, preview).finished
    assert named(look(served, plan)) == []


def test_undo_leaves_what_others_have_changed_or_use(served: PracticeInstance, store: Store) -> None:
    plan, one = small(served), hand_over(served, store)
    do(one, one.preview(plan))
    first(served.data.rows["http_connection"], "Berlin")["connection_url"] = "https://theirs.example/"
    result = do(one, one.preview_undo())
    reasons = {str(row.group_id): row.reason for row in result.rows if row.status == "refused"}
    assert reasons == {
        "http_connection": "changed_since",
        "oauth_2_0_credentials": "in_use",
        "sys_alias": "in_use",
        "oauth_entity_profile": "in_use",
        "oauth_entity": "in_use",
    }
    assert len(served.data.rows["http_connection"]) == 1
    assert served.data.rows["oauth_entity_scope"] == {}


def _parent(served: PracticeInstance) -> None:
    row = served.data.rows["sys_alias"].pop(served.parent_sys_id)
    served.data.rows["sys_alias"]["e" * 32] = row | {"sys_id": "e" * 32}


def _no_spoke(served: PracticeInstance) -> None:
    served.data.rows["sys_alias"].clear()


def _their_connection(served: PracticeInstance) -> None:
    values = {
        "name": "Theirs",
        "active": "true",
        "connection_alias": served.parent_sys_id,
        "connection_url": "https://api.atlassian.com/",
    }
    served.data.put("http_connection", values, "c" * 32)


def _their_site(served: PracticeInstance) -> None:
    _their_connection(served)
    row = served.data.rows["http_connection"]["c" * 32]
    row |= {"name": "Main", "connection_url": "https://api.atlassian.com/ex/confluence/other-site"}


def _their_app(served: PracticeInstance) -> None:
    served.data.put("oauth_entity", {"name": "Main OAuth", "client_id": "theirs"}, "d" * 32)


def _two_of_a_name(served: PracticeInstance) -> None:
    for key in ("1", "2"):
        served.data.put("oauth_2_0_credentials", {"name": "Main credential"}, key * 32)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (_parent, "on this instance it is e"),
        (_no_spoke, "has no alias sn_conflunce_spoke"),
        (_their_connection, "“Theirs” already, which is not of this plan"),
        (_their_site, "leads to another site"),
        (_their_app, "belongs to another app"),
        (_two_of_a_name, "2 records of oauth_2_0_credentials"),
    ],
)
def test_a_wrong_instance_is_refused_before_a_write(
    served: PracticeInstance, store: Store, act: Callable[[PracticeInstance], None], words: str
) -> None:
    plan = one_plan(fresh(served))
    plan = replace(plan, parts=tuple(replace(part, cloud_id="our-site") for part in plan.parts))
    one = hand_over(served, store)
    preview = one.preview(plan)
    act(served)
    served.requests.clear()
    for call in (lambda: one.preview(plan), lambda: do(one, preview)):
        with pytest.raises(PlanError, match=words):
            call()
    assert writes(served) == []
    assert one.journal.apply_ids() == ()


def test_an_instance_that_was_made_anew_is_refused_before_a_resume_writes(
    served: PracticeInstance, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, one = small(served), hand_over(served, store)
    preview = one.preview(plan)
    with monkeypatch.context() as patch:
        breaking(patch, 1, "killed before", only_writes=True)
        with pytest.raises(Killed):
            do(one, preview)
    _parent(served)
    served.requests.clear()
    with pytest.raises(PlanError, match="which the apply was begun with, is not on this instance"):
        do(one, one.preview_resume())
    assert writes(served) == []


def test_a_plan_for_another_address_is_refused_without_a_request(store: Store, served: PracticeInstance) -> None:
    plan = replace(one_plan(served), instance="acme")
    other = HandOver(store, "https://elsewhere.service-now.com/", SignIn("api-key", Secret("x")))
    with pytest.raises(InputError, match="The plan is for acme"):
        other.preview(plan)


def test_an_instance_that_changed_since_the_preview_and_wrong_words_are_refused(
    served: PracticeInstance, store: Store
) -> None:
    plan, one = one_plan(fresh(served)), hand_over(served, store)
    preview = one.preview(plan)
    served.requests.clear()
    with pytest.raises(InputError, match="confirmed in words"):
        one.apply(preview, confirm="yes")
    served.data.put("oauth_entity", {"name": "Main OAuth", "client_id": "app"}, "d" * 32)
    with pytest.raises(PlanError, match="not as the preview says"):
        do(one, preview)
    with pytest.raises(PlanError, match="Only a preview of this instance"):
        one.apply(replace(preview, place=replace(preview.place, cloud_id="https://x.example/")))
    with pytest.raises(PlanError, match="old"):
        do(one, replace(preview, made_at=preview.made_at.replace(year=2020)))
    with Lease(store, served.url), pytest.raises(Conflict, match="running"):
        do(one, one.preview(plan))
    assert writes(served) == []


# -- secrets, files, command line --------------------------------------------------------------------------------------


def test_no_secret_reaches_the_instance_the_journal_or_a_text(
    workspace: Workspace, served: PracticeInstance, home: Path
) -> None:
    fresh(served)
    saved = workspace.connections.add(ConnectionDraft(client_id="here"))
    workspace.tokens.set_client_secret(saved, Secret("planted-secret-77"))
    one = hand_over(served, workspace.store)
    plan = one.plan(client_id="app")
    result = do(one, one.preview(plan))
    assert result.finished
    shown = f"{one!r} {vars(one)!r} {result!r} {result.frame.to_string()} {entries(workspace.store).to_string()}"
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    for secret in (served.api_key, "planted-secret-77"):
        assert secret not in shown
        assert secret.encode() not in kept
    assert not any(row.get("client_secret") for row in served.data.rows["oauth_entity"].values())
    with InstanceWriter(served.url, SignIn("api-key", Secret(served.api_key))) as writer:
        served.requests.clear()
        with pytest.raises(PlanError, match="may hold a secret"):
            writer.create("oauth_entity", {"name": "x", "client_secret": "planted"})
        assert served.requests == []


def _edited(data: dict[str, Any], act: str) -> Any:
    record = data["connections"][0]["records"][0]
    if act == "secret":
        record["values"]["client_secret"] = "x"
    elif act == "column":
        record["values"]["sys_scope"] = "global"
    elif act == "table":
        record["table"] = "sys_user"
    elif act == "id":
        record["sys_id"] = "../../sys_user"
    elif act == "format":
        data["format"] = "spokekit-hand-over-9"
    elif act == "none":
        data["connections"] = []
    else:
        return [data]
    return data


def test_a_plan_comes_back_from_its_file_and_an_edited_one_is_a_sentence(
    workspace: Workspace, served: PracticeInstance, tmp_path: Path
) -> None:
    workspace.connections.add(ConnectionDraft(client_id="here"))
    plan = make_plan(workspace.store, parent_sys_id=served.parent_sys_id, client_id="app")
    folder = write(plan, tmp_path / "plan")
    again = read_plan(folder)
    assert list(again.records()) == list(plan.records())
    assert read_plan(folder / "records.json") == again
    assert statuses(
        do(hand_over(fresh(served), workspace.store), hand_over(served, workspace.store).preview(again))
    ) == {"done"}
    assert named(look(served, plan)) == []
    for act in ("secret", "column", "table", "id", "format", "none", "list"):
        path = tmp_path / f"{act}.json"
        path.write_text(json.dumps(_edited(json.loads((folder / "records.json").read_text()), act)))
        with pytest.raises(InputError, match=r"cannot be used as a plan|not a sys_id"):
            read_plan(path)
    (tmp_path / "bad.json").write_bytes(b"\xff{")
    with pytest.raises(InputError, match="cannot be used as a plan"):
        read_plan(tmp_path / "bad.json")
    with pytest.raises(NotFound, match="There is no plan"):
        read_plan(tmp_path / "nothing")


def places(found: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to each value of what JSON holds."""
    rows = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for key, value in rows:
        yield (*at, key)
        yield from places(value, (*at, key))


PLANNED = as_json(one_plan(PracticeInstance()))


@given(
    place=st.sampled_from(list(places(PLANNED))),
    put=st.sampled_from([None, 1, True, "", "x", "\ud800", "a\x00b", "0" * 32, [], {}, {"a": 1}, "taken away"]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_plan_that_was_edited_anywhere_is_a_plan_or_a_sentence(
    served: PracticeInstance, tmp_path: Path, place: tuple[Any, ...], put: Any
) -> None:
    edited = copy.deepcopy(PLANNED)
    inside = edited
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = put
    if put == "taken away":
        del inside[place[-1]]
    path = tmp_path / "records.json"
    path.write_text(json.dumps(edited))
    try:
        plan = read_plan(path)
    except InputError:
        return
    fresh(served)
    with closing(Store("sqlite://")) as store, suppress(SpokekitError):
        one = hand_over(served, store)
        do(one, one.preview(plan, groups=True))
        do(one, one.preview_undo())


@pytest.mark.parametrize("wrong", ["twice", "names nothing", "no name"])
def test_a_plan_whose_records_do_not_fit_together_is_refused(tmp_path: Path, wrong: str) -> None:
    edited = copy.deepcopy(PLANNED)
    records = edited["connections"][0]["records"]
    if wrong == "twice":
        records.append(records[0])
    elif wrong == "names nothing":
        records[1]["values"]["oauth_entity"] = "e" * 32
    else:
        del records[0]["values"]["name"]
    (tmp_path / "records.json").write_text(json.dumps(edited))
    words = {"twice": "same record twice", "names nothing": "that it does not have", "no name": "has no name"}[wrong]
    with pytest.raises(InputError, match=words):
        read_plan(tmp_path)


def test_a_wrong_key_is_a_sentence(served: PracticeInstance, store: Store) -> None:
    plan = small(served)
    one = HandOver(store, served.url, SignIn("api-key", Secret("planted-88")))
    with pytest.raises(TokenRejected, match="does not accept this API key") as refused:
        one.preview(plan)
    assert "planted-88" not in str(refused.value)


def test_on_the_command_line(
    workspace: Workspace,
    served: PracticeInstance,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(HandOver.__init__.__kwdefaults__, "pace", 10_000)
    fresh(served)
    workspace.connections.add(ConnectionDraft(client_id="here"))
    key = tmp_path / "key"
    key.write_text(f"{served.api_key}\n")
    key.chmod(0o600)
    where = ("--instance", served.url, "--api-key-file", str(key))
    code, out, err = run(capsys, "handover", "apply", *where, "--app-id", "app", "--format", "json")
    assert not code
    steps_ = json.loads(out)
    assert {row["status"] for row in steps_} == {"planned"}
    assert "a dry run" in err
    assert served.data.rows["oauth_entity"] == {}
    mark = err.partition("Fingerprint ")[2][:12]
    apply = ("handover", "apply", *where, "--app-id", "app", "--write")
    code, _, err = run(capsys, *apply)
    assert code == 1
    assert f"type “make {len(steps_)} records on 127.0.0.1” in a terminal" in err
    code, _, err = run(capsys, *apply, "--yes", "--fingerprint", "0000")
    assert code == 1
    assert "another fingerprint" in err
    code, out, err = run(capsys, *apply, "--yes", "--fingerprint", mark, "--format", "json")
    assert not code, err
    assert {row["status"] for row in json.loads(out)} == {"done"}
    code, out, err = run(capsys, "handover", "compare", *where, "--app-id", "app")
    assert (code or 0, out) == (0, "")
    code, out, _ = run(capsys, "handover", "journal", "--format", "json")
    assert [row["event"] for row in json.loads(out)].count("row_ended") == len(steps_)
    code, _, err = run(capsys, "handover", "resume", *where)
    assert code == 1
    assert "nothing to resume" in err
    code, _, err = run(capsys, "handover", "drop", *where)
    assert code == 1
    code, _, err = run(capsys, "handover", "undo", *where)
    assert not code
    assert "a dry run" in err
    assert served.data.rows["oauth_entity"]
    code, _, err = run(capsys, "handover", "undo", *where, "--write", "--yes")
    assert not code, err
    assert served.data.rows["oauth_entity"] == {}
    assert served.api_key not in out + err
    for more, words in (
        (("--plan", str(tmp_path / "none")), "There is no plan"),
        (("--plan", str(tmp_path), "--app-id", "x"), "exclude each other"),
        (("--update", "12345678.name"), "no difference 12345678"),
    ):
        code, _, err = run(capsys, "handover", "apply", *where, *more)
        assert code == 1
        assert words in err
    code, _, err = run(
        capsys, "handover", "apply", "--instance", "https://a:b@acme.example/", "--api-key-file", str(key)
    )
    assert code == 1
    assert "name and a password" in err
