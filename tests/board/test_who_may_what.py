"""A key writes and reads its own row only, the trainer's pages open by the trainer's link, by our names."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import httpx2

from spokekit.board.server import BoardSite
from spokekit.board.wire import Done, Join, Now, Report, Say, Sent, decode, encode
from tests.board.conftest import Computer

Class = Callable[..., Computer]

LEARNERS_OWN = (("POST", "report"), ("GET", "orders"), ("GET", "sent"), ("POST", "certificate"))
TRAINERS = (
    *(("GET", path) for path in ("board", "learner?id=1", "answers", "end", "export?format=json")),
    ("POST", "order"),
)
NO_KEYS = ("", "Bearer", "Bearer x", "Basic abc", "Bearer " + "A" * 43, "Bearer " + "A" * 5_000)


def test_without_a_key_of_the_class_nothing_is_told(board: BoardSite, http: httpx2.Client, computer: Class) -> None:
    one = computer(name="Ada")
    wrong = (*NO_KEYS, f"Bearer {board.trainer_url.partition('key=')[2]}", f"Bearer {board.code}")
    for (method, path), said in product(LEARNERS_OWN, wrong):
        body = encode(Report(Now())) if path == "report" else b""
        answer = http.request(method, f"{board.url}api/{path}", content=body, headers={"Authorization": said})
        assert answer.status_code == 401 and "Ada" not in answer.text, said
    assert decode(one.get("sent").content, Sent).events == ()


def test_another_learners_key_reaches_its_own_row_alone(board: BoardSite, computer: Class) -> None:
    one, other = computer(name="Ada"), computer(name="Grace")
    one.tell(one.note("begun"), one.note("checked", outcome="right"))
    n = board.order(Say("for Ada"), to=one.number)
    # Nothing in a message names a row: each answer is about whose key it is, whatever is asked.
    for query in ({"learner": one.number}, {"key": one.joined.key}, {"id": one.number}):
        assert decode(other.get("sent", **query).content, Sent).name == "Grace"
        assert "for Ada" not in other.get("orders", after=0, **query).text
    assert other.post("certificate", b"").status_code == 404
    assert other.tell(done=[Done(n, "declined", 1.0)]).status_code == 409
    assert other.tell(other.note("checked", outcome="not yet", turn="both")).status_code == 200
    kept = decode(one.get("sent").content, Sent)
    assert [event.outcome for event in kept.events] == ["", "right"] and kept.done == ()


def test_the_trainers_pages_are_closed_to_everybody_else(
    board: BoardSite, http: httpx2.Client, computer: Class
) -> None:
    one = computer(name="Ada Lovelace")
    cookie = f"spokekit-class-{board.port}"
    nobodys: tuple[dict[str, str], ...] = (
        {},
        one.headers,
        {"Cookie": f"{cookie}={one.joined.key}"},
        {"Cookie": f"{cookie}={board.code}"},
        {"Cookie": f"{cookie}=; ===;"},
        {"Cookie": f"{cookie}={'A' * 4_000}"},
    )
    for (method, path), headers in product(TRAINERS, nobodys):
        answer = http.request(method, f"{board.url}{path}", content=b"do=clear", headers=headers)
        assert answer.status_code == 403
        assert not any(word in answer.text for word in ("Ada", board.code, one.joined.pseudonym))
    assert board.classroom.kept.orders == []


def test_the_link_lets_in_as_often_as_it_is_needed(board: BoardSite, http: httpx2.Client) -> None:
    for _ in range(2):
        answer = http.get(board.trainer_url)
        (cookie,) = answer.headers.get_list("set-cookie")
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert http.get(f"{board.url}open", params={"key": "A" * 43}).status_code == 403
    assert http.get(f"{board.url}open").status_code == 403
    assert board.code in http.get(f"{board.url}board").text


def test_by_another_name_the_board_does_not_answer(board: BoardSite, http: httpx2.Client) -> None:
    names = ("evil.example", "127.0.0.1.evil.example", "192.0.2.7:80", "", "[::1", "a b")
    for path, host in product(("", "api/verify?code=X", "api/join", "board"), names):
        answer = http.get(f"{board.url}{path}", headers={"Host": host})
        assert answer.status_code in (400, 403) and "Autumn" not in answer.text, (path, host)


def test_by_a_name_that_was_given_it_does(serve: Callable[..., BoardSite], http: httpx2.Client) -> None:
    board = serve(hosts=("https://Class.Example.org/", "board.example.org:99"))
    assert board.url == "https://Class.Example.org/"
    for host in ("class.example.org", "board.example.org", f"localhost:{board.port}", f"[::1]:{board.port}"):
        assert http.get(f"http://127.0.0.1:{board.port}/", headers={"Host": host}).status_code == 200


def test_a_page_of_another_site_orders_nothing_and_joins_nothing(board: BoardSite, trainer: httpx2.Client) -> None:
    origins = ("http://evil.example", "null", "http://127.0.0.1:1", "file://", "http://")
    elsewhere = [{"Origin": one} for one in origins] + [{"Sec-Fetch-Site": one} for one in ("cross-site", "same-site")]
    for headers in elsewhere:
        assert trainer.post("order", data={"do": "clear"}, headers=headers).status_code == 403, headers
        joining = trainer.post("api/join", content=encode(Join(code=board.code)), headers=headers)
        assert joining.status_code == 403, headers
    assert board.classroom.kept.orders == [] and board.classroom.learners == []
    own = {"Origin": board.url.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert trainer.post("order", data={"do": "clear"}, headers=own).status_code == 303


def test_every_answer_carries_what_keeps_a_browser_in(
    board: BoardSite, trainer: httpx2.Client, computer: Class
) -> None:
    computer()
    paths = ("", "board", "board?live=1", "learner?id=1", "answers", "end", "export?format=csv", "board.css", "nowhere")
    for path in (*paths, "api/orders", "api/nowhere", "learner?id=99", "export?format=exe"):
        answer = trainer.get(path)
        assert answer.headers["cache-control"] == "no-store" and answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert trainer.request("DELETE", "api/report").status_code == 405
    assert trainer.get("order").status_code == 405
