"""What every component promises: worded status, kept work, no secret, nothing lost."""

from __future__ import annotations

import itertools
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, get_args

import pytest
import traitlets as tr

from spokekit import _portal
from spokekit._secret import Secret
from spokekit.confluence.report import Progress
from spokekit.errors import Cancelled, InputError, NextStep, SpokekitError
from spokekit.widgets import _explain, base
from spokekit.widgets._browser import SecretField
from spokekit.widgets.base import Component, Task
from spokekit.widgets.controls import Fold, button, html_table, row, sentence, text
from spokekit.widgets.tasks import Throttle


class Demo(Component):
    """A component for these tests."""

    value = tr.Int(0)

    def __init__(self, key: str = "", **options: Any) -> None:
        super().__init__("Demo <b>", lead="Lead", **options)
        self.name = text("Name", "nobody")
        self.go = button("Go")
        self.body = [self.name, self.go]
        self.remember(key, name=self.name)
        self.disable_while_busy(self.go)


def shown(component: Component) -> str:
    return str(component._status_html.value)


def test_an_unknown_option_is_an_error_that_suggests_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"Demo has no option 'vlaue'. Did you mean 'value'\?"):
        Demo(vlaue=3)
    assert Demo(value=3).value == 3


def test_nothing_of_a_component_reaches_the_saved_output_or_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spokekit.widgets._in_words.in_terminal", lambda: False)
    demo = Demo()
    demo.name.value = "typed words"
    assert repr(demo) == "Demo()"
    own = set(Demo.class_trait_names()) - set(base.ipw.VBox.class_trait_names())
    assert {"status", "busy", "value"} <= own
    assert not [name for name in own if demo.traits()[name].metadata.get("sync")]
    assert "typed words" not in str(demo.get_state())


def test_dates_and_ids_are_kept_whole_and_nothing_else_is_changed() -> None:
    an_id = "712020:0f0e0d0c-1111-4222-8333-444455556666"
    words = f"<b> to 2027-02-24 09:00 CET, then 27 November 2027, 14:05; {an_id}. Not 12027-02-24, 2027-02-245, a-b & 5"
    made = sentence(words)
    assert re.sub(r"</?span[^>]*>", "", made) == escape(words)
    assert re.findall(r"<span class='([a-z-]+)'>([^<]*)<", made) == [
        ("sk-date", "2027-02-24 09:00 CET,"),
        ("sk-date", "27 November 2027, 14:05;"),
        ("sk-whole-id", f"{an_id}."),
    ]


def test_the_status_line_is_words_escaped_and_scrubbed() -> None:
    demo = Demo()
    demo.say("<script>alert(1)</script> client_secret=abcdef123", "ok")
    assert demo.status == "<script>alert(1)</script> client_secret=***"
    assert "<script>" not in shown(demo)
    assert "✓ Done." in shown(demo)
    assert "Demo &lt;b&gt;" in demo.children[1].value


def test_where_nothing_was_done_nothing_says_so() -> None:
    demo = Demo()
    demo.say("All is well.", "good")
    assert demo.status_kind == "good" and "✓" in shown(demo) and "Done." not in shown(demo)


def test_a_long_pause_says_that_the_page_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = Demo()

    def told(minutes: int) -> str:
        until = datetime.now(UTC) + timedelta(minutes=minutes)
        demo.busy = True
        demo._started = 0.0
        demo.show_progress(Progress(3, 9, "groups", "3 of 9 groups; waiting", 0, until, "waiting"))
        return str(demo.status)

    assert "close this page" in told(30)
    assert "close this page" not in told(1)
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    assert "close this page" not in told(30), "there the work ends with the page"


def test_an_error_says_what_happened_why_and_what_next() -> None:
    demo = Demo()
    demo.show_error(InputError("It <broke>.", likely="Rain.", hint="Wait."))
    assert demo.status == "It <broke>. Rain. Wait."
    assert shown(demo).index("It &lt;broke&gt;.") < shown(demo).index("Rain.") < shown(demo).index("Wait.")
    demo.show_error(SpokekitError("Refused.", next_step="ask_site_admin"))
    assert demo.status == "Refused. Ask an administrator of the site."
    demo.show_error(KeyError("token=abcdefgh1"))
    assert "fault of its own: KeyError" in demo.status
    assert "abcdefgh1" not in demo.status + shown(demo)


def test_every_next_step_has_a_sentence() -> None:
    assert set(_explain._NEXT) == set(get_args(NextStep)) - {"none"}


