"""Posts new stories to webhooks, signed as Standard Webhooks 1.0 has it.

The specification: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
from datetime import datetime
from urllib.parse import urlsplit

import requests
import urllib3

from aggregator.channels import Channel, key_of
from aggregator.faults import Fault, Trouble
from aggregator.freshness import freshness
from aggregator.letters import payload
from aggregator.model import Delivered, Delivery, Edition, Message, Undelivered
from aggregator.transport import Transport

_PARALLEL = 4  # connections kept


class Webhooks:
    """ports.Courier by HTTP POST: no redirect is followed, no private place asked unless the channel allows it."""

    def __init__(self, agent: str, seconds: float) -> None:
        """`agent`: how we introduce ourselves; `seconds`: for one whole answer."""
        self._agent, self._seconds = agent, seconds
        self._transports = {allowed: Transport(_PARALLEL, 1, allowed) for allowed in (False, True)}

    def __call__(self, channel: Channel, message: Message, edition: Edition, now: datetime) -> Delivery:
        body = payload(edition, now)
        headers = {"User-Agent": self._agent, "Content-Type": "application/json"}
        headers |= signed(message.id, body, channel.secret, now)
        host, seconds = urlsplit(channel.address).hostname or "", self._seconds
        try:
            response = self._transports[channel.allow_private].post(channel.address, headers, body, seconds)
            status, wait = response.status, freshness(response.headers, "", now).retry_after
            response.close()
        except Trouble as trouble:
            if trouble.fault is Fault.PRIVATE:
                return Undelivered(f"{host} leads to {trouble.details['address']}, which is no public address")
            trouble.details.setdefault("seconds", seconds)
            return Undelivered(trouble.told(host).message)
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError):
            return Undelivered(f"the connection to {host} broke")
        return Delivered() if 200 <= status < 300 else Undelivered(f"{host} answered {status}", wait)

    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()


def signed(id: str, body: bytes, secret: str, now: datetime) -> dict[str, str]:
    """The headers that name a message and, with a secret, prove who sent it and that nothing was changed."""
    moment = str(int(now.timestamp()))
    named = {"webhook-id": id, "webhook-timestamp": moment}
    key = key_of(secret)
    if key is None:
        return named
    digest = hmac.new(key, b".".join((id.encode(), moment.encode(), body)), hashlib.sha256).digest()
    return named | {"webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}
