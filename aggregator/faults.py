"""The closed list of what can go wrong between us and a server, each in words a person understands."""

from __future__ import annotations

from enum import Enum

from aggregator.model import Failed, FailureKind

HARD, SOFT, TEMPORARY = FailureKind.HARD, FailureKind.SOFT, FailureKind.TEMPORARY


class Fault(Enum):
    """A kind of failure and its sentence; {host} and the names in braces are filled in when it is told."""

    OFFLINE = (TEMPORARY, "could not find the address of {host}: is this machine online?")
    NO_SUCH_HOST = (TEMPORARY, "could not find the address of {host}: is the name right, and is this machine online?")
    UNREACHABLE = (TEMPORARY, "no way leads to {host} from here: is this machine online?")
    REFUSED = (TEMPORARY, "{host} refused the connection: its server may be down")
    NO_CONNECTION = (TEMPORARY, "could not connect to {host}: {detail}")
    LATE = (TEMPORARY, "{host} took longer than the {seconds:g} seconds allowed ([fetch] timeout_seconds)")
    CLOSED = (TEMPORARY, "{host} closed the connection without an answer")
    CUT = (TEMPORARY, "the connection to {host} broke before the whole document had come")

    PRIVATE = (
        HARD,
        "{host} leads to {address}, which is {range}, not the web ([fetch] allow_private_addresses permits it)",
    )
    BAD_ADDRESS = (HARD, "the address cannot be asked for: {detail}")
    BAD_HEADER = (HARD, "a header configured for this source cannot be sent: names and values must be plain text")
    BAD_REDIRECT = (HARD, "{host} redirects to an address that is not of the web ({detail})")
    IN_THE_OPEN = (HARD, "{host} redirects from HTTPS to HTTP, where anybody could read what it alone is told")
    NO_TARGET = (SOFT, "{host} redirects ({status}) without saying where to")
    CIRCLE = (SOFT, "{host} redirects in a circle; it may insist on cookies, which are not kept")
    RESTING = (TEMPORARY, "{host} redirects to {domain}, which asked for a pause (Retry-After)")
    TOO_FAR = (SOFT, "{host} redirects more than {limit} times")

    EXPIRED = (SOFT, "the certificate of {host} has expired: its operator must renew it")
    NOT_YET_VALID = (SOFT, "the certificate of {host} is not valid yet: is this machine's clock right?")
    OTHER_HOST = (SOFT, "the certificate of {host} was issued for another name: is the address right?")
    UNTRUSTED = (
        SOFT,
        "the certificate of {host} is not signed by an authority trusted here "
        "(the environment's SSL_CERT_FILE can name another list of authorities)",
    )
    BAD_CERTIFICATE = (SOFT, "the certificate of {host} was refused: {detail}")
    NO_TLS = (SOFT, "no secure connection to {host} could be made: {detail}")

    NOT_HTTP = (SOFT, "{host} answered with something that is not HTTP: {detail}")
    TOO_LARGE = (HARD, "{host} sent more than the {megabytes:g} MB allowed ([fetch] max_body_megabytes)")
    BAD_CODING = (SOFT, "{host} sent a document whose compression ({coding}) is damaged or cut short")
    CODINGS = (SOFT, "{host} sent a document compressed more than once ({coding}), which is not undone")
    EMPTY = (SOFT, "{host} answered with an empty document")
    UNASKED_304 = (SOFT, '{host} said "not modified" though the whole document was asked for')

    UNAUTHORIZED = (HARD, "{host} wants a user name and password (401): give them in the source's headers")
    PAYMENT = (HARD, "{host} wants payment for this address (402)")
    FORBIDDEN = (HARD, "{host} forbids us this address (403): it may turn away programs, or require a subscription")
    CHALLENGE = (HARD, "{host} asks visitors to prove that they are people ({status}), which a program cannot do")
    NOT_FOUND = (HARD, "{host} has no document at this address (404): it may have moved")
    GONE = (HARD, "{host} says that this address is gone for good (410): look for a new one, or remove the source")
    THROTTLED = (TEMPORARY, "{host} says that it is asked too often (429): it will be asked less")
    LEGAL = (HARD, "{host} withholds this address for legal reasons (451)")
    OVERLOADED = (TEMPORARY, "{host} is overloaded or under maintenance (503)")
    WAITING = (TEMPORARY, "{host} took too long inside ({status})")
    SERVER = (SOFT, "the server of {host} failed ({status})")
    REQUEST = (HARD, "{host} turned the request down ({status})")
    UNEXPECTED = (SOFT, "{host} gave an answer that makes no sense for a feed ({status})")

    def __init__(self, kind: FailureKind, sentence: str) -> None:
        self.kind = kind
        self.sentence = sentence


_UNASKED = frozenset({Fault.OFFLINE, Fault.NO_SUCH_HOST, Fault.UNREACHABLE, Fault.REFUSED, Fault.NO_CONNECTION})

_STATUS = {
    401: Fault.UNAUTHORIZED,
    402: Fault.PAYMENT,
    403: Fault.FORBIDDEN,
    404: Fault.NOT_FOUND,
    408: Fault.WAITING,
    410: Fault.GONE,
    421: Fault.SERVER,
    425: Fault.WAITING,
    429: Fault.THROTTLED,
    451: Fault.LEGAL,
    503: Fault.OVERLOADED,
    504: Fault.WAITING,
    522: Fault.WAITING,  # 520 to 524: Cloudflare's, for what lies behind it
    524: Fault.WAITING,
}


def of_status(status: int) -> Fault:
    """The fault that an HTTP status other than success stands for."""
    if status in _STATUS:
        return _STATUS[status]
    if 400 <= status < 500:
        return Fault.REQUEST
    return Fault.SERVER if status >= 500 else Fault.UNEXPECTED


class Trouble(Exception):
    """A fault on its way up to the fetcher, which knows the host; neither requests nor urllib3 wraps it."""

    def __init__(self, fault: Fault, **details: object) -> None:
        super().__init__(fault.name)
        self.fault = fault
        self.details = details

    def told(self, host: str, status: int | None = None) -> Failed:
        sentence = self.fault.sentence.format_map({**self.details, "host": host, "status": status})
        plain = "".join(c if c.isprintable() else "\ufffd" for c in sentence)
        return Failed(self.fault.kind, plain, status, asked=self.fault not in _UNASKED)
