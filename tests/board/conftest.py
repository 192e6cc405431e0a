"""A board for tests, and a learner's computer as bare HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spokekit.board.orders import FaultChoice, Menus
from spokekit.board.ranking import LessonWords
from spokekit.board.server import BoardSite
from spokekit.board.wire import Join, Joined, Message, Noted, Now, Report, decode, encode


class Computer:
    """What a learner's computer sends to a board."""

    def __init__(self, board: BoardSite, http: httpx2.Client, *, name: str = "", code: str | None = None) -> None:
        self.board, self.http, self.seq = board, http, 0
        answer = self.post("join", Join(code=board.code if code is None else code, name=name))
        assert answer.status_code == 200, answer.text
        self.joined = decode(answer.content, Joined)
        self.number = self.joined.learner

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.joined.key}"} if hasattr(self, "joined") else {}

    def post(self, path: str, message: Message | bytes) -> httpx2.Response:
        body = message if isinstance(message, bytes) else encode(message)
        return self.http.post(f"{self.board.url}api/{path}", content=body, headers=self.headers)

    def get(self, path: str, **query: Any) -> httpx2.Response:
        return self.http.get(f"{self.board.url}api/{path}", params=query, headers=self.headers)

    def note(self, event: str, lesson: str = "near-duplicate-groups", *, at: float | None = None, **more: Any) -> Noted:
        self.seq += 1
        told = {"attempt": 1, **more}
        return Noted(self.seq, time.time() if at is None else at, lesson, event=event, **told)  # type: ignore[arg-type]

    def tell(self, *events: Noted, done: Any = (), **now: Any) -> httpx2.Response:
        lesson = events[-1].lesson if events else ""
        return self.post("report", Report(Now(**{"lesson": lesson, "attempt": 1, **now}), events, tuple(done)))


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., BoardSite]]:
    """Serve boards; what was a defect of one fails the test."""
    boards: list[BoardSite] = []
    with ExitStack() as stack:

        def start(path: Path | None = None, **options: Any) -> BoardSite:
            boards.append(stack.enter_context(BoardSite(path or tmp_path / "class.sqlite", **options)))
            return boards[-1]

        yield start
    assert [problem for board in boards for problem in board.front.defects] == []


@pytest.fixture
def board(serve: Callable[..., BoardSite]) -> BoardSite:
    return serve(class_name="Autumn", lessons=("near-duplicate-groups", "leavers-with-access"), menus=MENUS)


@pytest.fixture
def computer(board: BoardSite, http: httpx2.Client) -> Callable[..., Computer]:
    """Let a learner's computer join the board."""
    return lambda **options: Computer(board, http, **options)


@pytest.fixture
def trainer(board: BoardSite) -> Iterator[httpx2.Client]:
    """A browser that came by the trainer's link."""
    with httpx2.Client(timeout=30, trust_env=False, base_url=board.url) as client:
        assert client.get(board.trainer_url).status_code == 200
        yield client


MENUS = Menus(
    course={
        "near-duplicate-groups": LessonWords(
            "near-duplicate-groups", "Two <groups>", 8, {"both": "Both are … & more.", "the-other-one": "That is …."}
        ),
        "leavers-with-access": LessonWords("leavers-with-access", "A leaver with access", 10),
    },
    faults=(FaultChoice("429", "refused", counts=True), FaultChoice("huge", "80 MB", counts=True, more=True)),
    operations=("members", "groups"),
    groups=("finance-reports", "<b>Research & Development</b>"),
)
