"""Addresses of the wild web: made publishable, made comparable, and recognised as the same feed."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urljoin

import idna

_LONGEST = 8192  # characters; what common servers take as a request line (nginx and Apache: 8 KiB)
_EDGES = "".join(map(chr, range(0x21)))  # C0 controls and space, trimmed by WHATWG URL, 4.4
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORBIDDEN_IN_HOST = re.compile(
    r"[\x00-\x20\x7f#%/:<>?@\[\\\]^`{|}\"]"
)  # WHATWG URL, 3.2: forbidden domain code points
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986, 2.3


class _Parts(NamedTuple):
    scheme: str  # "http" or "https"
    host: str  # lower case, IDNA, with port where it is not the default
    path: str  # starts with "/"
    query: str | None
    fragment: str | None


# Query parameters that say how a reader came, never what is read. A name ending in "*" is a prefix.
_TRACKING = {
    "utm_*": "Google Analytics, 'Campaign URL builder'",
    "fbclid": "Facebook",
    "gclid": "Google Ads; also the next four",
    "gclsrc": "",
    "dclid": "",
    "gbraid": "",
    "wbraid": "",
    "_ga": "Google Analytics, linker; also _gl",
    "_gl": "",
    "msclkid": "Microsoft Advertising",
    "ocid": "Microsoft (MSN, Bing) and older BBC links",
    "cvid": "MSN",
    "yclid": "Yandex Direct; also ysclid",
    "ysclid": "",
    "twclid": "X",
    "__twitter_impression": "X, on AMP pages",
    "ttclid": "TikTok",
    "igshid": "Instagram; also igsh",
    "igsh": "",
    "li_fat_id": "LinkedIn",
    "mc_cid": "Mailchimp; also mc_eid",
    "mc_eid": "",
    "mkt_tok": "Marketo",
    "_hs*": "HubSpot (_hsenc, _hsmi)",
    "hsctatracking": "HubSpot",
    "vero_*": "Vero mail",
    "oly_*": "Omeda mail (oly_enc_id, oly_anon_id)",
    "at_*": "AT Internet: at_medium, at_campaign on BBC and French papers",
    "xtor": "AT Internet, older",
    "ns_*": "comScore on the BBC: ns_mchannel, ns_source",
    "pk_*": "Matomo; also mtm_*",
    "mtm_*": "",
    "piwik_*": "Matomo, older",
    "wt_mc*": "Webtrekk, German papers; also wt_zmc",
    "wt_zmc": "",
    "cmp": "The Guardian",
    "cmpid": "Bloomberg, ABC; campaign",
    "smid": "The New York Times; also smtyp",
    "smtyp": "",
    "ito": "Daily Mail",
    "ftcamp": "Financial Times",
    "taid": "Reuters on social media; also feedtype, feedname",
    "feedtype": "",
    "feedname": "",
    "s_cid": "Adobe Analytics; also icid, cid_source",
    "icid": "",
    "sr_share": "SimpleReach",
    "spm": "Alibaba",
    "ncid": "AOL, HuffPost",
    "guccounter": "Yahoo consent; also guce_*",
    "guce_*": "",
    "__tn__": "Facebook",
    "trk": "LinkedIn",
    "rss_id": "Spanish papers' feed links",
}

# Parameters that track only when their value says so; with other values they may name the article.
_TRACKING_VALUES = {
    "ref": re.compile(r"(?!\d+$)[\w.:/-]{1,40}", re.ASCII),  # "ref=rss", "ref=hl"; "ref=12345" may be the article
    "ref_src": re.compile(r".*"),  # X
    "source": re.compile(r"rss|feed|atom|twitter|facebook|social|email|newsletter|.*rss.*"),
    "src": re.compile(r"rss|feed|atom|twitter|facebook|.*rss.*"),
    "from": re.compile(r"rss|feed|atom|.*rss.*"),
    "partner": re.compile(r".*rss.*|feedburner"),
    "campaign": re.compile(r".*rss.*"),
    "feed": re.compile(r"rss|rss2|atom"),
    "rss": re.compile(r"1|yes|true|rss|"),
    "output": re.compile(r"amp"),
    "outputtype": re.compile(r"amp"),
    "amp": re.compile(r"1|true|"),
    "view": re.compile(r"amp"),
    "mobile": re.compile(r"1|true|yes|"),
}

# Addresses that only carry another: host and path (from the start) → the parameter that holds the target.
_CARRIERS = (
    (re.compile(r"(?:www\.)?bing\.com/news/apiclick\.aspx", re.I), ("url",)),  # Bing News feeds
    (re.compile(r"(?:www\.)?google\.[a-z.]+/url$"), ("url", "q")),  # Google Alerts feeds
    (re.compile(r"l\.facebook\.com/l\.php"), ("u",)),
    (re.compile(r"(?:www\.)?youtube\.com/redirect$"), ("q",)),
)
_AMP_CACHES = (  # https://developers.google.com/amp/cache/overview: /c/ or /v/, then s/ for https, then the address
    re.compile(r"[^/]+\.cdn\.ampproject\.org/[a-z](?:/s)?/(?P<target>.+)"),
    re.compile(r"(?:www\.)?google\.[a-z.]+/amp/(?:s/)?(?P<target>.+)"),
    re.compile(r"(?:www\.)?bing-amp\.com/[a-z](?:/s)?/(?P<target>.+)"),
)
_COPY_LABELS = ("www", "m", "mobile", "amp")  # first labels of hosts that serve the very same pages
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org"})


@lru_cache(maxsize=4096)  # one address stands in the documents of many slices
def publishable_link(url: str, base: str | None) -> str | None:
    """The address as a browser would open it, absolute and in ASCII; None if it cannot be a web page.

    Follows WHATWG URL: tabs and newlines inside are ignored, backslashes are slashes; http and https only, credentials
    dropped. `base` is an absolute address, or None where there is none to resolve against. One that is longer than
    servers take, as it is sent, is none.
    """
    parts = _parse(url, base)
    link = None if parts is None else _join(parts)
    return link if link is None or len(link) <= _LONGEST else None


def without_password(url: str) -> str:
    """The address as it was written, but for a user name and password: for lists, logs and messages."""
    # Cut, not put together anew: urlunsplit would change addresses such as "https://a.example/?".
    return re.sub(r"^(\w+://)[^/?#]*@", r"\1", url)


def source_key(url: str) -> str:
    """What two addresses of one feed share: all but http or https, the host's case, default port and fragment."""
    parts = _parse(url, None)
    if parts is None:
        return url.strip()
    return _join(parts._replace(scheme="https", fragment=None))


