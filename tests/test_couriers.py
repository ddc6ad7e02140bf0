"""How channels are told: by real HTTP, SMTP and apprise, on loopback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import time, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from lxml import etree
from lxml import html as markup

from aggregator.channels import Channel, Hours, fault, kind_of, names
from aggregator.entries import story_path
from aggregator.letters import mail, payload, short, subject
from aggregator.model import Delivered, Delivery, Message, Undelivered
from aggregator.post import Mailer
from aggregator.services import Services
from aggregator.webhook import Webhooks
from tests.daemons import free_port
from tests.editions import LINK, NOON, REALISTIC, edition, member, story
from tests.receivers import Hook, Sink

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ONE = edition(story(1))
MESSAGE = Message("msg_1", "desk", (ONE.stories[0].id,), 1, NOON)
SENDER = "News <news@example.org>"


@pytest.fixture
def webhooks() -> Iterator[Webhooks]:
    courier = Webhooks("test/1", 5)
    yield courier
    courier.close()


def channel(address: str, **changes: object) -> Channel:
    given = Channel("desk", kind_of(address), address, allow_private=True)
    return replace(given, **changes)  # type: ignore[arg-type]


def why(delivery: Delivery) -> str:
    assert isinstance(delivery, Undelivered)
    return delivery.why


class TestWebhooks:
    def test_a_story_is_posted_as_an_item_of_the_feed(self, receiver: Hook, webhooks: Webhooks) -> None:
        """With what a program needs to know of the feed, and the address of the story's own page."""
        assert webhooks(channel(receiver.address), MESSAGE, ONE, NOON) == Delivered()
        ((headers, body),) = receiver.posts
        told = json.loads(body)
        assert (told["type"], told["timestamp"]) == ("stories.new", "2026-03-01T12:00:00Z")
        assert told["data"]["feed_url"] == f"{LINK}feed.json"
        (item,) = told["data"]["items"]
        assert (item["id"], item["url"], item["title"]) == (ONE.stories[0].id, ONE.stories[0].link, "Headline 1")
        assert item["_page"].startswith(f"{LINK}story/")
        assert headers["content-type"] == "application/json"
        assert "webhook-signature" not in headers

    def test_it_is_signed(self, receiver: Hook, webhooks: Webhooks) -> None:
        """As Standard Webhooks has it: the receiver can tell who sent it, when, and that nothing was changed."""
        webhooks(channel(receiver.address, secret=SECRET), MESSAGE, ONE, NOON)
        ((headers, body),) = receiver.posts
        assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1772366400")
        signed = b"msg_1.1772366400." + body
        expected = base64.b64encode(hmac.new(bytes(range(32)), signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"

    @pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 500, 503])
    def test_any_other_answer_is_a_failure(self, receiver: Hook, webhooks: Webhooks, status: int) -> None:
        """A redirect, too, which is not followed."""
        receiver.answers = [(status, {"Location": receiver.address})]
        assert why(webhooks(channel(receiver.address), MESSAGE, ONE, NOON)) == f"127.0.0.1 answered {status}"
        assert len(receiver.posts) == 1

    def test_a_service_may_ask_for_a_pause(self, receiver: Hook, webhooks: Webhooks) -> None:
        """Retry-After is heeded."""
        receiver.answers = [(429, {"Retry-After": "120"})]
        delivery = webhooks(channel(receiver.address), MESSAGE, ONE, NOON)
        assert isinstance(delivery, Undelivered)
        assert delivery.retry_after == timedelta(minutes=2)

    def test_private_places_are_refused(self, receiver: Hook, webhooks: Webhooks) -> None:
        """Unless the channel allows them; the address connected to is judged, not its name."""
        address = receiver.address.replace("127.0.0.1", "localhost")
        assert "no public address" in why(webhooks(channel(address, allow_private=False), MESSAGE, ONE, NOON))
        assert receiver.posts == []

    def test_a_dead_host_is_told_without_its_address(self, webhooks: Webhooks) -> None:
        """What stands behind the host may be a secret."""
        said = why(webhooks(channel(f"http://127.0.0.1:{free_port()}/s3cret?t=s3cret"), MESSAGE, ONE, NOON))
        assert "127.0.0.1 refused the connection" in said
        assert "s3cret" not in said


