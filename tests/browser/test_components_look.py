"""Every component in both themes: each control has a name, each text can be read, nothing is cut; and pictures."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

import spokekit.widgets
from spokekit.audit import Audit, Site
from spokekit.board import wire
from spokekit.board.server import BoardSite
from spokekit.connections.connection import ConnectionDraft
from spokekit.groups.membership import Membership
from spokekit.practice import PracticeSite
from spokekit.review import Choice, Reviews
from spokekit.training.testing import free_ports
from tests.browser.axe import findings_of_part
from tests.browser.jupyterlab_page import Lab, NotebookPage
from tests.groups.test_resume import broken_off

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from spokekit._workspace import Workspace

GALLERY = {
    "Where you are": "from spokekit.widgets import Guide\nguide = Guide(step=4)\nguide",
    "What to copy into the app": "from spokekit.widgets import AppSheet\nAppSheet(guide)",
    "Edit the connection": (
        "from spokekit.widgets import ConnectionForm\nform = ConnectionForm()\n"
        "form.fields['url'].value = 'https://acme.atlassian.net/'\nform.fields['name'].value = ''\nform.save()\nform"
    ),
    "Get the OAuth token": (
        "from spokekit.widgets import TokenButton\ntoken = TokenButton()\ntoken.way.value = 'paste'\ntoken.get()\n"
        "import time\nwhile not token.waiting: time.sleep(0.02)\ntoken"
    ),
    "Confluence Cloud": (
        "from spokekit.widgets import ConnectionsPanel\npanel = ConnectionsPanel()\n"
        "for name in ('View Details', 'Remove'):\n"
        "    [b for b in panel._list.children[0].children[1].children if b.description == name][0].click()\npanel"
    ),
    "Check the connection": (
        "from spokekit.widgets import CheckPanel\ncheck = CheckPanel()\ncheck.check()\ncheck.settled()\ncheck"
    ),
    "Add Confluence groups": (
        "from spokekit.widgets import GroupPicker\npicker = GroupPicker()\npicker.settled()\n"
        "picker.only_access.value = False\npicker.mark_empty()\npicker.settled()\n"
        "picker.choose(picker.model.shown('available')[3:6])\npicker"
    ),
    "All groups": ("from spokekit.widgets import GroupTable\nGroupTable(picker._groups, title='All groups')"),
    "Manage members": (
        "from spokekit.widgets import MembershipEditor\nregistry = picker._workspace.registry()\n"
        "registry.add(picker.model.shown('available')[:2], groups=picker._groups)\n"
        "editor = MembershipEditor()\neditor.settled()\n"
        "editor.mark(list(editor.members['account_id'])[:2])\neditor.make_preview()\neditor.settled()\neditor"
    ),
    "Walk the site": ("from spokekit.widgets import WalkPanel\nwalk = WalkPanel()\nwalk.rehearse()\nwalk"),
    "Ask": (
        "from spokekit.widgets import QuestionPanel\nasking = QuestionPanel(walk)\n"
        "asking.ask()\nasking.settled()\nasking"
    ),
    "Findings": (
        "from spokekit.widgets import FindingsPanel\nfound = FindingsPanel(walk)\n"
        "found.rehearse(question='group-sizes')\nfound"
    ),
    "Review access": ("from spokekit.widgets import ReviewPanel\nreview = ReviewPanel()\nreview.rehearse()\nreview"),
    "Where you are in the lessons": "from spokekit.widgets import ChapterGuide\nChapterGuide('C')",
    "A class": "from spokekit.widgets import JoinPanel\njoining = JoinPanel()\njoining.fold.shown = True\njoining",
    "Hand over to an instance": (
        "from spokekit.widgets import HandoverPanel\nhanding = HandoverPanel()\nhanding.rehearse()\n"
        "handing.make_a_clone()\nhanding.compare()\nhanding.settled()\nhanding.make_preview()\nhanding.settled()\nhanding"
    ),
    # Beginning it would set the practice site back under all the others.
    "A synced group": "from spokekit.widgets import LessonPanel\nLessonPanel('synced-group')",
}

# What a component shows at moments that the gallery does not come by; each on what `moments` has prepared.
MOMENTS = {
    "An interrupted apply": ("Manage members", "editor = MembershipEditor()\neditor.settled()\neditor"),
    "Resume": (
        "Manage members",
        "editor = MembershipEditor()\neditor.settled()\neditor.go_on()\neditor.settled()\neditor",
    ),
    "Result": (
        "Manage members",
        "editor = MembershipEditor()\neditor.settled()\neditor.choose('marketing')\neditor.settled()\n"
        "editor.mark(list(editor.members['account_id'])[:2])\neditor.make_preview()\neditor.settled()\n"
        "editor.apply()\neditor.settled()\neditor",
    ),
    "Another account": (
        "Get the OAuth token",
        "asked = TokenButton()\nasked.way.value = 'paste'\nasked.get()\nconsent(asked, lambda: asked.busy)\n"
        "import time\nwhile asked.status_kind != 'asking': time.sleep(0.02)\nasked",
    ),
    "Connections": (
        "Confluence Cloud",
        "panel = ConnectionsPanel()\nform = panel.open_add()\n"
        "[b for b in panel._list.children[0].children[1].children if b.description == 'Remove'][0].click()\npanel",
    ),
    "Only what changed": (
        "Walk the site",
        "walk = WalkPanel()\nwalk.rehearse(groups='all')\nwalk.changed.value = True\nwalk.look()\nwalk.settled()\nwalk",
    ),
    "A question that waits": (
        "Ask",
        "asking = QuestionPanel(walk)\nasking.question.value = 'open-spaces'\nasking.start.click()\nasking",
    ),
    "Accepted": (
        "Findings",
        "found = FindingsPanel(walk)\nfound.rehearse()\nfound.marks.value = (found.marks.options[0][1],)\n"
        "found.reason.value, found.name.value, found.until.value = 'Begins in spring', 'Ann Auditor', '2027-03-31'\n"
        "found.accept.click()\nfound.settled()\nfound",
    ),
    "Proof": ("Review access", "ReviewPanel()"),
    "Service account": (
        "Add a connection",
        "form = ConnectionForm(add=True)\nform.fields['grant'].value = 'service-account'\n"
        "form.fields['read_only'].value = True\nform",
    ),
}
# Lessons that show a panel's states: one with an answer, one with a connection in it and a remark at its end.
STATES_OF = {"synced-group": "A synced group", "redirect-mismatch": "Redirect mismatch"}

# Names of controls, contrast of texts (WCAG: 4.5 to 1), labels that are cut, ids that are there twice.
AUDIT = """(root) => {
  const found = [];
  const visible = (e) => e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length;
  const rgba = (c) => (c.match(/[\\d.]+/g) ?? []).map(Number);
  const over = (top, under) => {
    const a = top[3] ?? 1;
    return [0, 1, 2].map((i) => top[i] * a + under[i] * (1 - a));
  };
  const ground = (e) => {
    const layers = [];
    for (let n = e; n; n = n.parentElement) layers.push(rgba(getComputedStyle(n).backgroundColor));
    return layers.reverse().reduce((under, layer) => (layer.length ? over(layer, under) : under), [255, 255, 255]);
  };
  const light = (c) => {
    const [r, g, b] = c.map((v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (const e of root.querySelectorAll('select, input, textarea, button, a, summary, [tabindex="0"]')) {
    if (!visible(e)) continue;
    const name = (e.getAttribute('aria-label') ?? '') + [...(e.labels ?? [])].map((l) => l.textContent).join(' ')
      + (e.matches('button, a, summary') ? e.textContent : '');
    if (!name.trim()) found.push(`no name: ${e.outerHTML.slice(0, 120)}`);
    if (!e.hasAttribute('data-lm-suppress-shortcuts')) found.push(`not guarded: ${e.outerHTML.slice(0, 120)}`);
    if (e.matches('button') && e.scrollWidth > e.clientWidth + 1) found.push(`cut: ${e.textContent}`);
  }
  for (const label of root.querySelectorAll('label'))
    if (visible(label) && label.scrollWidth > label.clientWidth + 1) found.push(`cut: ${label.textContent}`);
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !visible(e) || e.closest('option, :disabled, style')) continue;
    const back = ground(e), front = over(rgba(getComputedStyle(e).color), back);
    const [a, b] = [light(back), light(front)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(1)}: ${texts.currentNode.textContent.trim().slice(0, 60)}`);
  }
  return found;
}"""


def test_the_gallery_has_every_component() -> None:
    """The page with all of them is walked on its own (tests/browser/test_voila.py)."""
    components = {
        name
        for name in spokekit.widgets.__all__
        if isinstance(made := getattr(spokekit.widgets, name), type) and issubclass(made, spokekit.widgets.Component)
    }
    assert components - {"Component", "OnePage"} <= set(" ".join(GALLERY.values()).replace("(", " ").split())


@pytest.fixture
def gallery(open_notebook: Callable[..., NotebookPage], connected: Workspace, site: PracticeSite) -> NotebookPage:
    """A notebook with every component, on a connected home."""
    env = {"SPOKEKIT_PRACTICE": json.dumps(site.describe())}
    notebook = open_notebook(list(GALLERY.values()), env=env)
    notebook.run_all()
    assert notebook.errors() == []
    return notebook


@pytest.fixture
def moments(open_notebook: Callable[..., NotebookPage], connected: Workspace, site: PracticeSite) -> dict[str, Locator]:
    """Each of `MOMENTS` on the screen: after an apply that was broken off, and a review whose removals are verified."""
    connection = connected.connection()
    connected.connections.set_account(connection.connection_id, site.account_id, "The administrator")
    fields = {name: getattr(connection, name) for name in ("url", "auth_url", "client_id", "redirect_uri")}
    connected.connections.add(ConnectionDraft(name="Second spoke", read_only=True, **fields))
    groups = site.world.frames(tables=["groups"])["groups"]
    registered = ["marketing", "support-tier-1", "procurement", "project-phoenix"]
    connected.registry().add(list(groups[groups["name"].isin(registered)]["group_id"]), groups=groups)
    members = Membership.of(connected, pace=1000)
    try:
        verified_review(connected, site, members)
        broken_off(members, site, "support-tier-1", 30, 3)
    finally:
        members.close()
    site.signed_in = "member"
    names = "ConnectionForm, ConnectionsPanel, FindingsPanel, MembershipEditor, QuestionPanel, ReviewPanel"
    first = (
        f"from spokekit.widgets import {names}, TokenButton, WalkPanel\nfrom spokekit.widgets.rehearsal import consent"
    )
    cells = [first, *(cell for _, cell in MOMENTS.values())]
    notebook = open_notebook(cells, env={"SPOKEKIT_PRACTICE": json.dumps(site.describe())})
    notebook.run_all()
    assert notebook.errors() == []
    cell = notebook.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell")
    return {
        name: cell.nth(index).locator(f'.spokekit[aria-label="{title}"]').first
        for index, (name, (title, _)) in enumerate(MOMENTS.items(), 1)
    }


def verified_review(connected: Workspace, site: PracticeSite, members: Membership) -> None:
    """Decide, remove, and look again after somebody else's changes."""
    reviews = Reviews.of(connected)

    def look() -> Audit:
        frames = site.world.frames(tables=["groups", "users", "memberships"])
        return Audit.of_frames(frames, site=Site(reviews.cloud_id, reviews.site), taken_at=datetime.now(UTC))

    campaign = reviews.open("2026-Q4", audit=look())
    rows = [row for row in campaign.rows if not row.routed_out]
    out = [row for row in rows if row.group_name == "procurement" and row.account_id != site.account_id][:5]
    campaign.take(
        [Choice(row.row_id, "remove" if row in out else "keep", "needed", stated_by="Robin Other") for row in rows]
    )
    campaign.sign("Kim Muster", "Head of IT")
    preview = campaign.plan(members)
    assert preview is not None
    campaign.apply(members, preview, confirm=preview.confirmation)
    site.world.add_member("procurement", out[0].account_id)
    inside = set(site.world.member_ids("marketing"))
    site.world.add_member("marketing", next(a for a in site.world.member_ids("legal-counsel") if a not in inside))
    campaign.verify(look())


def test_at_every_moment_it_is_readable_and_fits(moments: dict[str, Locator], lab: Lab) -> None:
    page, wrong = lab.page, []
    size = page.viewport_size
    sidebar = "async () => { await window.jupyterapp.commands.execute('application:toggle-left-area'); }"
    expect(moments["Resume"]).to_contain_text("3 of 30 planned are done.")
    expect(moments["Result"]).to_contain_text("2 done.")
    expect(moments["Another account"].get_by_role("button", name="Keep the one there is")).to_be_visible()
    expect(moments["Only what changed"].get_by_role("cell", name="Every group read whole")).to_be_visible()
    expect(moments["Accepted"].get_by_role("cell", name="2027-03-31")).to_be_visible()
    expect(moments["Proof"]).to_contain_text("1 came back")
    page.evaluate(sidebar)
    try:
        for theme, width in itertools.product(("light", "dark"), (1280, 480)):
            lab.theme(theme)
            page.set_viewport_size({"width": width, "height": 720})
            for name, component in moments.items():
                component.scroll_into_view_if_needed()
                needed, there = component.evaluate("(e) => [e.scrollWidth, e.clientWidth]")
                found = component.evaluate(AUDIT) + findings_of_part(component)
                found += [] if needed <= there else [f"{needed} of {there} pixels"]
                wrong += [f"{name}, {theme}, {width}: {one}" for one in found]
            page.set_viewport_size({"width": width, "height": 2400})
            for name, component in moments.items():
                component.screenshot(path=lab.shots / f"moment-{name.lower().replace(' ', '-')}-{theme}-{width}.png")
    finally:
        page.evaluate(sidebar)
        page.set_viewport_size(size or {"width": 1280, "height": 1600})
    assert not wrong, "\n".join(wrong)


def test_every_component_is_named_readable_guarded_and_fits(gallery: NotebookPage, site: PracticeSite) -> None:
    named_readable_and_guarded(gallery)
    # In the same notebook, whose components take a while to come.
    nothing_leaves_its_component_in_a_narrow_window(gallery, site)


def named_readable_and_guarded(gallery: NotebookPage) -> None:
    wrong: dict[str, list[str]] = {}
    for theme in ("light", "dark"):
        gallery.lab.theme(theme)
        for name in GALLERY:
            component = gallery.component(name)
            component.scroll_into_view_if_needed()
            expect(component.get_by_role("heading").first).to_be_visible()
            found = component.evaluate(AUDIT) + findings_of_part(component)
            for button in component.locator(".jupyter-button:visible:enabled").all():
                button.hover()
                found += [f"hovered: {w}" for w in button.evaluate(AUDIT)]
                button.focus()
                found += [f"focused: {w}" for w in button.evaluate(AUDIT)]
            if found:
                wrong[f"{name}, {theme}"] = found
            gallery.screenshot(f"{name.lower().replace(' ', '-')}-{theme}", component)
            assert component.locator(".sk-status .widget-html-content").first.get_attribute("aria-live") == "polite"
    assert not wrong, json.dumps(wrong, indent=1, ensure_ascii=False)
    # A screen reader reads words, not the names of classes; a component inside another has no name of its own.
    names = gallery.page.locator(".spokekit[aria-label]").evaluate_all("(all) => all.map((e) => e.ariaLabel)")
    assert names and not set(names) & {"", *spokekit.widgets.__all__}
    # Whatever unfolds has one sign.
    signs = gallery.page.locator(".spokekit summary").evaluate_all(
        "(all) => all.map((e) => [getComputedStyle(e).listStyleType, getComputedStyle(e, '::before').content])"
    )
    assert signs and {tuple(sign) for sign in signs} <= {("none", '"▸ "'), ("none", '"▾ "')}
    # Names from the server are text, whatever they hold.
    assert gallery.page.locator(".spokekit b").count() == 0
    expect(gallery.component("All groups").get_by_role("cell", name="<b>Research & Development</b>")).to_be_visible()


def nothing_leaves_its_component_in_a_narrow_window(gallery: NotebookPage, site: PracticeSite) -> None:
    page, picker = gallery.page, gallery.component("Add Confluence groups")
    size = page.viewport_size
    groups = site.world.frames()["groups"].set_index("name")["group_id"]
    site.world.rename_group(groups["okta-all-staff"], "okta-" + "long-name-" * 24 + "end")
    picker.get_by_role("button", name="Look up again").click()
    expect(picker.get_by_label("Available", exact=True)).to_contain_text("long-name-end · access: user · synced")
    sidebar = "async () => { await window.jupyterapp.commands.execute('application:toggle-left-area'); }"
    page.evaluate(sidebar)
    try:
        for width in (1280, 480):
            page.set_viewport_size({"width": width, "height": 1600})
            for name in GALLERY:
                component = gallery.component(name)
                component.scroll_into_view_if_needed()
                gallery.screenshot(f"{name.lower().replace(' ', '-')}-{width}", component)
                needed, there = component.evaluate("(e) => [e.scrollWidth, e.clientWidth]")
                assert needed <= there, f"{name} at {width}"
                values = component.locator("dl.sk dd:visible").evaluate_all("(all) => all.map((e) => e.clientWidth)")
                assert all(value > 150 for value in values), f"{name} at {width}"
                assert not [found for found in component.evaluate(AUDIT) if found.startswith("cut")], (
                    f"{name} at {width}"
                )
            lists = picker.locator("select")
            sizes = lists.evaluate_all("(all) => all.map((e) => e.offsetHeight)")
            assert sizes[0] == sizes[1], "both lists are of one height"
            lines = lists.first.locator("option").evaluate_all("(all) => all.map((e) => e.offsetHeight)")
            assert len(set(lines)) == 1, "no name is broken; the list scrolls sideways"
    finally:
        page.evaluate(sidebar)
        page.set_viewport_size(size or {"width": 1280, "height": 1600})


@pytest.fixture
def lessons_site() -> Iterator[PracticeSite]:
    """Serve a practice site with a callback URL of its own: a lesson that ends right with a remark consents."""
    with PracticeSite(redirect_uris=[f"http://localhost:{free_ports()}/callback"]) as running:
        yield running


def test_a_lesson_in_each_of_its_states(open_notebook: Callable[..., NotebookPage], lessons_site: PracticeSite) -> None:
    cells = [f"from spokekit.widgets import LessonPanel\nLessonPanel({name!r})" for name in STATES_OF]
    notebook = open_notebook(cells, env={"SPOKEKIT_PRACTICE": json.dumps(lessons_site.describe())})
    page, size = notebook.page, notebook.page.viewport_size
    wrong: dict[str, list[str]] = {}

    def state(title: str, name: str, words: str) -> None:
        panel = notebook.component(title)
        expect(panel.locator(".sk-status").first if words else panel).to_contain_text(words, timeout=60_000)
        primary = panel.get_by_role("button", name="Check" if words else "Begin", exact=True).first
        expect(primary).to_be_enabled(timeout=60_000)
        for theme, width, height in (("light", 1280, 720), ("dark", 480, 1600)):
            page.set_viewport_size({"width": width, "height": height})
            notebook.lab.theme(theme)
            panel.scroll_into_view_if_needed()
            if found := panel.evaluate(AUDIT) + findings_of_part(panel):
                wrong[f"{name}, {width}, {theme}"] = found
            needed, there = panel.evaluate("(e) => [e.scrollWidth, e.clientWidth]")
            assert needed <= there, f"{name} at {width}"
            notebook.screenshot(f"lesson-state-{name}-{width}-{theme}", panel)

    def press(title: str, name: str) -> None:
        notebook.component(title).get_by_role("button", name=name, exact=True).first.click()

    notebook.run_cell(0)
    first, second = STATES_OF.values()
    sidebar = "async () => { await window.jupyterapp.commands.execute('application:toggle-left-area'); }"
    page.evaluate(sidebar)
    try:
        state(first, "not-begun", "")
        press(first, "Begin")
        state(first, "begun", "Look at what kind of group")
        press(first, "Check")
        state(first, "not-attempted", "Not attempted.")
        answer = notebook.component(first).get_by_label("Your answer")
        for chosen, name, words in (("We do, with spokekit", "wrong", "Not yet."), ("The identity", "right", "Right.")):
            if name == "right":
                press(first, "Hint 1 of 2")
                state(first, "hint", "Hint 1 of 2:")
                press(first, "Hint 2 of 2")
                press(first, "Solution")
                state(first, "solution", "The solution stands below")
            answer.focus()
            page.keyboard.type(chosen)
            press(first, "Answer")
            expect(notebook.component(first).locator(".sk-status").first).to_contain_text("Your answer is noted")
            press(first, "Check")
            state(first, name, words)
        notebook.run_cell(1)
        press(second, "Begin")
        expect(notebook.component(second).locator(".sk-status").first).to_contain_text("Press “Get OAuth Token”")
        notebook.execute(
            "from spokekit.training.doer import Doer\n_here = _\n"
            "next(t for t in _here.lesson.turns if t.remark).make(Doer(_here.attempt))"
        )
        press(second, "Check")
        state(second, "right-with-a-remark", "Right, with a remark.")
        press(first, "Check")
        state(first, "cannot-check", "Cannot be checked.")
    finally:
        page.evaluate(sidebar)
        page.set_viewport_size(size or {"width": 1280, "height": 1600})
    assert not wrong, json.dumps(wrong, indent=1, ensure_ascii=False)


def test_a_class_in_a_notebook(
    open_notebook: Callable[..., NotebookPage], lessons_site: PracticeSite, tmp_path: Path
) -> None:
    cells = [
        "from spokekit.widgets import ChapterGuide, JoinPanel, LessonPanel\nJoinPanel()",
        "LessonPanel('synced-group')",
        "ChapterGuide('B')",
    ]
    wrong: dict[str, list[str]] = {}
    with BoardSite(tmp_path / "class.sqlite", class_name="Tuesday") as board:
        notebook = open_notebook(cells, env={"SPOKEKIT_PRACTICE": json.dumps(lessons_site.describe())})
        page, size = notebook.page, notebook.page.viewport_size
        notebook.run_all()
        joining, lesson, guide = (
            notebook.component(name) for name in ("A class", "A synced group", "Where you are in the lessons")
        )

        def look(name: str) -> None:
            for theme, width, height in (("light", 1280, 720), ("dark", 480, 1600)):
                page.set_viewport_size({"width": width, "height": height})
                notebook.lab.theme(theme)
                for title, component in (("class", joining), ("lesson", lesson), ("guide", guide)):
                    component.scroll_into_view_if_needed()
                    if found := component.evaluate(AUDIT) + findings_of_part(component):
                        wrong[f"{name}, {title}, {width}, {theme}"] = found
                    needed, there = component.evaluate("(e) => [e.scrollWidth, e.clientWidth]")
                    assert needed <= there, f"{name}, {title} at {width}"
                    notebook.screenshot(f"class-{name}-{title}-{width}-{theme}", component)

        sidebar = "async () => { await window.jupyterapp.commands.execute('application:toggle-left-area'); }"
        page.evaluate(sidebar)
        try:
            joining.get_by_role("button", name="▸ Join a class").click()
            joining.get_by_label("Address").fill(board.url)
            joining.get_by_label("Code").fill(board.code)
            page.keyboard.press("Enter")
            expect(joining.locator(".sk-status").first).to_contain_text("in the class Tuesday")
            expect(guide.get_by_role("button", name="▸ Class: Tuesday")).to_be_visible()
            board.order(wire.Begin("synced-group"))
            board.order(wire.Say("Five more minutes, then we <b>talk</b> about it: " + "w" * 120))
            expect(joining).to_contain_text("Five more minutes")
            expect(lesson).to_contain_text("asks you to begin")
            lesson.get_by_role("button", name="Begin", exact=True).click()
            expect(lesson.get_by_role("button", name="I need help")).to_be_visible(timeout=60_000)
            board.order(wire.Release("synced-group"))
            board.order(wire.Fault("503 x1 @members"))
            board.order(wire.OfferReset("synced-group"))
            expect(lesson).to_contain_text("offers you a fresh start")
            lesson.get_by_role("button", name="I need help").click()
            expect(joining.get_by_role("button", name="I need no more help")).to_be_visible()
            lesson.get_by_role("button", name="Check", exact=True).click()
            expect(lesson).to_contain_text("Your trainer changed something on the practice site")
            joining.get_by_role("button", name="▸ What was sent").click()
            expect(joining.get_by_role("cell", name="begun")).to_be_visible()
            look("all")
            lesson.get_by_role("button", name="No, go on").click()
            expect(lesson).not_to_contain_text("offers you a fresh start")
        finally:
            page.evaluate(sidebar)
            page.set_viewport_size(size or {"width": 1280, "height": 1600})
    assert not wrong, json.dumps(wrong, indent=1, ensure_ascii=False)
