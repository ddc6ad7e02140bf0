"""Sends mail by SMTP, through the server that the operator names."""

from __future__ import annotations

import smtplib
import ssl
from datetime import datetime
from email.utils import parseaddr
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from aggregator.channels import Channel, mailbox
from aggregator.letters import mail
from aggregator.model import Delivered, Delivery, Edition, Message, Undelivered

_PORTS = {"smtp": 587, "smtps": 465}  # RFC 6409, RFC 8314


class Mailer:
    """ports.Courier by SMTP. The server is the operator's own choice and may lie anywhere."""

    def __init__(self, server: str, sender: str, seconds: float) -> None:
        """`server`: smtp://host:port, encrypted where it offers that, or smtps://; `seconds`: for each answer."""
        self._parts, self._sender, self._seconds = urlsplit(server), sender, seconds

    def __call__(self, channel: Channel, message: Message, edition: Edition, now: datetime) -> Delivery:
        to = mailbox(channel.address)
        letter = mail(edition, message.id, self._sender, to, now, digest=channel.hours is not None)
        handed_over = False
        try:
            with self._session() as session:
                _accepted(session.mail(parseaddr(self._sender)[1]))
                _accepted(session.rcpt(to))
                handed_over = True
                code, said = session.data(letter.as_bytes())
                handed_over = False
                _accepted((code, said))
                return Delivered()
        except smtplib.SMTPResponseException as error:
            return Undelivered(f"the mail server answered {error.smtp_code}: {_readable(error.smtp_error)}")
        except (smtplib.SMTPException, OSError) as error:
            said_why = "the connection to the mail server broke" if handed_over else _reason(error)
            return Undelivered(said_why, perhaps=handed_over)

    def _session(self) -> smtplib.SMTP:
        """A session with the server, encrypted if it can be, and logged in if there is a password."""
        host, scheme = self._parts.hostname or "", self._parts.scheme
        port = self._parts.port or _PORTS[scheme]
        if scheme == "smtps":
            session: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port, timeout=self._seconds, context=ssl.create_default_context()
            )
        else:
            session = smtplib.SMTP(host, port, timeout=self._seconds)
        try:
            self._prepare(session, host)
        except BaseException:
            session.close()
            raise
        return session

    def _prepare(self, session: smtplib.SMTP, host: str) -> None:
        session.ehlo_or_helo_if_needed()
        encrypted = self._parts.scheme == "smtps"
        if not encrypted and session.has_extn("starttls"):
            session.starttls(context=ssl.create_default_context())
            session.ehlo()
            encrypted = True
        if self._parts.username is None:
            return
        if not encrypted and not _is_here(host):
            raise smtplib.SMTPException("the mail server offers no encryption, and is told no password without")
        session.login(unquote(self._parts.username), unquote(self._parts.password or ""))


def _accepted(answer: tuple[int, bytes]) -> None:
    if not 200 <= answer[0] < 300:
        raise smtplib.SMTPResponseException(*answer)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _readable(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return "".join(c if c.isprintable() else " " for c in text)[:200]


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the mail server took too long"
    if isinstance(error, smtplib.SMTPException):
        return _readable(str(error)) or "the mail server closed the connection"
    said = error.strerror if isinstance(error, OSError) else None
    return f"the mail server could not be reached: {said or type(error).__name__}"
