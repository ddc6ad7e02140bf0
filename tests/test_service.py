"""The program as a service: what systemd is told, who is turned away, and that no secret gets out."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aggregator.limit import Limited, client
from aggregator.service import ALIVE, READY, tell
from tests.command import HEAD, environment, rss
from tests.daemons import DEFECTOR, eventually, free_port
from tests.site import Site, serving

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "contrib" / "aggregator.service"


# --- systemd ----------------------------------------------------------------------------------------------------


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        yield listening


def test_systemd_is_told_by_its_protocol(listener: socket.socket) -> None:
    """One datagram to the socket it names; where it names none, nothing."""
    tell(READY, {"NOTIFY_SOCKET": listener.getsockname()})
    assert listener.recv(100) == b"READY=1"
    for address in ("", "relative", "/nowhere/at/all"):
        tell(READY, {"NOTIFY_SOCKET": address})


def test_a_daemon_says_when_it_is_ready_alive_reloading_and_stopping(tmp_path: Path, listener: socket.socket) -> None:
    """Ready once it serves; alive with each round; so that a start is waited for and a hang is noticed."""
    (tmp_path / "config.toml").write_text(HEAD + f'[server]\nlisten = "127.0.0.1:{free_port()}"\n')
    surroundings = environment() | {"NOTIFY_SOCKET": listener.getsockname()}
    command = [sys.executable, "-m", "aggregator", "run"]
    with subprocess.Popen(command, cwd=tmp_path, env=surroundings, stderr=subprocess.DEVNULL) as process:
        try:
            heard = [listener.recv(100).decode() for _ in range(2)]
            assert sorted(heard) == [READY, ALIVE]
            process.send_signal(signal.SIGHUP)
            heard = [listener.recv(100).decode()]
            while heard[-1] != READY:
                heard.append(listener.recv(100).decode())
            assert "RELOADING=1" in heard
            process.send_signal(signal.SIGTERM)
            while heard[-1] != "STOPPING=1":
                heard.append(listener.recv(100).decode())
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    """Every word of it is known, and it leaves the service few rights: an exposure of 2 or less of 10."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/aggregator/bin/aggregator", shutil.which("true") or ""))
    found = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    if "Failed to" in found.stderr and "unit" not in found.stderr.lower():
        pytest.skip(f"systemd-analyze does not work here: {found.stderr.strip()}")
    assert (found.returncode, found.stderr) == (0, "")
    judged = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", str(unit)]
    subprocess.run(judged, check=True, capture_output=True)


def test_the_unit_gives_up_what_matters_most() -> None:
    """Each by itself changes the exposure little: rights to write, to gain others, and a user of its own."""
    lines = UNIT.read_text().splitlines()
    given_up = {"ProtectSystem=strict", "ProtectHome=yes", "NoNewPrivileges=yes", "CapabilityBoundingSet="}
    assert {*given_up, "DynamicUser=yes", "SystemCallFilter=~@privileged", "PrivateDevices=yes"} <= {*lines}
    assert not [line for line in lines if line.startswith(("User=root", "ReadWritePaths=/ "))]


