"""Real servers on loopback that take what channels are told: by HTTP and by SMTP, and fail as they are told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from tests.answering import Handler, answering


@dataclass
class Hook:
    """A webhook: answers with the given statuses in turn, then with 204."""

    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)  # headers in lower case, body
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    address: str = ""


@contextmanager
def hook() -> Iterator[Hook]:
    taken = Hook()

    class Taking(Handler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            taken.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status, headers = taken.answers.pop(0) if taken.answers else (204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

    with answering(Taking) as address:
        taken.address = f"{address}/hook"
        yield taken


@dataclass
class Sink:
    """A mail server: refuses with the given answers in turn, then takes all."""

    letters: list[tuple[str, EmailMessage]] = field(default_factory=list)  # to whom, what
    answers: list[str] = field(default_factory=list)  # to DATA
    address: str = ""
    hangs_up: bool = False  # once it has a mail, without a word

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:
        if self.hangs_up:
            server.transport.close()
        if self.answers:
            return self.answers.pop(0)
        letter = message_from_bytes(envelope.content, policy=default)
        assert isinstance(letter, EmailMessage)
        self.letters.append((envelope.rcpt_tos[0], letter))
        return "250 OK"


@contextmanager
def sink(port: int) -> Iterator[Sink]:
    from aiosmtpd.controller import Controller  # not there where the oldest versions are tried

    taken = Sink(address=f"smtp://127.0.0.1:{port}")
    controller = Controller(taken, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield taken
    finally:
        controller.stop()