def test_what_a_callback_raises_is_shown_in_the_component() -> None:
    demo = Demo()

    def press() -> None:
        raise SpokekitError("The press went wrong.")

    demo.on_click(demo.go, press)
    demo.go.click()
    assert demo.status_kind == "error"
    assert demo.status == "The press went wrong."


def test_what_was_wrong_with_an_input_is_not_said_of_the_next_one() -> None:
    demo = Demo()
    other = text("Other")
    demo.body = [demo.name, row(Fold("More", other)), demo.go]

    def refuse(error: Exception) -> None:
        raise error

    for field in (demo.name, other):
        for error, stays in ((InputError("Nobody is named."), ""), (SpokekitError("The site is away."), "away")):
            demo.guarded(refuse)(error)
            assert demo.status_kind == "error"
            field.value += "x"
            assert stays in demo.status and bool(demo.status) == bool(stays)
    # An error that the change itself brings stays.
    demo.on_change(demo.name, lambda value: refuse(InputError(f"{value} is no name.")))
    demo.name.value = "y"
    assert demo.status.startswith("y is no name.")


def test_work_runs_elsewhere_and_its_result_arrives() -> None:
    demo = Demo()
    seen: list[bool] = []

    def work(task: Task) -> int:
        seen.append(demo.busy and demo.go.disabled and threading.current_thread() is not threading.main_thread())
        task.progress(Progress(3, 10, "groups", "3 of 10 groups"))
        return 7

    demo.run(work, words="Working", done=lambda result: demo.set_trait("value", result))
    demo.settled(5)
    assert demo.value == 7
    assert seen == [True]
    assert not demo.busy
    assert not demo.go.disabled
    assert demo.status == ""


@pytest.mark.parametrize("kind", ["thread", "portal"])
def test_a_failure_is_shown_and_settled_raises_it(kind: str) -> None:
    demo = Demo()

    def in_thread(_task: Task) -> None:
        raise SpokekitError("No answer.", hint="Try again.")

    async def on_portal(_task: Task) -> None:
        raise SpokekitError("No answer.", hint="Try again.")

    demo.run(in_thread if kind == "thread" else on_portal, words="Asking")
    with pytest.raises(SpokekitError, match="No answer"):
        demo.settled(5)
    assert demo.status == "No answer. Try again."
    assert not demo.busy


def test_a_fault_in_the_view_itself_is_shown_too() -> None:
    demo = Demo()
    demo.run(lambda task: 1, words="Working", done=lambda result: [][result])
    with pytest.raises(IndexError):
        demo.settled(5)
    assert "IndexError" in demo.status


@pytest.mark.parametrize("kind", ["thread", "portal"])
def test_cancel(kind: str) -> None:
    import anyio

    demo = Demo()
    started = threading.Event()

    def in_thread(task: Task) -> None:
        started.set()
        assert task.cancelled.wait(5)
        raise Cancelled("Stopped at page 3.")

    async def on_portal(_task: Task) -> None:
        started.set()
        await anyio.sleep(30)

    demo.run(in_thread if kind == "thread" else on_portal, words="Walking")
    assert started.wait(5)
    demo._cancel.click()
    with pytest.raises(Cancelled):
        demo.settled(5)
    assert demo.status_kind == "warning"
    assert not demo.busy


def test_one_thing_at_a_time_and_the_next_may_start_from_done() -> None:
    demo = Demo()
    gate = threading.Event()
    order: list[str] = []

    def second() -> None:
        demo.run(lambda task: order.append("second"), words="Second")

    demo.run(lambda task: gate.wait(5) and order.append("first"), words="First", done=lambda _: second())
    assert demo.run(lambda task: order.append("never"), words="Never") is None
    gate.set()
    demo.settled(5)
    assert order == ["first", "second"]
    assert not demo.busy


def test_progress_is_throttled_and_its_last_word_arrives() -> None:
    """JupyterLab drops updates beyond 1,000 messages a second and then stays busy for ever."""
    seen: list[tuple[float, int]] = []
    throttle = Throttle(lambda value: seen.append((time.monotonic(), value)))
    end = time.monotonic() + 0.5
    last = 0
    while time.monotonic() < end:
        last += 1
        throttle(last)
        time.sleep(0.001)
    deadline = time.monotonic() + 2
    while seen[-1][1] != last and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen[-1][1] == last
    assert 3 <= len(seen) <= 12
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(seen)]
    assert min(gaps) > 0.04


