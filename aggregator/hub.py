"""Speaks to WebSub hubs: a form is posted, politely, and never into a private network."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from urllib.parse import urlencode, urljoin, urlsplit

import requests
import urllib3

from aggregator import faults, tables
from aggregator.faults import Fault, Trouble
from aggregator.transport import Transport

_SAME_METHOD = frozenset({307, 308})
_LIMIT = 3  # redirects
_PARALLEL = 2  # connections kept


class Hubs:
    """Posts forms to hubs, from any number of threads."""

    def __init__(self, settings: tables.Fetch, agent: str) -> None:
        self._seconds = settings.timeout_seconds
        self._transport = Transport(_PARALLEL, _PARALLEL, settings.allow_private_addresses)
        self._headers = {"User-Agent": agent, "Content-Type": "application/x-www-form-urlencoded"}

    def post(self, hub: str, fields: Mapping[str, str]) -> str | None:
        """Post once, following 307 and 308; None: the hub took it; else what went wrong, in words."""
        due, status = time.monotonic() + self._seconds, 0
        host = urlsplit(hub).hostname or hub
        try:
            for _ in range(_LIMIT + 1):
                response = self._transport.post(hub, self._headers, urlencode(fields).encode(), due - time.monotonic())
                status, target = response.status, response.headers.get("Location")
                response.close()
                if status not in _SAME_METHOD or not target:
                    break
                hub = _onward(hub, target)
            return None if 200 <= status < 300 else Trouble(faults.of_status(status)).told(host, status).message
        except Trouble as trouble:
            trouble.details.setdefault("seconds", self._seconds)
            return trouble.told(host, status).message
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
            return Trouble(Fault.CUT).told(host, status).message
        except ValueError:  # urllib's word on addresses: the hub's own was looked at when it was named
            return Trouble(Fault.BAD_REDIRECT, detail="not an address").told(host, status).message

    def close(self) -> None:
        self._transport.close()


def _onward(hub: str, target: str) -> str:
    """Where a redirect leads; what is posted may hold the secret of a subscription, which goes over HTTPS alone."""
    onward = urljoin(hub, target)
    match urlsplit(hub).scheme, urlsplit(onward).scheme:
        case "https", "http":
            raise Trouble(Fault.IN_THE_OPEN)
        case _, "http" | "https":
            return onward
    raise Trouble(Fault.BAD_REDIRECT, detail="not of the web")
