"""Sends short texts through the services that the library apprise knows: chats, phones, many others."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from aggregator.addresses import private
from aggregator.channels import Channel
from aggregator.errors import ConfigError
from aggregator.letters import short, subject
from aggregator.model import Delivered, Delivery, Edition, Message, Undelivered

_SHORTEST = 4  # characters; a shorter piece of an address is too common to be struck from a sentence, and no secret


class Services:
    """ports.Courier through apprise, loaded with the first message."""

    def __call__(self, channel: Channel, message: Message, edition: Edition, now: datetime) -> Delivery:
        try:
            service = _service(channel.address)
            title = subject(edition, now, digest=channel.hours is not None)
            body = short(edition).removeprefix(f"{title}\n")  # of a single story: services show both
            with _public_only(channel.allow_private), _heard() as said:
                done = service.notify(body=body, title=title, body_format="text")
        except ConfigError as error:
            return Undelivered(str(error))
        except Exception as error:
            return Undelivered(_without(f"{type(error).__name__}: {error}", channel.address))
        if done:
            return Delivered()
        return Undelivered(_without("; ".join(said) or "the service did not take it", channel.address))


def fault(address: str) -> str | None:
    """What is wrong with an address of apprise; None: nothing."""
    try:
        _service(address)
    except ConfigError as error:
        return str(error)
    return None


def _service(address: str) -> Any:
    """What apprise makes of an address; ConfigError: nothing."""
    try:
        import apprise
    except ImportError:
        raise ConfigError("the package apprise is not installed: pip install 'aggregator[notify]'") from None
    settings = apprise.AppriseAsset(async_mode=False, http_redirects=False, secure_logging=True, storage_mode="memory")
    with _heard():
        found = apprise.Apprise.instantiate(address, asset=settings)
    if found is None:
        raise ConfigError(f"{urlsplit(address).scheme}:… is no address that apprise knows")
    return found


_guarded = threading.local()


@contextmanager
def _public_only(allow_private: bool) -> Iterator[None]:
    """Refuse connections of this thread to private places, judged on the address connected to.

    apprise opens its connections itself and takes no other way to do so; Python tells an audit hook of each of them
    before it is made (PEP 578). What a service does in threads of its own is not seen.
    """
    _watch()
    _guarded.on = not allow_private
    try:
        yield
    finally:
        _guarded.on = False


_watching = threading.Lock()


def _watch() -> None:
    """Have the hook called from now on, once: it cannot be taken off again, and looks at nothing while nobody sends."""
    if _watching.acquire(blocking=False):
        sys.addaudithook(_judge)


def _judge(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not getattr(_guarded, "on", False):
        return
    _, address = arguments
    if isinstance(address, tuple) and (place := private(str(address[0]))):
        raise PermissionError(f"it leads to {address[0]}, which is {place}")


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What apprise warns of in this thread, kept from the log: it may hold what is secret."""
    said: list[str] = []
    thread, logger = threading.get_ident(), logging.getLogger("apprise")

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                said.append(record.getMessage())

    ear = Ear(logging.WARNING)
    logger.propagate = False
    logger.setLevel(logging.WARNING)  # what is below tells addresses
    logger.addHandler(ear)
    try:
        yield said
    finally:
        logger.removeHandler(ear)


def _without(said: str, address: str) -> str:
    """A sentence without any piece of the address but its scheme."""
    _, _, rest = address.partition("://")
    for piece in sorted({*re.split(r"[/:@?&=]", rest), *re.split(r"[/:@?&=]", unquote(rest))}, key=len, reverse=True):
        if len(piece) >= _SHORTEST:
            said = said.replace(piece, "…")
    return "".join(c if c.isprintable() else " " for c in said)[:200]
