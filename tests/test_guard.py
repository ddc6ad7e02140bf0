"""Who is let in to the operator's pages, and what counts as the operator's own doing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.guard import LOGGED_IN, Admitted, Asked, Guard, LogIn, Refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = "correct horse battery staple"
OPEN, LOCKED = Guard(""), Guard(TOKEN, "https://feed.example/nk/")
HERE = {"host": "127.0.0.1:8080"}


def asked(peer: str = "127.0.0.1", http: str = "1.1", cookie: str | None = None, **headers: str) -> Asked:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asked(peer, http, HERE | given, cookie)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "localhost"])
def test_without_a_token_this_machine_is_let_in(peer: str, host: str) -> None:
    """By any of its names for itself."""
    assert OPEN.admit(asked(peer, host=host), NOW) == Admitted()


@pytest.mark.parametrize(
    "stranger",
    [
        asked("192.0.2.1"),
        asked(""),
        asked("192.0.2.1", x_forwarded_for="127.0.0.1"),
        asked(host="rebound.example:8080"),
        asked(host=""),
        asked(host="[::1"),
        asked(host="localhost#.rebound.example"),
        asked(host="localhost/.rebound.example"),
        asked(host="rebound.example@127.0.0.1:8080"),
        asked(host="127.0.0.1.rebound.example"),
        asked(x_forwarded_for="127.0.0.1"),
        asked(forwarded="for=127.0.0.1"),
        asked(via="1.1 proxy"),
        asked(x_real_ip="127.0.0.1"),
        asked(x_forwarded_proto="https"),
        asked(http="1.0"),
        asked(authorization="Bearer "),
    ],
    ids=lambda one: " ".join([one.peer, one.http, *map(":".join, one.headers.items())]),
)
def test_without_a_token_nobody_else_is(stranger: Asked) -> None:
    """Nor a proxy on this machine, which speaks for others, nor a page whose name was made to point here."""
    if "authorization" in stranger.headers:
        assert OPEN.admit(stranger, NOW) == Admitted()  # an empty token is no token, and no key either
        assert not OPEN.knows("")
    else:
        assert isinstance(OPEN.admit(stranger, NOW), Refused)


def test_with_a_token_everyone_has_to_show_it() -> None:
    """On this machine, too: a proxy that adds no header looks just like it."""
    assert LOCKED.admit(asked(), NOW) == LogIn()
    assert LOCKED.admit(asked("192.0.2.1"), NOW) == LogIn()


def test_a_script_shows_it_in_a_header() -> None:
    """From anywhere, through proxies; it needs no mark, since no page elsewhere can send that header."""
    script = asked("192.0.2.1", authorization=f"bearer  {TOKEN}", x_forwarded_for="198.51.100.1")
    admitted = LOCKED.admit(script, NOW)
    assert admitted == Admitted(by_header=True)
    assert LOCKED.may_act(script, admitted, "")
    assert LOCKED.admit(asked(authorization="Bearer " + TOKEN[:-1]), NOW) == LogIn(wrong=True)


def test_a_cookie_holds_for_a_week_and_for_one_token() -> None:
    """It outlasts a restart; another token ends it, and so does time."""
    cookie = LOCKED.session(NOW)
    assert Guard(TOKEN).admit(asked(cookie=cookie), NOW + LOGGED_IN - timedelta(seconds=1)) == Admitted(cookie)
    assert LOCKED.admit(asked(cookie=cookie), NOW + LOGGED_IN + timedelta(seconds=1)) == LogIn()
    assert Guard(TOKEN + "!").admit(asked(cookie=cookie), NOW) == LogIn()
    assert TOKEN not in cookie


@given(st.text() | st.tuples(st.integers(), st.text(), st.text()).map(lambda parts: ".".join(map(str, parts))))
def test_no_other_cookie_does(cookie: str) -> None:
    """Whatever it is."""
    assert LOCKED.admit(asked(cookie=cookie), NOW) == LogIn()


@given(st.integers(min_value=0, max_value=80), st.characters())
def test_nor_one_that_was_changed(at: int, by: str) -> None:
    """Not by a single character, such as one of its date."""
    cookie = LOCKED.session(NOW)
    at = min(at, len(cookie) - 1)
    changed = cookie[:at] + by + cookie[at + 1 :]
    assert LOCKED.admit(asked(cookie=changed), NOW) == (Admitted(cookie) if changed == cookie else LogIn())


@pytest.mark.parametrize("guard", [OPEN, LOCKED], ids=["open", "locked"])
def test_only_our_own_forms_act(guard: Guard) -> None:
    """The browser has to say that the page was ours, and the form has to carry this session's mark."""
    admitted = Admitted("" if guard is OPEN else guard.session(NOW))
    mark = guard.mark(admitted.session)
    own = asked(origin="http://127.0.0.1:8080", sec_fetch_site="same-origin")
    assert guard.may_act(own, admitted, mark)
    assert guard.may_act(asked(origin="http://127.0.0.1:8080"), admitted, mark)  # browsers before Fetch Metadata
    assert guard.may_act(asked(sec_fetch_site="same-origin"), admitted, mark)
    for strange in (
        asked(origin="https://evil.example", sec_fetch_site="cross-site"),
        asked(origin="https://evil.example"),
        asked(origin="null"),
        asked(origin=""),
        asked(origin="http://[::1"),
        asked(origin="http://127.0.0.1:9090", sec_fetch_site="same-site"),
        asked(origin="http://127.0.0.1:8080", sec_fetch_site="cross-site"),
        asked(origin="http://127.0.0.1:8080", sec_fetch_site="same-site"),
        asked(sec_fetch_site="same-site"),
        asked(sec_fetch_site="none"),
        asked(),
    ):
        assert not guard.may_act(strange, admitted, mark)
    for wrong in ("", mark[:-1], guard.mark("another"), Guard(TOKEN + "!").mark(admitted.session)):
        assert not guard.may_act(own, admitted, wrong)


def test_a_mark_opens_nothing_but_its_form() -> None:
    """It is no part of a cookie, and a server without a token makes marks that nobody else can make."""
    what = LOCKED.session(NOW).rpartition(".")[0]
    assert LOCKED.admit(asked(cookie=f"{what}.{LOCKED.mark(what)}"), NOW) == LogIn()
    assert OPEN.mark("") != Guard("").mark("")


def test_a_proxy_may_send_another_host_where_a_token_is_asked_for() -> None:
    """The public address counts as ours then; without a token it does not, for the proxy speaks for strangers."""
    headers = {"origin": "https://feed.example", "host": "127.0.0.1:8080"}
    assert LOCKED.is_from_here(headers)
    assert not Guard("", "https://feed.example/nk/").is_from_here(headers)


@pytest.mark.parametrize("mode", ["no-cors", "cors", "navigate"])
def test_no_page_elsewhere_draws_on_these(mode: str) -> None:
    """Neither as a picture nor in a frame; a link from elsewhere may be followed."""
    for site in ("cross-site", "same-site"):
        framed = asked(sec_fetch_site=site, sec_fetch_mode=mode, sec_fetch_dest="iframe")
        assert isinstance(OPEN.admit(framed, NOW), Refused)
        assert isinstance(LOCKED.admit(framed, NOW), Refused)
    followed = asked(sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document")
    assert OPEN.admit(followed, NOW) == Admitted()
