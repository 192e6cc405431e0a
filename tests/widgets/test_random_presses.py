"""Random presses in random order: nothing is applied, registered, saved or accepted that is not on the screen then."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spokekit.audit import Findings
from spokekit.errors import SpokekitError
from spokekit.widgets import ConnectionForm, FindingsPanel, GroupPicker, MembershipEditor, SecretField, WalkPanel

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite
    from spokekit.widgets import Component

SEEN = dict.fromkeys(("members", "groups", "connections", "findings"), 0)
EXAMPLES = int(os.environ.get("SPOKEKIT_EXAMPLES", "5"))
PRESSES = 24
DOING = ("Preview", "Apply", "OK", "Save", "Accept", "Add", "← Remove")
drawn = settings(
    max_examples=EXAMPLES,
    derandomize="SPOKEKIT_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
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
            assert after.redirect_uri == screen.fields["OAuth redirect URL"].strip()
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


def test_something_was_done() -> None:
    """The presses of the tests above did reach what they watch."""
    assert all(SEEN.values()), f"never reached: {[what for what, times in SEEN.items() if not times]}"