class TestMail:
    def test_a_mail_says_the_same_as_text_and_as_html(self, mails: Sink) -> None:
        """Every story with its title, outlet, language, links to source and page, and who told it, too."""
        digest = channel("mailto:ana@example.org", hours=Hours(time(7), "UTC"))
        assert Mailer(mails.address, SENDER, 5)(digest, MESSAGE, REALISTIC, NOON) == Delivered()
        ((to, letter),) = mails.letters
        assert (to, letter["To"], letter["From"]) == ("ana@example.org", "ana@example.org", SENDER)
        assert letter["Subject"] == "North Korean Defectors: 1 March 2026 (4)"
        assert letter["Message-ID"] == "<msg_1@example.org>"
        assert letter.get_content_type() == "multipart/alternative"
        text, html = (part.get_content() for part in letter.iter_parts())
        for body in (text, " ".join(markup.fromstring(html).itertext())):
            for said in ("Трое перебежчиков прибыли в Сеул", "Вести <24>", "Russian", "탈북민 3명 서울 도착", "Korean"):
                assert said in body, said
            assert "Why it is here" in body
        for address in ("https://outlet1.example/news/1", "https://outlet2.example/news/2", f"{LINK}story/"):
            assert address in text
            assert address in html

    def test_the_html_stands_alone(self) -> None:
        """No style sheet, table, script or picture; nothing is loaded, and nothing of a source comes alive."""
        letter = mail(REALISTIC, "msg_1", SENDER, "ana@example.org", NOON, digest=True)
        root = markup.fromstring(letter.get_body(("html",)).get_content())  # type: ignore[union-attr]
        assert not root.xpath("//table | //style | //link | //script | //img | //@onclick | //@src")
        assert {href.partition(":")[0] for href in root.xpath("//@href")} == {"https"}
        assert "<b> is a tag" in root.text_content()

    def test_lines_are_short_enough_for_any_server(self) -> None:
        """RFC 5322: no line beyond 998 characters, however long a text is; all of it is ASCII on the way."""
        long = edition(story(1, member(1, title="탈북민 " * 120, summary="北" * 5000)), excerpt_characters=5000)
        data = mail(long, "msg_1", SENDER, "ana@example.org", NOON, digest=True).as_bytes()
        assert max(map(len, data.splitlines())) <= 998

    def test_a_title_cannot_add_a_header(self) -> None:
        """Line breaks in a title are none in the subject."""
        evil = edition(story(1, member(1, title="One\r\nBcc: all@example.org")))
        letter = mail(evil, "msg_1", SENDER, "ana@example.org", NOON, digest=False)
        assert letter["Subject"] == "One Bcc: all@example.org"
        assert letter["Bcc"] is None

    @pytest.mark.parametrize("answer", ["451 later", "554 spam"])
    def test_a_server_that_refuses_is_quoted(self, mails: Sink, answer: str) -> None:
        """And the mail is tried again."""
        mails.answers = [answer]
        delivery = Mailer(mails.address, SENDER, 5)(channel("mailto:a@example.org"), MESSAGE, ONE, NOON)
        assert why(delivery) == f"the mail server answered {answer[:3]}: {answer[4:]}"
        assert not isinstance(delivery, Undelivered) or not delivery.perhaps

    def test_a_server_that_dies_after_taking_it_leaves_doubt(self, mails: Sink) -> None:
        """The mail was handed over: it may have arrived, and is not sent twice."""
        mails.hangs_up = True
        delivery = Mailer(mails.address, SENDER, 5)(channel("mailto:a@example.org"), MESSAGE, ONE, NOON)
        assert isinstance(delivery, Undelivered)
        assert delivery.perhaps

    def test_a_dead_server_is_told(self) -> None:
        """In words, without the password."""
        server = f"smtp://user:s3cret@127.0.0.1:{free_port()}"
        said = why(Mailer(server, SENDER, 5)(channel("mailto:a@example.org"), MESSAGE, ONE, NOON))
        assert said == "the mail server could not be reached: Connection refused"