@lru_cache(maxsize=4096)  # a link is compared with those of many candidates
def canonical_link(url: str) -> str:
    """The comparable form of an article's address: equal for the same article, different for different ones.

    Scheme, www and mobile hosts, AMP forms, tracking parameters, their order, fragments and a trailing slash make no
    difference; redirecting addresses that show their target are opened. Never raises; not meant to be visited.
    """
    parts = _parse(url, None)
    if parts is None:
        return url.strip()
    for _ in range(3):  # a carrier inside a carrier was seen, never three
        target = _carried(parts)
        if target is None:
            break
        parts = target
    path = _canonical_path(parts.path)
    query = _canonical_query(parts.query)
    fragment = parts.fragment if parts.fragment and parts.fragment.startswith("!") else None  # "#!" names a page
    return _join(_Parts("https", _canonical_host(parts.host), path, query, fragment))


def _parse(url: str, base: str | None) -> _Parts | None:
    text = url.strip(_EDGES).translate({9: None, 10: None, 13: None})
    if not text or len(text) > _LONGEST:
        return None
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _relative(text, base)
    name, rest = scheme[1].lower(), text[scheme.end() :]
    if name not in _DEFAULT_PORTS:
        return None
    if base is not None and rest[:1] not in ("/", "\\") and base.lower().startswith(name + ":"):
        return _relative(rest, base)  # "http:page.html": WHATWG URL, "special relative or authority state"
    return _absolute(name, rest.lstrip("/\\"))


def _relative(text: str, base: str | None) -> _Parts | None:
    if base is None:
        return None
    parent = _parse(base, None)
    if parent is None:
        return None
    cut = re.search(r"[?#]", text)
    end = cut.start() if cut else len(text)
    text = text[:end].replace("\\", "/") + text[end:]
    if text.startswith("//"):
        return _absolute(parent.scheme, text.lstrip("/"))
    try:
        return _parse(urljoin(_join(parent), text), None)
    except ValueError:
        return None


