"""Random presses in random order: nothing is applied, registered, saved or accepted that is not on the screen then."""

from __future__ import annotations

import html
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from spokekit._secret import Secret
from spokekit.audit import Findings
from spokekit.connections.connection import ConnectionDraft
from spokekit.errors import SpokekitError
from spokekit.review import Reviews
from spokekit.review.decisions import Choice
from spokekit.widgets import (
    ConnectionForm,
    ConnectionsPanel,
    FindingsPanel,
    GroupPicker,
    LessonPanel,
    MembershipEditor,
    ReviewPanel,
    SecretField,
    WalkPanel,
)

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite
    from spokekit.review import Campaign
    from spokekit.review.records import Row
    from spokekit.widgets import Component

SEEN = dict.fromkeys(("members", "groups", "connections", "removed", "findings", "decided", "applied", "lesson"), 0)
EXAMPLES = int(os.environ.get("SPOKEKIT_EXAMPLES", "5"))
PRESSES = 24
DOING = ("Preview", "Apply", "OK", "Save", "Accept", "Add", "← Remove", "Remove", "Yes", "Begin", "Answer")
DOING += ("Start over", "Keep", "Ask", "Exception", "Sign", "Take")
drawn = settings(
    max_examples=EXAMPLES,
    derandomize="SPOKEKIT_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    # A number is a throw of dice: a smaller one is no simpler case, and looking for it takes minutes.
    phases=(Phase.explicit, Phase.generate),
)


def visible(widget: Any, *, live: bool = True) -> Iterator[tuple[Any, bool]]:
    """Yield each widget that a person sees, and whether it is live: neither it nor what holds it is greyed."""
    layout = getattr(widget, "layout", None)
    if layout is not None and (layout.display == "none" or layout.visibility == "hidden"):
        return
    live = live and "sk-stale" not in getattr(widget, "_dom_classes", ())
    yield widget, live
    children = getattr(widget, "children", ())
    if isinstance(widget, ipw.Tab | ipw.Accordion | ipw.Stack):
        chosen = widget.selected_index
        children = () if chosen is None else (children[chosen],)
    for child in children:
        yield from visible(child, live=live)


def plain(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", markup))


@dataclass
class Screen:
    """What a person can read at one moment."""

    words: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, component: Component) -> Screen:
        self = cls()
        for widget, live in visible(component):
            if isinstance(widget, ipw.HTML) and live:
                self.words += plain(widget.value) + "\n"
            name = getattr(widget, "description", "")
            if isinstance(widget, ipw.Text | ipw.Textarea | ipw.Dropdown | ipw.Checkbox | ipw.SelectMultiple):
                self.fields[name] = widget.value
            if isinstance(widget, ipw.Dropdown | ipw.Select | ipw.SelectMultiple):
                self.options[name] = [label for label, _ in widget.options] if widget.options else []
        return self


class Person:
    """Presses, types and chooses on one component, as the drawn numbers say."""

    def __init__(
        self, component: Component, texts: list[str] | Mapping[str, list[str]], files: list[bytes] | None = None
    ) -> None:
        self.component = component
        self.texts = texts
        self.files = files or []

    def controls(self) -> list[Any]:
        found = []
        for widget, _ in visible(self.component):
            kinds = (ipw.Button, ipw.Text, ipw.Textarea, ipw.Dropdown, ipw.SelectMultiple, ipw.Checkbox, ipw.FileUpload)
            if isinstance(widget, kinds) and not widget.disabled:
                found.append(widget)
        return found

    def acts(self, dice: Random) -> tuple[str, Screen]:
        """Do one thing; returns what was pressed, if it was a button, and the screen right before."""
        controls = self.controls()
        buttons = [one for one in controls if isinstance(one, ipw.Button)]
        doing = [one for one in buttons if one.description.startswith(DOING)]
        fields = [one for one in controls if not isinstance(one, ipw.Button)]
        # What does something is pressed most, and marks and texts change more often than choices.
        fields += [one for one in fields if not isinstance(one, ipw.Dropdown | ipw.Checkbox)] * 2
        widget = dice.choice(dice.choices([kind or controls for kind in (doing, fields, buttons)], [4, 4, 1])[0])
        before = Screen.of(self.component)
        if isinstance(widget, ipw.Button):
            widget.click()
            return widget.description, before
        if isinstance(widget, ipw.Dropdown):
            widget.value = dice.choice([value for _, value in widget.options])
        elif isinstance(widget, ipw.SelectMultiple):
            values = [value for _, value in widget.options]
            widget.value = tuple(dice.sample(values, min(len(values), dice.randint(1, 3))))
        elif isinstance(widget, ipw.Checkbox):
            widget.value = not widget.value
        elif isinstance(widget, ipw.FileUpload):
            if self.files:
                content = dice.choice(self.files)
                upload = {"name": "list.csv", "type": "text/csv", "size": len(content), "content": memoryview(content)}
                widget.value = ({**upload, "last_modified": datetime.now(UTC)},)
        else:
            asked = re.findall(r"[Tt]ype:? [“\"']?([^”\"'.\n]+)", before.words)
            texts = self.texts if isinstance(self.texts, list) else self.texts.get(widget.description, [widget.value])
            widget.value = dice.choice([*texts, *asked])
        return "", before

    def goes_on(self, throws: list[int], check: Callable[[str, Screen], None]) -> None:
        """Do one thing a number; sometimes the next one comes before the last is done."""
        for place, number in enumerate(throws):
            dice = Random(number * PRESSES + place)
            pressed, screen = self.acts(dice)
            if pressed or dice.random() < 0.5:
                with suppress(SpokekitError):
                    self.component.settled()
            check(pressed, screen)
        with suppress(SpokekitError):
            self.component.settled()
        check("", Screen())