class TestServices:
    @pytest.fixture(autouse=True)
    def _needs_apprise(self) -> None:
        pytest.importorskip("apprise", reason="the extra notify is not installed")

    @pytest.mark.parametrize(
        ("address", "read"),
        [
            ("json://{}/x", lambda body: [json.loads(body)[name] for name in ("title", "message")]),
            ("form://{}/x", lambda body: [parse_qs(body)[name][0] for name in ("title", "message")]),
            ("xml://{}/x", lambda body: etree.fromstring(body.encode()).xpath("//Subject/text() | //Message/text()")),
            ("ntfy://{}/desk", lambda body: [json.loads(body)[name] for name in ("title", "message")]),
            ("gotify://{}/AbCdEf1234567", lambda body: [json.loads(body)[name] for name in ("title", "message")]),
            ("mmost://{}/" + 26 * "a", lambda body: json.loads(body)["text"].split("\r\n")),
        ],
    )
    def test_a_service_of_apprise_is_told(
        self, receiver: Hook, address: str, read: Callable[[str], Sequence[str]]
    ) -> None:
        """The title once, then outlet and language, and the links, as text that each service spells in its way."""
        title = '탈북민 3명 <서울> & "도착"'
        told = edition(story(1, member(1, title=title, language="ko", source="연합뉴스")))
        receiver.answers = [(200, {})]
        assert (
            Services()(channel(address.format(urlsplit(receiver.address).netloc)), MESSAGE, told, NOON) == Delivered()
        )
        ((_, body),) = receiver.posts
        shown, message = read(body.decode())
        assert shown == title
        assert message.splitlines()[:2] == ["연합뉴스 · Korean · 1 March 2026", "https://outlet1.example/news/1"]
        assert message.endswith(f"{LINK}{story_path(told.stories[0].id)}")

    def test_several_stories_are_listed_by_title(self, receiver: Hook) -> None:
        """Below a line that says what they are."""
        address = receiver.address.replace("http://", "json://")
        assert Services()(channel(address), MESSAGE, edition(story(1), story(2)), NOON) == Delivered()
        told = json.loads(receiver.posts[0][1])
        assert told["title"] == "North Korean Defectors: 1 March 2026 (2)"
        assert [line for line in told["message"].splitlines() if "Headline" in line] == ["Headline 1", "Headline 2"]

    def test_what_it_does_not_take_is_a_failure_without_its_secrets(
        self, receiver: Hook, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Neither in what is told nor in the log."""
        caplog.set_level(logging.INFO)
        receiver.answers = [(500, {})]
        address = receiver.address.replace("http://", "json://user:s3cretpass@") + "/t0ken99"
        said = why(Services()(channel(address), MESSAGE, ONE, NOON))
        assert "500" in said
        assert "s3cretpass" not in said + caplog.text
        assert "t0ken99" not in said + caplog.text

    def test_it_reaches_no_private_place(self, receiver: Hook) -> None:
        """Judged on the address connected to; a redirect leads nowhere."""
        address = receiver.address.replace("http://", "json://").replace("127.0.0.1", "localhost")
        assert isinstance(Services()(channel(address, allow_private=False), MESSAGE, ONE, NOON), Undelivered)
        assert receiver.posts == []
        receiver.answers = [(302, {"Location": receiver.address})]
        assert isinstance(Services()(channel(address), MESSAGE, ONE, NOON), Undelivered)
        assert len(receiver.posts) == 1

    def test_an_address_that_it_does_not_know_is_told(self) -> None:
        """By its scheme alone."""
        assert why(Services()(channel("nowhere://s3cret/s3cret"), MESSAGE, ONE, NOON)).startswith("nowhere:…")


class TestTexts:
    def test_many_stories_are_a_short_message(self) -> None:
        """The newest ten, and where the others are."""
        many = edition(*(story(number) for number in range(1, 31)))
        text = short(many)
        assert text.count("Headline") == 10
        assert text.endswith(f"+ 20: {LINK}")
        assert subject(many, NOON, digest=False) == "North Korean Defectors: 1 March 2026 (30)"

    def test_a_payload_is_json_whatever_the_texts(self) -> None:
        """All stories of the message are in it."""
        assert len(json.loads(payload(REALISTIC, NOON))["data"]["items"]) == 4


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("https://hook.example/x", "webhook"),
        ("mailto:ana@example.org", "mail"),
        ("mailto://user:pass@example.org", "apprise"),
        ("tgram://1:abc/2", "apprise"),
        ("ana@example.org", ""),
    ],
)
def test_an_address_says_how_it_is_reached(address: str, kind: str) -> None:
    """What is understood by nobody is refused in words."""
    assert kind_of(address) == kind
    assert bool(fault(address, "")) == (not kind)


def test_receivers_are_called_by_what_is_no_secret() -> None:
    """One by the table's name, several by their kind or mailbox, too."""
    assert names("Desk", ["tgram://s3cret/1"]) == ["Desk"]
    several = ["tgram://s3cret/1", "tgram://s3cret/2", "mailto:a@example.org", "https://h.example/s3cret"]
    assert names("Desk", several) == ["Desk (tgram 1)", "Desk (tgram 2)", "Desk (a@example.org)", "Desk (h.example)"]