def test_the_container_runs_as_nobody_and_builds_what_is_locked() -> None:
    """From a base named by its version, with digests checked, as a user by number."""
    lines = (ROOT / "Containerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert all(":" in base and not base.endswith(":latest") for base in bases)
    assert any("--require-hashes" in line for line in lines)
    assert "USER 10001:10001" in lines


# --- too many requests ------------------------------------------------------------------------------------------


def scope(peer: str, *forwarded: str) -> dict[str, Any]:
    return {
        "type": "http",
        "client": (peer, 1),
        "headers": [(b"x-forwarded-for", one.encode()) for one in forwarded],
    }


def asked(limited: Limited, who: dict[str, Any]) -> int:
    """The status of an answer."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(limited(who, None, send))
    return int(sent[0]["status"])


async def _answers(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_client_has_its_share_and_no_more() -> None:
    """A minute's worth at once, then one as each becomes free; others are served all the while."""
    clock = Seconds()
    limited = Limited(_answers, 6, clock)
    assert [asked(limited, scope("192.0.2.1")) for _ in range(8)] == [200] * 6 + [429] * 2
    assert asked(limited, scope("192.0.2.2")) == 200
    clock.now = 10
    assert [asked(limited, scope("192.0.2.1")) for _ in range(2)] == [200, 429]
    clock.now = 1_000
    assert [asked(limited, scope("192.0.2.1")) for _ in range(7)] == [200] * 6 + [429]
    assert {asked(Limited(_answers, 0, clock), scope("192.0.2.1")) for _ in range(50)} == {200}


def test_a_client_is_told_by_its_address_and_by_no_claim_of_its_own() -> None:
    """A proxy on this machine speaks for others; a neighbour's header counts for nothing; IPv6 by the network."""
    assert client(scope("192.0.2.1", "198.51.100.7")) == "192.0.2.1"
    assert client(scope("127.0.0.1", "203.0.113.9, 198.51.100.7")) == "198.51.100.7"
    assert client(scope("::1", "203.0.113.9", "198.51.100.7")) == "198.51.100.7"
    assert client(scope("::ffff:192.0.2.1")) == "192.0.2.1"
    assert client(scope("2001:db8:1:2::3")) == client(scope("2001:db8:1:2:ffff::")) == "2001:db8:1:2::/64"
    assert client(scope("127.0.0.1")) == ""
    assert client(scope("127.0.0.1", "nonsense")) == "unknown"


def test_many_clients_take_little_memory() -> None:
    """The oldest are forgotten."""
    limited = Limited(_answers, 6, Seconds())
    for number in range(12_000):
        limited._wait(f"client {number}")
    assert len(limited._buckets) == 10_000


# --- secrets ----------------------------------------------------------------------------------------------------

SECRETS = ("hush-password", "hush-token", "hush-database", "hush-operator")
CONFIGURED = """\
[server]
listen = "127.0.0.1:{port}"
requests_per_minute = 30
token = "hush-operator-0123456789abcdef0123456789"
[[source]]
name = "A"
url = "http://user:hush-password@{place}/a"
headers = {{ X-Token = "${{HUSH}}" }}
[[source]]
name = "Down"
url = "http://user:hush-password@127.0.0.1:9/feed"
[[source]]
name = "Broken"
url = "http://user:hush-password@{place}/broken"
"""


def test_no_secret_shows_in_the_log_in_the_files_or_over_http(tmp_path: Path) -> None:
    """Over a daemon's whole run: passwords in addresses, headers from the environment, the operator's own token."""
    with serving() as site:
        run_with_secrets(tmp_path, site)
    said = (tmp_path / "log").read_bytes()
    assert b"visited" in said
    for path in [tmp_path / "log", *(one for one in (tmp_path / "public").rglob("*") if one.is_file())]:
        content = path.read_bytes()
        assert not [secret for secret in SECRETS if secret.encode() in content], path
        assert b"dXNlcjpodXNoLXBhc3N3b3Jk" not in content, path  # the same as Basic authentication has it
    table = tomllib.loads((tmp_path / "config.toml").read_text())
    assert SECRETS[0] in table["source"][0]["url"]


def run_with_secrets(folder: Path, site: Site) -> None:
    site.put("/a", rss([DEFECTOR]))
    site.put("/broken", b"<html><title>no feed</title>")
    port = free_port()
    place = site.address.removeprefix("http://").rstrip("/")
    (folder / "config.toml").write_text(HEAD + CONFIGURED.format(port=port, place=place), encoding="utf-8")
    surroundings = environment() | {"HUSH": "hush-token", "PGPASSWORD": "hush-database"}
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "aggregator", "run"]
        process = subprocess.Popen(command, cwd=folder, env=surroundings, stderr=log, stdout=log)
    try:
        eventually(lambda: b"visited" in (folder / "log").read_bytes())
        for name in ("", "status", "health", "metrics", "sources.opml", "feed.json", "nothing"):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/{name}")
            try:
                with urllib.request.urlopen(request) as answer:
                    body, headers = answer.read(), answer.headers
            except urllib.error.HTTPError as error:
                body, headers = error.read(), error.headers
            assert not [secret for secret in SECRETS if secret.encode() in body + str(headers).encode()], name
            for header in ("Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"):
                assert headers[header], (name, header)
        crowd = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"X-Forwarded-For": "192.0.2.1"})
        statuses = [status(crowd) for _ in range(40)]
        assert (statuses[0], statuses[-1]) == (200, 429)
        process.send_signal(signal.SIGHUP)
        eventually(lambda: b"reloaded" in (folder / "log").read_bytes())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def status(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code if error.headers["Content-Security-Policy"] and error.headers["Retry-After"] else -1
