"""Tells public network addresses from private ones, in IPv4, IPv6 and IPv6's disguises of IPv4."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# ipaddress.is_global will not do: it holds multicast, 6to4 and NAT64 forms of loopback addresses for global.
# From IANA's special-purpose registries (iana.org/assignments/iana-ipv4-special-registry, same for ipv6),
# first match wins.
_IPV4 = tuple(
    (IPv4Network(network), name)
    for network, name in (
        ("0.0.0.0/8", "this machine"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "a carrier's inner network"),
        ("127.0.0.0/8", "this machine"),
        ("168.63.129.16/32", "a cloud's inner service"),  # Azure's, public by its number alone
        ("169.254.0.0/16", "a link-local network"),  # the clouds' metadata services among them
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved for documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "reserved for measurements"),
        ("198.51.100.0/24", "reserved for documentation"),
        ("203.0.113.0/24", "reserved for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_IPV6 = tuple(
    (IPv6Network(network), name)
    for network, name in (
        ("::/128", "this machine"),
        ("::1/128", "this machine"),
        ("fc00::/7", "a private network"),
        ("fe80::/10", "a link-local network"),
        ("fec0::/10", "a private network"),
        ("ff00::/8", "multicast"),
        ("2001:db8::/32", "reserved for documentation"),
        ("3fff::/20", "reserved for documentation"),
        ("2001::/23", "reserved"),  # Teredo, benchmarking, ORCHID: nothing that serves a feed
        ("2620:4f:8000::/48", "reserved"),
    )
)
_GLOBAL = IPv6Network("2000::/3")  # all that has been given out; the rest of IPv6 is not for use
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; 64:ff9b:1::/48 (RFC 8215) is local, hence not global
_SIXTOFOUR = IPv6Network("2002::/16")  # RFC 3056


@lru_cache(maxsize=4096)
def private(address: str) -> str | None:
    """What kind of place an IP address is that strangers must not send us to; None: a public one.

    Takes what a socket gives, with or without a zone ("fe80::1%eth0"). ValueError: not an address.
    """
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        inner = _inner(parsed)
        if inner is None:
            return _private6(parsed)
        parsed = inner
    return next((name for network, name in _IPV4 if parsed in network), None)


def _private6(address: IPv6Address) -> str | None:
    name = next((name for network, name in _IPV6 if address in network), None)
    return name or (None if address in _GLOBAL else "reserved")


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, if packets to it would end up there."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIXTOFOUR:
        return IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return None