def _absolute(scheme: str, rest: str) -> _Parts | None:
    end = re.search(r"[/\\?#]", rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    host = _host(authority.rpartition("@")[2], scheme)
    if host is None:
        return None
    tail, hash_, fragment = tail.partition("#")
    path, mark, query = tail.partition("?")
    path = path.replace("\\", "/") or "/"
    if "/." in path or "/%2" in path:
        path = _without_dots(path)
    return _Parts(
        scheme,
        host,
        _encode(path, "/:@!$&'()*+,;=~"),
        _encode(query, "/?:@!$&()*+,;=~'") if mark else None,
        _encode(fragment, "/?:@!$&()*+,;=~'") if hash_ else None,
    )


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4, and like WHATWG URL also for dots that are percent-encoded."""
    kept: list[str] = []
    segments = path.split("/")
    for number, segment in enumerate(segments, 1):
        plain = segment.lower().replace("%2e", ".")
        if plain == ".." and len(kept) > 1:
            kept.pop()
        if plain not in (".", ".."):
            kept.append(segment)
        elif number == len(segments):
            kept.append("")
    return "/".join(kept)


def _host(text: str, scheme: str) -> str | None:
    name, _, port = text.rpartition(":") if re.search(r":\d*$", text) else (text, "", "")
    if port and int(port[:9]) > 65535:
        return None
    suffix = f":{int(port)}" if port and int(port) != _DEFAULT_PORTS[scheme] else ""
    if name.startswith("[") and name.endswith("]"):
        try:
            return f"[{IPv6Address(name[1:-1]).compressed}]{suffix}"
        except ValueError:
            return None
    name = unquote(name).rstrip(".").lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    if not name or len(name) > 253 or _FORBIDDEN_IN_HOST.search(name):
        return None
    return name + suffix


def _encode(text: str, safe: str) -> str:
    """Percent-encode what an address may not hold, leaving what is encoded already."""
    return quote(_LONE_PERCENT.sub("%25", text), safe="%" + safe, errors="replace")


def _join(parts: _Parts) -> str:
    query = "" if parts.query is None else "?" + parts.query
    fragment = "" if parts.fragment is None else "#" + parts.fragment
    return f"{parts.scheme}://{parts.host}{parts.path}{query}{fragment}"


def _carried(parts: _Parts) -> _Parts | None:
    """The address that this one only leads to, where it says so itself."""
    address = parts.host + parts.path
    for pattern, names in _CARRIERS:
        if parts.query and pattern.match(address):
            values = dict(parse_qsl(parts.query))
            found = next((values[name] for name in names if name in values), None)
            return _parse(found, None) if found else None
    for pattern in _AMP_CACHES:
        match = pattern.fullmatch(address)
        if match and "." in match["target"].partition("/")[0]:
            inner = _parse("https://" + match["target"], None)
            return inner and inner._replace(query=parts.query)
    return None


def _canonical_host(host: str) -> str:
    labels = host.split(".")
    while len(labels) > 2 and labels[0] in _COPY_LABELS and not (len(labels) == 3 and labels[1] in _SECOND_LEVEL):
        labels = labels[1:]
    if len(labels) > 3 and labels[1] == "m":  # en.m.wikipedia.org
        labels = [labels[0], *labels[2:]]
    return ".".join(labels)


def _canonical_path(path: str) -> str:
    path = _recode(re.sub(r"(?<!:)/{2,}", "/", path))
    path = re.sub(r"(?i)/index\.html?$", "/", path)
    path = path.rstrip("/")
    short = re.sub(r"(?i)^/amp(?=/.)|/amp$|\.amp$|\.amp(?=\.html?$)|(?<=/news)/amp(?=/.)", "", path)  # /news/amp/: BBC
    return short or path or "/"


def _canonical_query(query: str | None) -> str | None:
    kept = [pair for pair in (query or "").replace("+", "%20").split("&") if pair and not _tracks(pair)]
    kept = [_recode(pair) for pair in kept]
    return "&".join(sorted(kept, key=lambda pair: pair.partition("=")[0])) or None


def _tracks(pair: str) -> bool:
    name, _, value = pair.partition("=")
    name = unquote(name).lower()
    name = name.removeprefix("amp;")  # "&amp;utm_source=": escaped once too often
    if name in _TRACKING or any(name.startswith(prefix) for prefix in _TRACKING_PREFIXES):
        return True
    pattern = _TRACKING_VALUES.get(name)
    return pattern is not None and pattern.fullmatch(unquote(value).lower()) is not None


_TRACKING_PREFIXES = tuple(name[:-1] for name in _TRACKING if name.endswith("*"))


def _recode(text: str) -> str:
    """One spelling of percent-encoding: unreserved characters bare, digits upper case (RFC 3986, 6.2.2)."""

    def one(match: re.Match[str]) -> str:
        character = chr(int(match[0][1:], 16))
        return character if character in _UNRESERVED else match[0].upper()

    return re.sub(r"%[0-9A-Fa-f]{2}", one, text)
