"""A place that a network leads to which a test can cut: a namespace of the kernel's, joined by a pair of interfaces."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network

import pytest


@dataclass(frozen=True)
class Place:
    """Where processes of a test run."""

    host: str = "127.0.0.1"  # the address at which others reach them
    enter: tuple[str, ...] = ()  # what stands before a command that is to run there


@dataclass(frozen=True)
class Far:
    """Two ends of a cable; packets that are under way when it is cut are lost, and nobody is told."""

    here: Place
    there: Place
    name: str

    def cut(self) -> None:
        _ip("-netns", self.name, "link", "set", "there", "down")

    def mend(self) -> None:
        _ip("-netns", self.name, "link", "set", "there", "up")


@contextmanager
def far() -> Iterator[Far]:
    """Such a place until the end of the block; the test is skipped where it cannot be had."""
    number = os.getpid() % 2**14
    name, net = f"far-{number}", ip_network("10.231.0.0/16")
    here, there = (str(net[4 * number + end]) for end in (1, 2))
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a network that can be cut takes root and namespaces: {error}")
    try:
        _ip("link", "add", f"here-{number}", "type", "veth", "peer", "name", "there", "netns", name)
        _ip("addr", "add", f"{here}/30", "dev", f"here-{number}")
        _ip("link", "set", f"here-{number}", "up")
        for words in (f"addr add {there}/30 dev there", "link set there up", "link set lo up"):
            _ip("-netns", name, *words.split())
        yield Far(Place(here), Place(there, ("ip", "netns", "exec", name)), name)
        _ip("link", "del", f"here-{number}")  # the kernel takes its time over what is left in a namespace
    finally:
        _ip("netns", "del", name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
