"""Turns away who asks too often: each client has so many requests a minute, and so many clients are known."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

_CLIENTS = 10_000  # remembered, the latest; some 2 MB
_OURSELVES = ""  # a client that is not counted


class Limited:
    """An ASGI application before which each client has a bucket of tokens: a minute's worth, filled evenly."""

    def __init__(self, app: Any, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_minute`: requests; 0: any number. `clock`: seconds."""
        self._app = app
        self._most = float(per_minute)
        self._rate = per_minute / 60
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client → tokens left, at that time

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        wait = self._wait(client(scope)) if scope["type"] == "http" and self._rate else 0.0
        if not wait:
            await self._app(scope, receive, send)
            return
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"retry-after", str(math.ceil(wait)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": b"Too many requests; please ask less often.\n"})

    def _wait(self, who: str) -> float:
        """Seconds until the client may ask again; 0: now, and that is counted."""
        if who == _OURSELVES:
            return 0.0
        now = self._clock()
        left, then = self._buckets.pop(who, (self._most, now))
        left = min(self._most, left + (now - then) * self._rate)
        self._buckets[who] = (max(left - 1, 0.0) if left >= 1 else left, now)
        while len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._rate


def client(scope: Any) -> str:
    """Who asks: an address, of IPv6 the network that one customer has; "" for this machine itself.

    A proxy on this machine says for whom it asks, at the end of X-Forwarded-For, which it writes itself; what anybody
    else says there is not believed.
    """
    peer = _address((scope.get("client") or ("",))[0])
    if peer is not None and not peer.is_loopback:
        return _network(peer)
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    if not forwarded:
        return _OURSELVES
    said = _address(forwarded[-1].decode("latin-1").rpartition(",")[2].strip())
    return _network(said) if said is not None else "unknown"


def _network(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
