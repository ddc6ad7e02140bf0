"""Tells systemd how the program is doing, where systemd wants to know; sd_notify(3) is one datagram to a socket."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

READY = "READY=1"
RELOADING = "RELOADING=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"


def tell(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Say it, where somebody listens; a listener that has gone is none of our business."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
        telling.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
        telling.sendall(state.encode())
