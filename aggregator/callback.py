"""Hears what WebSub hubs say at an address that nobody can guess: whether we meant to subscribe, and what is new."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

# token, query → status and text
Hear = Callable[[str, Mapping[str, str]], tuple[int, str]]
# token, X-Hub-Signature, Content-Type, body → whether the token is known
Deliver = Callable[[str, str, str | None, bytes], bool]


def routes(path: str, hear: Hear, deliver: Deliver, limit: int) -> list[Route]:
    """The callback at `path`/TOKEN; `limit`: bytes of a delivery, of which more is refused."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def verify(request: Request) -> Response:
        status, text = await run_in_threadpool(hear, request.path_params["token"], dict(request.query_params))
        return PlainTextResponse(text, status)

    async def receive(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                return PlainTextResponse("That is more than is taken here.\n", 413)
        headers = request.headers
        given = (headers.get("x-hub-signature", ""), headers.get("content-type"), bytes(body))
        known = await run_in_threadpool(deliver, request.path_params["token"], *given)
        return PlainTextResponse("", 202 if known else 404)

    return [
        Route(f"{path.rstrip('/')}/{{token}}", verify, methods=["GET"]),
        Route(f"{path.rstrip('/')}/{{token}}", receive, methods=["POST"]),
    ]
