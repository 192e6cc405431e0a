"""The board of a class in a browser: looked at by axe, changing by itself, and an order by keyboard alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from playwright.sync_api import expect

from spokekit.board.server import BoardSite
from spokekit.board.wire import Done, Fault, Say
from tests.board.conftest import MENUS, Computer
from tests.browser.axe import findings_of_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LESSONS = ("near-duplicate-groups", "leavers-with-access")
Look = Callable[[str], None]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoardSite]:
    path = tmp_path_factory.mktemp("board") / "class.sqlite"
    with BoardSite(path, class_name="Autumn <b>", lessons=LESSONS, menus=MENUS) as running:
        yield running
    assert running.front.defects == []


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def people(board: BoardSite, http: httpx2.Client) -> list[Computer]:
    """Six learners: a hand up, the same turn three times, two answers, right with a remark, only joined."""
    made = [
        Computer(board, http, name=name) for name in ("Ada Lovelace", "", "<script>x</script>", "\u202eevil", "", "")
    ]
    hand, stuck, working, right, answered, _ = made
    hand.tell(hand.note("begun"), hand.note("hint"), hand=True)
    stuck.tell(stuck.note("begun"), *(stuck.note("checked", outcome="not yet", turn="both") for _ in range(3)))
    working.tell(working.note("begun"), working.note("answered", outcome="not yet", turn="the-other-one"), hits=2)
    right.tell(right.note("begun"), right.note("checked", outcome="right with a remark"))
    answered.tell(answered.note("begun"), answered.note("answered", outcome="right"))
    n = board.order(Say("Look at the <i>third</i> group, " + "and at its access " * 8))
    board.order(Fault("429:3 x5 @members"), to=stuck.number)
    hand.tell(done=[Done(n, "shown", 1.0)], hand=True)
    right.tell(done=[Done(n, "refused", 1.0, "out of date")])
    return made


@pytest.fixture
def window(browser: Browser, board: BoardSite, people: list[Computer]) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    problems: list[str] = []
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.goto(board.trainer_url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Autumn <b>")
    yield page
    page.context.close()
    assert problems == []


@pytest.fixture
def look(window: Page) -> Look:
    shots = os.environ.get("SPOKEKIT_SCREENSHOTS")

    def looked(name: str) -> None:
        wrong = []
        for scheme in ("light", "dark"):
            window.emulate_media(color_scheme=scheme)
            for width in (1280, 480):
                window.set_viewport_size({"width": width, "height": 720})
                wrong += [f"{scheme}, {width}: {line}" for line in findings_of_page(window)]
                if window.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    wrong.append(f"wider than {width}")
                if shots:
                    window.screenshot(path=Path(shots) / f"board-{name}-{scheme}-{width}.png", full_page=True)
        assert wrong == [], name

    return looked


def test_how_the_pages_look(window: Page, look: Look, board: BoardSite, people: list[Computer]) -> None:
    # The link's key does not stay in the address, which is on the projector too.
    assert window.url == f"{board.url}board" and "Lovelace" not in window.content()
    for summary in window.locator("summary").all():
        summary.click()
    look("whole")
    window.get_by_role("link", name="Show names (3 gave one)").click()
    expect(window.get_by_role("link", name="Ada Lovelace")).to_be_visible()
    window.get_by_role("link", name=people[1].joined.pseudonym).click()
    expect(window.get_by_role("heading", level=2).first).to_have_text(people[1].joined.pseudonym)
    look("learner")
    for link in ("Answers and pairs", "Export and end"):
        window.get_by_role("link", name=link).click()
        look(link.split()[0].lower())
    window.goto(board.url)
    expect(window).to_have_url(f"{board.url}board")
    # On paper there are no colours, no forms and no links.
    window.emulate_media(media="print", color_scheme="light")
    if shots := os.environ.get("SPOKEKIT_SCREENSHOTS"):
        window.screenshot(path=Path(shots) / "board-print.png", full_page=True)
    expect(window.get_by_role("button")).to_have_count(0)
    colours = window.evaluate(
        "[...new Set([...document.querySelectorAll('main *')].filter((e) => e.getClientRects().length)"
        ".flatMap((e) => { const s = getComputedStyle(e); return [s.color, s.backgroundColor, s.borderTopColor]; }))]"
    )
    for colour in colours:
        red, green, blue, *_ = (part.strip() for part in colour.partition("(")[2].rstrip(")").split(","))
        assert red == green == blue, colour


@pytest.fixture
def own(tmp_path: Path) -> Iterator[BoardSite]:
    """A board that one test changes."""
    with BoardSite(tmp_path / "own.sqlite", class_name="Own", lessons=LESSONS, menus=MENUS) as running:
        yield running
    assert running.front.defects == []


def test_it_changes_by_itself_and_leaves_the_keyboard_where_it_is(
    own: BoardSite, window: Page, http: httpx2.Client
) -> None:
    hand, other, stuck = (Computer(own, http) for _ in range(3))
    hand.tell(hand.note("begun"), hand=True)
    other.tell(other.note("begun"))
    stuck.tell(stuck.note("begun"), stuck.note("checked", outcome="not yet", turn="both"))
    window.goto(own.trainer_url)
    expect(window.get_by_role("heading", level=1)).to_have_text("Own")
    link = window.get_by_role("link", name=stuck.joined.pseudonym)
    detail = window.locator(f"#t{stuck.number}")
    detail.locator("summary").click()
    link.focus()
    window.get_by_text("Say something").evaluate("(e) => e.closest('details').open = true")
    window.get_by_label("Message, up to 280 signs").evaluate("(e) => e.value = 'half a mess'")
    newcomer = Computer(own, http)
    stuck.tell(stuck.note("checked", outcome="not yet", turn="both"))
    first = window.locator("#rows tr").first
    expect(first).to_contain_text(hand.joined.pseudonym)
    stuck.tell(hand=True, lesson=stuck.joined.lessons[0])
    hand.tell(lesson=stuck.joined.lessons[0])
    expect(first).to_contain_text(stuck.joined.pseudonym)
    expect(first).to_contain_text("hand up")
    expect(window.get_by_role("link", name=newcomer.joined.pseudonym)).to_be_visible()
    expect(window.get_by_role("status")).to_contain_text(f"Hand up: {stuck.joined.pseudonym}.")
    expect(link).to_be_focused()
    expect(detail).to_have_attribute("open", "")
    expect(window.get_by_label("Message, up to 280 signs")).to_have_value("half a mess")
    # Where the detail with the keyboard in it is gone, its learner's link has the keyboard.
    detail.locator("summary").focus()
    stuck.tell(stuck.note("checked", outcome="right"), hand=True)
    expect(detail).to_have_count(0)
    expect(window.locator(f"#p{stuck.number}")).to_contain_text("right")
    expect(link).to_be_focused()
    # What is on the screen is what the board says now.
    for _ in range(40):
        shown, told = window.evaluate(
            """async () => {
              const text = await (await fetch("board?live=1")).text();
              const fresh = new DOMParser().parseFromString(text, "text/html");
              return [document, fresh].map((one) => one.getElementById("rows").textContent);
            }"""
        )
        if shown == told:
            break
        window.wait_for_timeout(250)
    assert shown == told


def test_an_order_by_keyboard_alone(window: Page, board: BoardSite, people: list[Computer]) -> None:
    keys = window.keyboard

    def tab_to(what: str) -> None:
        for _ in range(80):
            keys.press("Tab")
            here = window.evaluate(
                "[document.activeElement.labels?.[0]?.textContent, document.activeElement.textContent].join('|')"
            )
            if what in here:
                return
        raise AssertionError(f"no way to {what} by Tab")

    tab_to("Make trouble")
    keys.press("Enter")
    tab_to("Trouble")
    keys.press("Tab")
    keys.press("ArrowDown")
    tab_to("For")
    keys.type(people[2].joined.pseudonym)
    tab_to("Make this trouble")
    keys.press("Enter")
    said = window.locator("#said")
    expect(said).to_contain_text(f"for {people[2].joined.pseudonym}: Trouble: 429 x10")
    last = board.classroom.kept.orders[-1]
    assert (last.ordered.order, last.to) == (Fault("429 x10"), people[2].number)
    # The keyboard goes on from what was said.
    keys.press("Tab")
    assert window.evaluate("document.activeElement.closest('.orders') !== null")


def test_a_board_that_is_gone_says_so(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    with BoardSite(tmp_path / "c.sqlite") as board:
        page.goto(board.trainer_url)
        expect(page.get_by_text("Nobody has joined yet.")).to_be_visible()
        port = board.port
    expect(page.get_by_role("alert")).to_contain_text("What is shown may be old")
    with BoardSite(tmp_path / "c.sqlite", port=port):
        expect(page.get_by_role("alert")).to_be_hidden()
    page.context.close()