def state_of(site: PracticeSite, names: Mapping[str, str]) -> set[tuple[str, str]]:
    return {(group, account) for group in names for account in site.world.member_ids(group)}


@pytest.fixture
def registered(connected: Workspace, site: PracticeSite) -> Workspace:
    groups = site.world.frames(tables=("groups",))["groups"]
    connection = connected.connection()
    connected.connections.set_account(connection.connection_id, site.account_id, "The administrator")
    connected.registry().add(
        list(groups[groups["name"].isin(["marketing", "legal-counsel"])]["group_id"]), groups=groups
    )
    site.switches.quota = 10**9
    return connected


@given(throws=st.lists(st.integers(0, 2**20), min_size=PRESSES, max_size=PRESSES))
@drawn
def test_members(registered: Workspace, site: PracticeSite, throws: list[int]) -> None:
    frames = site.world.frames(tables=("groups", "users"))
    names = dict(zip(frames["groups"]["group_id"], frames["groups"]["name"], strict=True))
    users = frames["users"].set_index("account_id")
    some = [one for one in site.world.member_ids("confluence-users") if one != site.account_id][:4]
    some += site.world.member_ids("marketing")[:2]
    editor = MembershipEditor(workspace=registered)
    with suppress(SpokekitError):
        editor.settled()
    files = [
        f"account_id\n{some[0]}\n{some[1]}\n".encode(),
        f"group,account_id\nlegal-counsel,{some[2]}\n".encode(),
        b"x\ny\n",
    ]
    now = [state_of(site, names)]
    changes = 0

    def check(pressed: str, screen: Screen) -> None:
        nonlocal changes
        after = state_of(site, names)
        for group, account in now[0] ^ after:
            changes += 1
            assert pressed, "something was applied that nobody pressed for"
            assert names[group] in ("marketing", "legal-counsel"), "a group was changed that is not registered"
            named = users.loc[account, "display_name"] in screen.words or account in screen.words
            assert named, f"{pressed} changed {account}, who was not on the screen"
            assert names[group] in screen.words, f"{pressed} changed {names[group]}, which was not on the screen"
        now[0] = after

    Person(editor, [*some, ", ".join(some[:2]), "nobody@example.com", "", "marketing"], files).goes_on(throws, check)
    assert set(site.writes) <= set(registered.registry().ids())
    SEEN["members"] = SEEN.get("members", 0) + changes


@given(throws=st.lists(st.integers(0, 2**20), min_size=PRESSES, max_size=PRESSES))
@drawn
def test_groups(registered: Workspace, site: PracticeSite, throws: list[int]) -> None:
    picker = GroupPicker(workspace=registered)
    picker.settled()
    frame = site.world.frames(tables=("groups",))["groups"]
    names = dict(zip(frame["group_id"], frame["name"], strict=True))
    now = [set(registered.registry().ids())]

    def check(pressed: str, screen: Screen) -> None:
        after = set(registered.registry().ids())
        if now[0] == after:
            return
        SEEN["groups"] = SEEN.get("groups", 0) + 1
        assert pressed == "OK", f"{pressed or 'no button'} changed which groups are registered"
        for group in now[0] ^ after:
            if not screen.fields["Filter selected"]:
                shown = any(names[group] in label for label in screen.options["Selected"])
                assert shown == (group in after), f"{names[group]} was not shown as it was registered"
            said = f"register {len(after - now[0])} " if group in after else f"take {len(now[0] - after)} "
            assert names[group] in screen.words or said in screen.words, "what OK does was not on the screen"
        now[0] = after

    Person(picker, ["", "mark", "conf", "zzz", "<b>"]).goes_on(throws, check)


