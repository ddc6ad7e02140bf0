"""Says which servers belong together, so that they are spared as one."""

from __future__ import annotations

import ipaddress
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit


@lru_cache(maxsize=16384)
def registrable_domain(url: str) -> str:
    """The part of a link's host that its owner registered (example.co.uk), as a name for all of its servers.

    An IP address or a name of one part (localhost) stands for itself, together with its port.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if "." not in host or _is_address(host):
        return parts.netloc.rpartition("@")[2].lower()
    return _suffixes().privatesuffix(host) or host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@cache
def _suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList  # its list takes a moment to read

    return PublicSuffixList()
