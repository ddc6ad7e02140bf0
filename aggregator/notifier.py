"""Tells channels what is new, beside the rounds: a service that does not answer holds up nobody else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from aggregator import services
from aggregator.app import App
from aggregator.channels import Channel
from aggregator.config import Config
from aggregator.errors import AggregatorError
from aggregator.model import Delivered
from aggregator.notices import Told
from aggregator.ports import Courier
from aggregator.post import Mailer
from aggregator.spans import ahead
from aggregator.visiting import agent_of
from aggregator.webhook import Webhooks

log = logging.getLogger(__name__)

_AT_ONCE = 4  # channels that are told at the same time


class Couriers:
    """A courier for each kind of channel."""

    def __init__(self, config: Config) -> None:
        seconds = config.fetch.timeout_seconds
        self._webhooks = Webhooks(agent_of(config), seconds)
        self._known: Mapping[str, Courier] = {
            "webhook": self._webhooks,
            "mail": Mailer(config.mail.server, config.mail.sender, seconds),
            "apprise": services.Services(),
        }

    def of(self, channel: Channel) -> Courier:
        return self._known[channel.kind]

    def close(self) -> None:
        self._webhooks.close()


class Notifier:
    """What the daemon does about channels, in threads of its own."""

    def __init__(self, app: Callable[[], App], couriers: Couriers) -> None:
        """`app`: the flow as it is by now."""
        self._flow, self._couriers = app, couriers
        self._threads = ThreadPoolExecutor(_AT_ONCE, "notify")
        self._turn = threading.Lock()
        self._busy: set[str] = set()  # names of channels that are being told
        self._closing = threading.Event()

    def tend(self) -> None:
        """Have each channel told what waits for it, unless that is under way."""
        app = self._flow()
        try:
            app.address()
        except AggregatorError as error:
            log.error("what is new is told later: %s", error)
            return
        for channel in app.config.channels():
            with self._turn:
                if channel.name in self._busy:
                    continue
                self._busy.add(channel.name)
            self._threads.submit(self._tell, channel)

    def close(self) -> None:
        """End what is under way; what was not told waits in the outbox."""
        self._closing.set()
        self._threads.shutdown(cancel_futures=True)
        self._couriers.close()

    def _tell(self, channel: Channel) -> None:
        try:
            for told in messages(self._flow(), channel, self._couriers):
                log.info("%s", said(told))
                if self._closing.is_set():
                    return
        except AggregatorError as error:
            log.error("the channel %s is told later: %s", channel.name, error)
        except Exception:  # the top of a job
            log.exception("the channel %s is told later; please report this", channel.name)
        finally:
            with self._turn:
                self._busy.discard(channel.name)


def faults(config: Config) -> list[str]:
    """What is wrong with addresses that only apprise can judge, a sentence each."""
    judged = ((one.name, services.fault(one.address)) for one in config.channels() if one.kind == "apprise")
    return [f"{config.path}: [[notify]] {name}: {said}" for name, said in judged if said]


def messages(app: App, channel: Channel, couriers: Couriers) -> Iterator[Told]:
    """Tell a channel all that waits for it by now, message by message."""
    while (told := app.deliver(channel, couriers.of(channel))) is not None:
        yield told
        if not isinstance(told.delivery, Delivered):
            return


def said(told: Told) -> str:
    """What came of a message, in a line."""
    stories = "one story" if told.stories == 1 else f"{told.stories} stories"
    if isinstance(told.delivery, Delivered):
        return f"{told.channel} was told {stories}"
    again = f"tried again {ahead(told.again, told.at)}" if told.again else "given up"
    if told.delivery.perhaps:
        again = "not sent again, since it may have arrived"
    return f"{told.channel} was not told {stories}: {told.delivery.why}; {again}"
