"""Hears what WebSub hubs say at an address that nobody can guess: whether we meant to subscribe, and what is new."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

_BODIES = 4  # of the greatest length that are held at once; most are a hundredth of it
_TOKEN = "[A-Za-z0-9_-]{32}"  # noqa: S105 (its shape: websub.begin); no file that is published goes by such a name


@dataclass(frozen=True, slots=True)
class Hearing:
    """What is done about what hubs say."""

    hear: Callable[[str, Mapping[str, str]], tuple[int, str]]  # token, query → status and text
    knows: Callable[[str], bool]  # whether a hub may deliver under a token
    # token, X-Hub-Signature, Content-Type, body → done once it is taken in; None: it is passed over
    deliver: Callable[[str, str, str | None, bytes], Future[None] | None]


def routes(path: str, hearing: Hearing, limit: int) -> list[Route]:
    """The callback at `path`/TOKEN; `limit`: bytes of a delivery, of which more is refused."""
    from starlette.convertors import StringConvertor, register_url_convertor
    from starlette.routing import Route

    class Token(StringConvertor):
        regex = _TOKEN

    register_url_convertor("token", Token())
    address, room = f"{path.rstrip('/')}/{{token:token}}", _Room(limit)
    return [
        Route(address, partial(_verify, hearing), methods=["GET"]),
        Route(address, partial(_receive, hearing, room), methods=["POST"]),
    ]


class _Room:
    """Room for what is delivered until it is taken in: for one body's worth of each subscription, and some of all."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: Counter[str] = Counter()  # token → bytes
        self._turn = threading.Lock()

    def hold(self, token: str, count: int) -> bool:
        """Make room for some more bytes; False: there is none."""
        with self._turn:
            if self._held[token] + count > self.limit or self._held.total() + count > _BODIES * self.limit:
                return False
            self._held[token] += count
            return True

    def leave(self, token: str, count: int) -> None:
        with self._turn:
            self._held -= Counter({token: count})


async def _verify(hearing: Hearing, request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import PlainTextResponse

    status, text = await run_in_threadpool(hearing.hear, request.path_params["token"], dict(request.query_params))
    return PlainTextResponse(text, status)


async def _receive(hearing: Hearing, room: _Room, request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import PlainTextResponse

    token, body, held = request.path_params["token"], bytearray(), 0
    if not hearing.knows(token):  # before a stranger's body costs anything
        return PlainTextResponse("", 404)
    taken: Future[None] | None = None
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > room.limit:
                return PlainTextResponse("That is more than is taken here.\n", 413)
            if not room.hold(token, len(chunk)):
                return PlainTextResponse("Much is being delivered; please try again.\n", 503, {"retry-after": "60"})
            held += len(chunk)
        headers = request.headers
        given = (headers.get("x-hub-signature", ""), headers.get("content-type"), bytes(body))
        taken = await run_in_threadpool(hearing.deliver, token, *given)
        return PlainTextResponse("", 202)
    finally:
        if taken is None:
            room.leave(token, held)
        else:
            taken.add_done_callback(lambda _: room.leave(token, held))