@given(throws=st.lists(st.integers(0, 2**20), min_size=PRESSES, max_size=PRESSES))
@drawn
def test_a_connection(registered: Workspace, site: PracticeSite, throws: list[int]) -> None:
    form = ConnectionForm(workspace=registered)
    secrets = [widget for widget, _ in visible(form) if isinstance(widget, SecretField)]
    assert secrets
    now = [registered.connection()]

    def check(pressed: str, screen: Screen) -> None:
        after = registered.connection()
        if (after.name, after.client_id, after.redirect_uri, after.url) != (
            now[0].name,
            now[0].client_id,
            now[0].redirect_uri,
            now[0].url,
        ):
            SEEN["connections"] = SEEN.get("connections", 0) + 1
            assert pressed.startswith("Save"), f"{pressed or 'no button'} saved the connection"
            assert after.name == screen.fields["Name"].strip()
            assert after.client_id == screen.fields["OAuth client ID"].strip()
            if "OAuth redirect URL" in screen.fields:
                assert after.redirect_uri == screen.fields["OAuth redirect URL"].strip()
            else:
                # A service account's token comes without a consent, and without an address to come back to.
                assert after.is_service_account
            assert after.url.rstrip("/") == screen.fields["Connection URL"].strip().rstrip("/")
        now[0] = after

    texts = {
        "Name": ["One name", "Another name", "<b>x</b>", ""],
        "OAuth client ID": ["A-client-id", site.client_id, " B-client-id ", "=1+1"],
        "OAuth redirect URL": [site.redirect_uris[0], "http://localhost:8751/callback", "x"],
        "Connection URL": [site.url, "", "http://127.0.0.1:1/"],
    }
    person = Person(form, texts)
    # The consent opens a browser; what is saved is the same with the other button.
    person.controls = lambda: [  # type: ignore[method-assign]
        one
        for one in Person.controls(person)
        if not isinstance(one, ipw.Button) or one.description in ("Save", "▸ Advanced", "▾ Advanced")
    ]
    person.goes_on(throws, check)


@pytest.fixture
def walked(registered: Workspace) -> WalkPanel:
    panel = WalkPanel(workspace=registered)
    panel.rehearse(groups="all")
    return panel


