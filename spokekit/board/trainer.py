"""The trainer's part of the board: a browser that came by the trainer's link sees the class and gives orders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from spokekit._foreign import NAME, markup
from spokekit._words import counted
from spokekit.board import export, forms, joining, pages, ranking
from spokekit.board.admission import Refused, body_of
from spokekit.board.classroom import Classroom
from spokekit.board.orders import Menus, order_of, words
from spokekit.board.records import DAYS_KEPT, Given, Learner
from spokekit.board.wire import Order
from spokekit.errors import Conflict, InputError, NotFound

Turn = Callable[..., Awaitable[Any]]
Give = Callable[[Order, int | None], Awaitable[Given]]
Answer = Callable[[Request], Awaitable[Response]]
COOKIE_SECONDS = 2 * 86_400


class Trainer:
    """Pages of one board.

    Parameters
    ----------
    classroom, menus:
        The class, and what the board knows of lessons and faults.
    doors:
        Digests of the keys that let a browser in.
    turn, give:
        How the class is read, and how an order is given.
    url:
        The address that learners join; set once the board listens.
    """

    def __init__(self, classroom: Classroom, menus: Menus, doors: frozenset[str], turn: Turn, give: Give) -> None:
        self.classroom, self.menus, self.doors = classroom, menus, doors
        self.url = ""
        self._turn, self._give = turn, give

    def routes(self) -> dict[tuple[str, str], Answer]:
        """Return what is answered, by method and path."""
        return {
            ("GET", "/"): self._front_door,
            ("GET", "/open"): self._open,
            ("GET", "/board.css"): self._style,
            ("GET", "/board"): self._for_trainer(self._board),
            ("GET", "/learner"): self._for_trainer(self._learner),
            ("GET", "/answers"): self._for_trainer(self._answers),
            ("GET", "/end"): self._for_trainer(self._end),
            ("GET", "/export"): self._for_trainer(self._export),
            ("POST", "/order"): self._for_trainer(self._order),
        }

    # -- who comes in ------------------------------------------------------------------------------------------------

    def _is_trainer(self, request: Request) -> bool:
        try:
            cookie = SimpleCookie(request.headers.get("cookie", "")).get(_cookie_name(request))
        except CookieError:
            return False
        return cookie is not None and self._opens(cookie.value)

    def _opens(self, key: str) -> bool:
        return len(key) <= 100 and any(joining.same(joining.digest(key), one) for one in self.doors)

    def _for_trainer(self, answer: Answer) -> Answer:
        async def answered(request: Request) -> Response:
            if not self._is_trainer(request):
                raise Refused(403, "This page opens by the trainer's link.")
            return await answer(request)

        return answered

    async def _open(self, request: Request) -> Response:
        key = request.query_params.get("key", "")
        if not self._opens(key):
            raise Refused(403, "This link is none of this class.")
        body = '<section><h1>The board opens</h1><p><a href="board">Open the board</a></p></section>'
        # Not a redirect: a browser that came from another page would leave the cookie out on the way.
        made = _page(pages.page("The board opens", body, narrow=True, onward="board"))
        secure = "; Secure" if request.url.scheme == "https" else ""
        made.headers["set-cookie"] = (
            f"{_cookie_name(request)}={key}; Path=/; HttpOnly; SameSite=Strict; Max-Age={COOKIE_SECONDS}{secure}"
        )
        return made

    async def _front_door(self, request: Request) -> Response:
        if self._is_trainer(request):
            return RedirectResponse("board", 303)
        name = markup(self.classroom.kept.name, NAME)
        body = (
            f"<section><h1>{name}</h1><p>This is the board of a class on spokekit. To join, you need the code that "
            "your trainer shows:</p><p>in the guide under <b>Join a class</b>, or in a terminal with "
            f"<code>spokekit lab --join {escape(self.url)} --code CODE</code></p><p class=soft>Whoever gives the class "
            "opens the board by the link that <code>spokekit class</code> printed.</p></section>"
        )
        return _page(pages.page("A class", body, narrow=True))

    async def _style(self, request: Request) -> Response:
        return Response(pages.STYLE, media_type="text/css")

    # -- what is seen ------------------------------------------------------------------------------------------------

    def _view(self, asked: Mapping[str, str]) -> pages.View:
        names = asked.get("names") == "1"
        return pages.View(self.classroom.kept, self.menus, self.classroom.clock(), self.url, names)

    async def _board(self, request: Request) -> Response:
        return await self._shown(request, self._view(request.query_params), None, None)

    async def _learner(self, request: Request) -> Response:
        who = self._by_number(request.query_params.get("id", ""))
        if who is None:
            raise Refused(404, "There is no such learner in this class.")
        return await self._shown(request, self._view(request.query_params), who, None)

    async def _shown(
        self, request: Request, view: pages.View, who: Learner | None, typed: forms.Typed | None
    ) -> Response:
        live = request.query_params.get("live") == "1"
        said = self._said(view, request.query_params.get("given", ""))

        def made() -> str:
            order = "" if live else forms.orders(view, who, typed, said)
            if who is not None:
                return f"{pages.head(view, '')}{pages.learner(view, who)}{order}{pages.given(view, who)}"
            above = f'<div class="two">{pages.where(view)}{pages.common(view)}</div>'
            below = f'<div class="two">{order}{pages.given(view)}</div>'
            top = f"{pages.head(view, 'board')}{pages.how_to_join(view)}{pages.hands(view)}"
            return f"{top}{above}{pages.people(view)}{below}"

        title = f"{who.pseudonym}: {view.kept.name}" if who else f"Board: {view.kept.name}"
        return _page(pages.page(title, await self._turn(made), live=not live), 400 if typed else 200)

    def _said(self, view: pages.View, number: str) -> str:
        for one in view.kept.orders:
            if str(one.ordered.n) == number:
                told = markup(words(one.ordered.order, self.menus.course))
                return f"Order {one.ordered.n} was given, for {view.whom(one)}: {told}"
        return ""

    async def _answers(self, request: Request) -> Response:
        view = self._view(request.query_params)
        live = request.query_params.get("live") == "1"

        def made() -> str:
            now = [row.here for row in ranking.where(view.learners, view.lessons)]
            fullest = view.lessons[now.index(max(now))] if now and view.lessons else ""
            lesson = request.query_params.get("lesson", "") or fullest
            lesson = lesson if lesson in view.menus.course or lesson in view.lessons else fullest
            return f"{pages.head(view, 'answers')}{self._answers_of(view, lesson)}"

        return _page(pages.page(f"Answers: {view.kept.name}", await self._turn(made), live=not live))

    def _answers_of(self, view: pages.View, lesson: str) -> str:
        choices = [(name, ranking.title_of(self.menus.course, name)) for name in view.lessons]
        names = forms.hidden("names", "1") if view.names else ""
        menu = forms.select("answers-lesson", "lesson", "Lesson", choices, {"lesson": lesson})
        choose = (
            f'<section class="noprint"><form action="answers">{names}{menu}<div class="row"><button>Show</button></div>'
            f'</form><form method="post" action="order">{names}{forms.hidden("do", "answer-again")}'
            f'{forms.hidden("lesson", lesson)}<div class="row"><button class="main">'
            "Ask all: discuss, then answer again</button></div></form></section>"
        )
        return f"{choose}{pages.answers(view, lesson) if lesson else ''}"

    # -- orders ------------------------------------------------------------------------------------------------------

    def _by_number(self, told: str) -> Learner | None:
        number = int(told) if told.isascii() and told.isdigit() and len(told) < 10 else -1
        return self.classroom.kept.learners.get(number)

    async def _order(self, request: Request) -> Response:
        form = _form(await body_of(request))
        view = self._view(form)
        page_of = self._by_number(form["learner"]) if "learner" in form else None
        try:
            told = form.get("learner", "") or form.get("to", "")
            to = self._by_number(told)
            if told and to is None:
                raise InputError("There is no such learner in this class.", field="to")
            given = await self._give(order_of(form, self.menus), to.number if to else None)
        except (InputError, Conflict, NotFound) as problem:
            said = " ".join(filter(None, (problem.message, problem.hint)))
            return await self._shown(request, view, page_of, forms.Typed(form, said))
        query = {"given": given.ordered.n, **({"names": 1} if view.names else {})}
        path = f"learner?id={page_of.number}&" if page_of else "board?"
        return RedirectResponse(f"{path}{urlencode(query)}#said", 303)

    # -- the end -----------------------------------------------------------------------------------------------------

    async def _end(self, request: Request) -> Response:
        view = self._view(request.query_params)
        links = "".join(
            f'<li><a href="{view.link("export", format=how)}" download>{how.upper()}</a></li>' for how in export.FORMATS
        )
        names = "with the names that were given" if view.names else "pseudonyms alone; Show names puts the names in"
        body = (
            f"{pages.head(view, 'end')}<section><h2>Export</h2><p>Who was there, what they did in each lesson, the "
            f"wrong turns: {names}.</p><ul>{links}</ul></section><section><h2>End</h2><p>Stop the board where it was "
            "started with Ctrl-C. <code>spokekit class --forget</code> then deletes all of it; without that, it is "
            f"deleted by itself {counted(DAYS_KEPT, 'day')} after the class began. With it go the certificates that "
            "can be verified here.</p></section>"
        )
        return _page(pages.page(f"Export: {view.kept.name}", body, narrow=True))

    async def _export(self, request: Request) -> Response:
        how = next((one for one in export.FORMATS if one == request.query_params.get("format")), None)
        if how is None:
            raise Refused(404, "There is no such export.")
        view = self._view(request.query_params)
        data = await self._turn(lambda: export.export([view.kept], view.menus.course, how, names=view.names))
        headers = {"Content-Disposition": f'attachment; filename="class.{how}"'}
        return Response(data, headers=headers, media_type=export.MEDIA[how])


def _page(text: str, status: int = 200) -> Response:
    # A half of a character is no text that could be sent; what is foreign is shown with its escape already.
    made = Response(text.encode("utf-8", "backslashreplace"), status, media_type="text/html")
    made.headers["content-security-policy"] = pages.POLICY
    return made


def refusal(status: int, words: str, headers: dict[str, str]) -> Response:
    """Return a page that says why nothing is shown."""
    link = (
        "<p class=soft>The link stands where <code>spokekit class</code> was started; it opens as often as it is "
        "needed, on each device of the trainer.</p>"
    )
    title = "Not open" if status == 403 else "Nothing to show"
    body = f"<section><h1>{title}</h1><p>{markup(words)}</p>{link if status == 403 else ''}</section>"
    made = _page(pages.page(title, body, narrow=True), status)
    made.headers.update(headers)
    return made


def _form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))


def _cookie_name(request: Request) -> str:
    # A browser keeps one jar for all ports of a host.
    server = request.scope.get("server")
    return f"spokekit-class-{server[1] if server else 0}"
