"""The operator's pages over HTTP: who asks is looked at first, then the desk is asked for a page or an act."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from aggregator.desk import Desk, View
from aggregator.errors import AggregatorError, NotFoundError
from aggregator.guard import COOKIE, LOGGED_IN, Admitted, Asked, Entrance, Guard, LogIn, Refused
from aggregator.page import operator_style
from aggregator.ports import Clock

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

log = logging.getLogger(__name__)

_ACTS = ("keep", "drop", "take-back", "merge", "split")
_FORM_BYTES = 16_384  # of a form: a mark, a place to go back to, an id or a link
_NOT_OURS = "This did not come from a form of these pages, or the form is too old: load the page anew and try again."
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    # Not "no-referrer": a form's request would then come from the origin "null" (Fetch Standard, 3.1).
    "referrer-policy": "same-origin",
}


def routes(desk: Desk, guard: Guard, clock: Clock) -> Sequence[Route]:
    """Everything at and below /status."""
    from starlette.responses import RedirectResponse, Response
    from starlette.routing import Route

    office = _Office(desk, guard, clock)
    pages: dict[str, Callable[[Request, View], str]] = {
        "": lambda _, view: desk.overview(view),
        "/sources": lambda request, view: desk.sources(view, request.query_params.get("state", "")),
        "/source/{number}": lambda request, view: desk.source(view, request.path_params["number"]),
        "/items": _items(desk),
        "/item/{key:int}": lambda request, view: desk.item(view, request.path_params["key"]),
        "/undecided": lambda _, view: desk.undecided(view),
        "/stories": lambda _, view: desk.stories(view),
        "/story/{id}": lambda request, view: desk.story(view, request.path_params["id"]),
    }
    return [
        *(Route(f"/status{path}", office.shows(make)) for path, make in pages.items()),
        Route("/status/", lambda _: RedirectResponse("../status", headers=_HEADERS)),
        Route("/status/find", office.finds),
        Route("/status/style.css", lambda _: Response(operator_style(), media_type="text/css", headers=_HEADERS)),
        Route("/status/log-in", office.logs_in, methods=["POST"]),
        Route("/status/log-out", office.logs_out, methods=["POST"]),
        *(Route(f"/status/{word}", office.acts(word), methods=["POST"]) for word in _ACTS),
    ]


def _items(desk: Desk) -> Callable[[Request, View], str]:
    def make(request: Request, view: View) -> str:
        asked = request.query_params
        before = asked.get("before", "")
        below = int(before) if before.isascii() and before.isdecimal() and len(before) <= 18 else None
        return desk.items(view, asked.get("source", ""), asked.get("decision", ""), below)

    return make


class _Office:
    """The endpoints; each page is made in a worker thread, for the store may have to be waited for."""

    def __init__(self, desk: Desk, guard: Guard, clock: Clock) -> None:
        self._desk = desk
        self._guard = guard
        self._clock = clock

    def shows(self, make: Callable[[Request, View], str]) -> Callable[[Request], Response]:
        """The endpoint of a page."""

        def show(request: Request) -> Response:
            match self._admit(request):
                case Admitted() as admitted:
                    view = self._view(request, admitted.session, may_leave=bool(admitted.session))
                    return self._answer(request, lambda: _html(make(request, view)))
                case turned_away:
                    return self._turn_away(request, turned_away)

        return show

    def finds(self, request: Request) -> Response:
        """Leads to the item or story that was asked for."""
        match self._admit(request):
            case Admitted():
                what = request.query_params.get("what", "").strip()
                return self._answer(request, lambda: _see(request, self._desk.find(what)))
            case turned_away:
                return self._turn_away(request, turned_away)

    def acts(self, word: str) -> Callable[[Request], object]:
        """The endpoint of a form that changes something."""
        from starlette.concurrency import run_in_threadpool

        async def act(request: Request) -> Response:
            form = await _form(request)
            return await run_in_threadpool(self._act, request, word, form)

        return act

    def _act(self, request: Request, word: str, form: dict[str, str]) -> Response:
        admitted = self._admit(request)
        if not isinstance(admitted, Admitted):
            return self._turn_away(request, admitted)
        if not self._guard.may_act(_asked(request), admitted, form.get("mark", "")):
            return self._refuse(request, 403, _NOT_OURS)

        def carry_out() -> Response:
            done = self._desk.act(word, form)
            path = done.path or _own(form.get("back", ""))
            return _see(request, path + ("&" if "?" in path else "?") + urlencode({"done": done.said}))

        return self._answer(request, carry_out)

    async def logs_in(self, request: Request) -> Response:
        """Takes the token, and remembers in a cookie that it was shown."""
        from starlette.concurrency import run_in_threadpool

        form = await _form(request)
        return await run_in_threadpool(self._log_in, request, form)

    def _log_in(self, request: Request, form: dict[str, str]) -> Response:
        if isinstance(refused := self._admit(request), Refused):
            return self._turn_away(request, refused)
        if not self._guard.may_act(_asked(request), Admitted(), form.get("mark", "")):
            return self._refuse(request, 403, _NOT_OURS)
        if not self._guard.knows(form.get("token", "")):
            log.warning("a wrong token was shown for the operator's pages, by %s", _peer(request))
            return self._ask(request, _own(form.get("back", "")), wrong=True)
        answer = _see(request, _own(form.get("back", "")))
        answer.set_cookie(
            COOKIE,
            self._guard.session(self._clock.now()),
            max_age=int(LOGGED_IN.total_seconds()),
            secure=request.headers.get("origin", request.url.scheme).startswith("https"),
            httponly=True,
            samesite="strict",
        )
        log.info("the operator has logged in from %s", _peer(request))
        return answer

    async def logs_out(self, request: Request) -> Response:
        """Forgets that the token was shown."""
        form = await _form(request)
        admitted = self._admit(request)
        if not isinstance(admitted, Admitted):
            return self._turn_away(request, admitted)
        if not self._guard.may_act(_asked(request), admitted, form.get("mark", "")):
            return self._refuse(request, 403, _NOT_OURS)
        answer = _see(request, "status")
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    def _admit(self, request: Request) -> Entrance:
        return self._guard.admit(_asked(request), self._clock.now())

    def _view(self, request: Request, session: str, *, may_leave: bool = False) -> View:
        done = request.query_params.get("done", "")
        return View(_base(request), _here(request), self._guard.mark(session), done, may_leave)

    def _answer(self, request: Request, make: Callable[[], Response]) -> Response:
        """What `make` makes, or a page that says why it could not."""
        try:
            return make()
        except NotFoundError as error:
            return self._refuse(request, 404, str(error))
        except AggregatorError as error:
            log.error("the operator's page %s: %s", request.url.path, error)
            return self._refuse(request, 503, str(error))

    def _refuse(self, request: Request, status: int, why: str) -> Response:
        return _html(self._desk.trouble(self._view(request, ""), why), status)

    def _turn_away(self, request: Request, entrance: Refused | LogIn) -> Response:
        from starlette.responses import PlainTextResponse

        match entrance:
            case Refused(why=why):
                return PlainTextResponse(f"{why}\n", 403, _HEADERS)
            case LogIn(wrong=wrong):
                if wrong:
                    log.warning("a wrong token was shown for the operator's pages, by %s", _peer(request))
                return self._ask(request, _here(request), wrong=wrong)

    def _ask(self, request: Request, back: str, *, wrong: bool) -> Response:
        """For the token, to go on to a page of ours."""
        page = _html(self._desk.log_in(replace(self._view(request, ""), here=back), wrong=wrong), 401)
        page.headers["www-authenticate"] = 'Bearer realm="operator"'
        return page


def _html(page: str, status: int = 200) -> Response:
    from starlette.responses import HTMLResponse

    return HTMLResponse(page, status, _HEADERS)


def _see(request: Request, path: str) -> Response:
    """Leads on to another page, below the folder that is served, by an address that holds behind any proxy."""
    from starlette.responses import RedirectResponse

    return RedirectResponse(_base(request) + path, 303, _HEADERS)


def _base(request: Request) -> str:
    return "../" * (_path(request).count("/") - 1)


def _here(request: Request) -> str:
    """The page that was asked for, without what was said on it; the overview where a form was sent."""
    if request.method == "POST":
        return "status"
    asked = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "done"])
    return _path(request).strip("/") + (f"?{asked}" if asked else "")


def _path(request: Request) -> str:
    """What was asked for, below the subject's own address where there are several."""
    return request.url.path.removeprefix(request.scope.get("root_path", ""))


def _own(path: str) -> str:
    """A page of ours to go back to; the overview where it is none."""
    inside = path == "status" or path.startswith(("status/", "status?"))
    return path if inside and path.isascii() and path.isprintable() and ".." not in path else "status"


def _asked(request: Request) -> Asked:
    version = request.scope.get("http_version", "")
    return Asked(_peer(request), version, request.headers, request.cookies.get(COOKIE))


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; none of one that is too large or of another kind."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES:
            return {}
    try:
        return dict(parse_qsl(body.decode("ascii"), max_num_fields=20))
    except ValueError:
        return {}