@given(throws=st.lists(st.integers(0, 2**20), min_size=PRESSES, max_size=PRESSES))
@settings(drawn, max_examples=max(2, EXAMPLES // 2))
def test_findings(walked: WalkPanel, registered: Workspace, throws: list[int]) -> None:
    panel = FindingsPanel(walked)
    decided: list[dict[str, Any]] = [{}]

    def accepted() -> dict[str, Any]:
        frame = Findings(registered.connection().cloud_id).frame()
        frame = frame[frame["state"] == "accepted"]
        return {row.finding_id: (row.reason, row.accepted_by, row.about) for row in frame.itertuples()}

    decided[0] = accepted()

    def check(pressed: str, screen: Screen) -> None:
        after = accepted()
        if after != decided[0]:
            SEEN["findings"] = SEEN.get("findings", 0) + 1
            assert pressed.startswith(("Accept", "Take back")), f"{pressed or 'no button'} decided something"
            new = {one: said for one, said in after.items() if decided[0].get(one) != said}
            for reason, by, _ in new.values():
                assert (reason, by) == (screen.fields["Reason"].strip(), screen.fields["Your name"].strip())
            assert len(new) <= len(screen.fields["New findings"]), "more was accepted than was marked on the screen"
        decided[0] = after

    for _, question in panel.question.options[1:]:
        panel.question.value = question
        panel.look()
        panel.settled()
        if panel.marks.options:
            break
    panel.marks.value = tuple(value for _, value in panel.marks.options[:2])
    texts = {
        "Filter": ["", "a", "zzz"],
        "Reason": ["", "It is the service desk's", "<b>so</b>"],
        "Your name": ["Ada", "Grace"],
        "Until": ["", "", "2099-01-01", "yesterday"],
    }
    Person(panel, texts).goes_on(throws, check)


# What opens a browser, writes a folder or takes long stays unpressed; what it does has tests of its own.
UNPRESSED = ("Get OAuth Token", "Save and Get OAuth Token", "Close with evidence", "Walk again", "Open the review")


def presses_but(component: Component, texts: Any, *unpressed: str, files: list[bytes] | None = None) -> Person:
    person = Person(component, texts, files)
    person.controls = lambda: [  # type: ignore[method-assign]
        one
        for one in Person.controls(person)
        if not isinstance(one, ipw.Button) or not one.description.startswith(unpressed)
    ]
    return person


@given(throws=st.lists(st.integers(0, 2**20), min_size=PRESSES, max_size=PRESSES))
@settings(drawn, max_examples=max(2, EXAMPLES // 2))
def test_the_list_of_connections(registered: Workspace, site: PracticeSite, throws: list[int]) -> None:
    connections = registered.connections
    for number in range(3):
        name = f"Spare {number}"
        if name not in {one.name for one in connections.list()}:
            saved = connections.add_child(ConnectionDraft(name=name, client_id=site.client_id))
            registered.tokens.set_client_secret(saved, Secret("a-secret-of-the-app"))
            registered.tokens.save_grant(saved, site.issue_token())
    panel = ConnectionsPanel(workspace=registered)

    def state() -> dict[str, tuple[str, bool]]:
        tokens = registered.tokens
        return {
            one.connection_id: (one.name, tokens.status(one).state in ("valid", "expired"))
            for one in connections.list()
        }

    now = [state()]

    def check(pressed: str, screen: Screen) -> None:
        after = state()
        for one in {*now[0], *after}:
            (name, token), (new_name, new_token) = now[0].get(one, ("", False)), after.get(one, ("", False))
            if one not in after:
                SEEN["removed"] += 1
                assert pressed == "Yes, remove it", f"{pressed or 'no button'} removed a connection"
                assert f"Remove “{name}” with its secret and token" in screen.words
            elif name != new_name:
                assert pressed == "Save" and new_name == screen.fields["Name"].strip()
            elif token and not new_token:
                forgets = pressed == "Yes, forget it" and f"Forget the token of “{name}”?" in screen.words
                # A secret belongs to its app: another client ID in the form forgets both.
                assert forgets or (pressed == "Save" and screen.fields["Name"].strip() == new_name)
        now[0] = after

    texts = {
        "Name": ["One name", "Another name", ""],
        "OAuth client ID": [site.client_id],
        "OAuth redirect URL": [site.redirect_uris[0], "x"],
    }
    presses_but(panel, texts, *UNPRESSED).goes_on(throws, check)


@pytest.mark.parametrize("state", ["Open", "Decided"])
@given(throws=st.lists(st.integers(0, 2**20), min_size=PRESSES, max_size=PRESSES))
@settings(drawn, max_examples=max(1, EXAMPLES // 4))
def test_a_review(walked: WalkPanel, registered: Workspace, site: PracticeSite, state: str, throws: list[int]) -> None:
    reviews = Reviews.of(registered)
    campaign = reviews.open(f"r{len(reviews.names())}")
    rows = [row for row in campaign.rows if not row.routed_out and row.group_name == "marketing"]
    said = [Choice(row.row_id, "keep", "needed", "", "Robin Other") for row in campaign.rows if not row.routed_out]
    campaign.take([one for one in said if one.row_id not in {row.row_id for row in rows[:3]}])
    sheet = worksheet_with(campaign, rows[2:4])
    if state == "Decided":
        campaign.take([Choice(row.row_id, "remove", "left", "", "Robin Other") for row in rows[:3]])
        campaign.sign("Kim Muster", "Head of IT")
    names = dict(zip(*(site.world.frames(tables=("groups",))["groups"][c] for c in ("group_id", "name")), strict=True))
    panel = ReviewPanel(workspace=registered)
    panel.filter.value = "marketing"
    panel.list.value = tuple(row_id for _, row_id in panel.list.options)[:2]
    panel.by.value, panel.role.value = "Kim Muster", "Head of IT"
    now = [len(campaign.events), state_of(site, names)]

    def check(pressed: str, screen: Screen) -> None:
        told = reviews.get(campaign.name)
        new, after = told.events[now[0] :], state_of(site, names)
        for event in new:
            if event.event == "decided" and pressed.startswith("Take its decisions"):
                assert re.search(r"[1-9]\d* decisions? in the worksheet", screen.words)
            elif event.event == "decided":
                SEEN["decided"] += 1
                row = told.row(event.row_id)
                assert pressed.lower().startswith(event.decision), f"{pressed or 'no button'} decided {event.decision}"
                assert event.reason == screen.fields["Reason"].strip()
                label = " · ".join((row.group_name, told.called(row.account_id)))
                assert any(label in line for line in screen.options["Rows"]), f"{label} was not on the screen"
            elif event.event == "signed":
                assert pressed == "Sign the decisions"
                assert (event.detail["name"], event.detail["role"]) == (
                    screen.fields["Your name"].strip(),
                    screen.fields["Your role"].strip(),
                )
            else:
                assert pressed.startswith(("Preview", "Apply", "Resume")), f"{pressed or 'no button'}: {event.event}"
        for group, account in now[1] ^ after:
            SEEN["applied"] += 1
            assert pressed.startswith(("Apply", "Resume")), f"{pressed or 'no button'} applied something"
            seen = told.called(account) in screen.words and names[group] in screen.words
            assert seen, "what was applied was not on the screen"
        now[:] = len(told.events), after

    texts = {
        "Filter rows": ["marketing", "legal", "marketing", "zzz"],
        "Reason": ["", "known to the team", "<b>so</b>"],
        "Exception until": ["", "2099-01-01", "yesterday"],
        "Your name": ["Kim Muster", ""],
        "Your role": ["Head of IT"],
    }
    panel.chosen.disabled = True
    presses_but(panel, texts, *UNPRESSED, "▸ Open a new", files=[sheet, b"x\ny\n"]).goes_on(throws, check)


def worksheet_with(campaign: Campaign, rows: list[Row]) -> bytes:
    """Return the worksheet of `campaign` in which somebody removes `rows`."""
    with tempfile.TemporaryDirectory() as folder:
        filled = pd.read_csv(campaign.worksheet(Path(folder) / "sheet.csv"), dtype=str, keep_default_na=False)
    chosen = filled["row_id"].isin([str(row.row_id) for row in rows])
    filled.loc[chosen, ["decision", "reason", "reviewer"]] = ["remove", "left", "Robin Other"]
    return filled.to_csv(index=False).encode()


@given(throws=st.lists(st.integers(0, 2**20), min_size=PRESSES, max_size=PRESSES))
@settings(drawn, max_examples=2)
def test_a_lesson(site: PracticeSite, home: Path, throws: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPOKEKIT_PRACTICE", json.dumps(site.describe()))
        patch.setenv("SPOKEKIT_VAULT", "file")
        panel = LessonPanel("synced-group")
        # The second panel goes on with what the first one left.
        begun = panel.attempt
        now: list[Any] = [begun.number if begun else 0, len(begun.events) if begun else 0, None]
        if begun is not None and (begun.home / "answer.json").exists():
            now[2] = json.loads((begun.home / "answer.json").read_text())

        def check(pressed: str, screen: Screen) -> None:
            attempt = panel.attempt
            number = attempt.number if attempt is not None else 0
            noted = [one.event for one in attempt.events] if attempt is not None else []
            answer = attempt.home / "answer.json" if attempt is not None else None
            said = json.loads(answer.read_text()) if answer is not None and answer.exists() else None
            if number != now[0]:
                SEEN["lesson"] += 1
                again = "The practice site goes back to the start of this lesson" in screen.words
                assert pressed == "Begin" or (pressed == "Yes, start over" and again)
                now[:] = number, 0, None
            elif said != now[2]:
                assert pressed == "Answer" and said == [screen.fields["Your answer"]]
            for event in noted[now[1] :]:
                presses = {"answered": "Answer", "checked": "Check", "hint": "Hint", "solution": "Solution"}
                if event in presses:
                    assert pressed.startswith(presses[event]), f"{pressed or 'no button'} noted {event}"
            now[:] = number, len(noted), said

        presses_but(panel, {}, *UNPRESSED).goes_on(throws, check)


def test_something_was_done() -> None:
    """The presses of the tests above did reach what they watch."""
    assert all(SEEN.values()), f"never reached: {[what for what, times in SEEN.items() if not times]}"