def test_progress_tells_the_time_left_once_it_can_be_guessed() -> None:
    demo = Demo()
    demo.task_started(Task("Walking", lambda _: None))

    def a_minute_later(done: int, total: int = 120) -> str:
        if demo._began is not None:
            demo._began = (*demo._began[:2], demo._began[2] - 60)
        demo.show_progress(Progress(done, total, "groups", f"{done} of {total} groups"))
        return demo.status

    # Listing the groups took a minute and a half, and 60 were done by an earlier walk: neither is this stage's pace.
    assert a_minute_later(90, 100) == "90 of 100 groups"
    assert a_minute_later(60) == "60 of 120 groups"
    assert a_minute_later(80) == "80 of 120 groups · about 2 minutes left"
    assert (demo._bar.value, demo._bar.max) == (80, 120)
    # Nor is an hour in which nothing could be read.
    until = datetime.now(UTC) + timedelta(seconds=30)
    demo.show_progress(Progress(80, 120, "groups", "waiting", paused_until=until))
    assert a_minute_later(81) == "81 of 120 groups"
    # Words that tell the time themselves are not told another one.
    assert demo._began is not None
    demo._began = (*demo._began[:2], demo._began[2] - 60)
    demo.show_progress(Progress(100, 120, "changes", "100 of 120 changes, 8 seconds left"))
    assert demo.status == "100 of 120 changes, 8 seconds left"


def test_a_word_that_is_under_way_never_covers_the_last_one() -> None:
    """The view is slow, the progress is on its way, and the work fails: the error has to stand at the end."""
    demo = Demo()
    entered, release = threading.Event(), threading.Event()
    say = demo.say

    def slow(words: str, kind: base.Kind = "plain") -> None:
        if words == "2 of 3":
            entered.set()
            release.wait(5)
        say(words, kind)

    demo.say = slow  # type: ignore[method-assign]

    def work(task: Task) -> None:
        task.progress("1 of 3")
        task.progress("2 of 3")
        assert entered.wait(5)
        threading.Timer(0.1, release.set).start()
        raise SpokekitError("Cut off.")

    demo.run(work, words="Walking")
    with pytest.raises(SpokekitError):
        demo.settled(5)
    assert demo.status == "Cut off."
    time.sleep(0.1)
    assert demo.status == "Cut off."


def test_settled_gives_up_after_its_time() -> None:
    demo = Demo()
    gate = threading.Event()
    demo.run(lambda task: gate.wait(5), words="Slow")
    with pytest.raises(SpokekitError, match=r"did not end within 0\.05 seconds"):
        demo.settled(0.05)
    gate.set()
    demo.settled(5)


def test_a_component_may_wait_for_nothing_inside_the_portal() -> None:
    """A view's callback after a coroutine may call services, which themselves wait for the portal."""
    demo = Demo()

    async def seven(*_: Any) -> int:
        return 7

    demo.run(seven, words="Asking", done=lambda _: demo.set_trait("value", _portal.call(seven)))
    demo.settled(5)
    assert demo.value == 7


def test_a_rerun_keeps_what_was_typed_by_key() -> None:
    Demo("one").name.value = "Ada"
    assert Demo("one").name.value == "Ada"
    assert Demo("two").name.value == "nobody"
    Demo("one").forget()
    assert Demo("one").name.value == "nobody"


def test_a_secret_is_never_remembered() -> None:
    demo = Demo()
    with pytest.raises(TypeError, match="never remembered"):
        demo.remember("", secret=SecretField())
    with pytest.raises(TypeError, match="never remembered"):
        demo.keep("secret", Secret("x"))


def test_a_secret_field_holds_once_and_syncs_no_value() -> None:
    field = SecretField("Client secret")
    heard: list[bool] = []
    field.on_entered(lambda: heard.append(field.has_new))
    field._handle_custom_msg({"kind": "value", "value": "planted-secret"}, [])
    assert heard == [True]
    assert field.is_set
    assert "planted-secret" not in repr(field) + str(field.get_state()) + str(field.trait_values())
    taken = field.take(keeps=True)
    assert taken is not None
    assert taken.reveal() == "planted-secret"
    assert field.is_set
    assert field.take() is None
    assert not field.is_set


def test_a_table_is_escaped() -> None:
    table = html_table(["<i>"], [["<b>x</b>"], [None]], caption="'quoted' & <more>")
    assert "<b>" not in table
    assert "<i>" not in table
    assert "&#x27;quoted&#x27; &amp; &lt;more&gt;" in table
