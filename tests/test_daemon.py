"""The main job as an operator runs it: started, asked, reloaded, stopped."""

from __future__ import annotations

import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.command import HEAD, NOT_SERVED, aggregator, configure, feed, rss
from tests.daemons import DEFECTOR, SWIMMER, daemon, eventually, free_port, get
from tests.lab import Lab, Reply, silence
from tests.site import Site


def test_the_daemon_polls_publishes_and_serves_until_it_is_told_to_stop(tmp_path: Path, site: Site) -> None:
    """The page is up at once, the stories follow; SIGTERM ends it with status 0."""
    address = f"127.0.0.1:{free_port()}"
    configure(tmp_path, {"News": site.put("/feed", rss([DEFECTOR]))}, HEAD + f'[server]\nlisten = "{address}"\n')
    with daemon(tmp_path) as process:
        eventually(lambda: DEFECTOR[1] in get(f"http://{address}/")[1])
        assert get(f"http://{address}/feed.json")[0] == 200
        assert get(f"http://{address}/health")[0] == 200
        assert 'aggregator_sources{state="ok"} 1' in get(f"http://{address}/metrics")[1]
        assert "News" in get(f"http://{address}/status")[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_server_that_hangs_holds_up_no_news(tmp_path: Path, site: Site) -> None:
    """What others bring is out while the visit to it goes on."""
    address = f"127.0.0.1:{free_port()}"
    with Lab() as lab:
        sources = {"Hangs": lab.route("/feed", silence), "News": site.put("/feed", rss([DEFECTOR]))}
        configure(tmp_path, sources, HEAD + f'[server]\nlisten = "{address}"\n')
        with daemon(tmp_path):
            eventually(lambda: DEFECTOR[1] in get(f"http://{address}/")[1])
            assert "Hangs" not in (tmp_path / "log").read_text(), "the visit to it was over first"


def test_a_server_that_hangs_holds_up_no_later_visit(tmp_path: Path, site: Site) -> None:
    """What falls due while the visit to it goes on is visited, and what is new is out."""
    address = f"127.0.0.1:{free_port()}"
    with Lab() as lab:
        hangs, news = lab.route("/feed", silence), site.put("/feed", rss([DEFECTOR]))
        configure(tmp_path, {"Hangs": hangs, "News": news}, HEAD + f'[server]\nlisten = "{address}"\n')
        config = (tmp_path / "config.toml").read_text().replace("[fetch]\n", "[fetch]\ntimeout_seconds = 60\n")
        (tmp_path / "config.toml").write_text(config + 'interval = "5s"\n')
        with daemon(tmp_path):
            eventually(lambda: DEFECTOR[1] in get(f"http://{address}/")[1])
            site.put("/feed", rss([DEFECTOR, SWIMMER]))
            eventually(lambda: SWIMMER[1] in get(f"http://{address}/")[1])
            assert "Hangs" not in (tmp_path / "log").read_text(), "the visit to it was over first"
        assert len(lab.requests) == 1


def test_a_changed_configuration_counts_from_sighup_on(tmp_path: Path, site: Site) -> None:
    """A source that was added is polled; one that is wrong is told and changes nothing."""
    address = f"127.0.0.1:{free_port()}"
    head = HEAD + f'[server]\nlisten = "{address}"\n'
    first, second = site.put("/1", rss([DEFECTOR])), site.put("/2", rss([SWIMMER]))
    configure(tmp_path, {"First": first}, head)
    with daemon(tmp_path) as process:
        eventually(lambda: DEFECTOR[1] in get(f"http://{address}/")[1])
        (tmp_path / "config.toml").write_text("[fed]\n")
        process.send_signal(signal.SIGHUP)
        eventually(lambda: "not reloaded" in (tmp_path / "log").read_text())
        assert DEFECTOR[1] in get(f"http://{address}/")[1]
        configure(tmp_path, {"First": first, "Second": second}, head)
        process.send_signal(signal.SIGHUP)
        eventually(lambda: SWIMMER[1] in get(f"http://{address}/")[1])
    assert "did you mean feed?" in (tmp_path / "log").read_text()


def test_a_configuration_that_turns_out_not_to_work_changes_nothing(tmp_path: Path, site: Site) -> None:
    """A port in use shows only once it is asked for; the old configuration goes on."""
    address = f"127.0.0.1:{free_port()}"
    source = {"First": site.put("/1", rss([DEFECTOR]))}
    configure(tmp_path, source, HEAD + f'[server]\nlisten = "{address}"\n')
    with daemon(tmp_path) as process, socket.create_server(("127.0.0.1", 0)) as taken:
        eventually(lambda: DEFECTOR[1] in get(f"http://{address}/")[1])
        configure(tmp_path, source, HEAD + f'[server]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n')
        process.send_signal(signal.SIGHUP)
        eventually(lambda: "the old one goes on" in (tmp_path / "log").read_text())
        eventually(lambda: DEFECTOR[1] in get(f"http://{address}/")[1])
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert "the port is in use" in (tmp_path / "log").read_text()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine knows no IPv6")
def test_the_page_can_be_served_over_ipv6(tmp_path: Path, site: Site) -> None:
    """An address in brackets, as in a link."""
    address = f"[::1]:{free_port()}"
    configure(tmp_path, {"First": site.put("/1", rss([DEFECTOR]))}, HEAD + f'[server]\nlisten = "{address}"\n')
    with daemon(tmp_path):
        eventually(lambda: DEFECTOR[1] in get(f"http://{address}/")[1])


def test_a_stop_loses_no_visit(tmp_path: Path, site: Site) -> None:
    """What was asked before the stop is stored; what was not is asked by the next run, and nothing is asked twice."""
    addresses = {f"S{n}": site.put(f"/{n}", rss([(f"https://news.example/{n}", DEFECTOR[1], "")])) for n in range(40)}
    slow = HEAD.replace("host_gap_seconds = 0", "host_gap_seconds = 0.05").replace("per_host = 16", "per_host = 4")
    configure(tmp_path, addresses, slow + '[server]\nlisten = ""\n')
    site.takes = 0.5  # so that several are under way at the stop
    with daemon(tmp_path) as process:
        eventually(lambda: len(site.requests) >= 5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    asked = {request.path for request in site.requests}
    assert len(asked) < 40
    assert not claimed(tmp_path)
    site.takes = 0
    done = aggregator(tmp_path, "run", "--once")
    assert done.returncode == 0, done.stderr
    paths = [request.path for request in site.requests]
    assert sorted(paths) == sorted(set(paths))
    assert len(paths) == 40
    assert sum(len(story["_story"]["members"]) for story in feed(tmp_path)) == 40


def claimed(folder: Path) -> list[str]:
    """The sources that are, by the store alone: who reads it on another machine cannot know that a process ended."""
    with closing(sqlite3.connect(folder / "aggregator.db")) as store:
        return [url for (url,) in store.execute("SELECT url FROM rhythm WHERE leased_until IS NOT NULL")]


def test_a_single_run_that_is_stopped_gives_back_what_it_did_not_visit(tmp_path: Path, site: Site) -> None:
    """So that the next run need not wait for the leases to end; what was visited is not asked for again."""
    addresses = {f"S{n}": site.put(f"/{n}", rss([(f"https://news.example/{n}", DEFECTOR[1], "")])) for n in range(12)}
    slow = NOT_SERVED.replace("host_gap_seconds = 0", "host_gap_seconds = 0.3").replace("per_host = 16", "per_host = 1")
    configure(tmp_path, addresses, slow)
    with daemon(tmp_path, "--once") as process:
        eventually(lambda: len(site.requests) >= 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    assert len(site.requests) < 12
    assert not claimed(tmp_path)
    configure(tmp_path, addresses)
    assert aggregator(tmp_path, "run", "--once").returncode == 0
    assert sorted(request.path for request in site.requests) == sorted(f"/{n}" for n in range(12))


def test_killed_visit_is_made_again_soon(tmp_path: Path) -> None:
    """What a process had claimed that was killed is free at the next start, not after a quarter of an hour."""
    with Lab() as lab:
        configure(tmp_path, {"News": lab.route("/feed", silence, Reply(200, (), rss([DEFECTOR])))})
        with daemon(tmp_path):
            eventually(lambda: bool(lab.requests))
            other = aggregator(tmp_path, "run", "--once")
            assert (other.returncode, len(lab.requests)) == (0, 1), "what a living process has claimed is left to it"
        done = aggregator(tmp_path, "run", "--once")
        assert "1 new item" in done.stdout
        assert len(lab.requests) == 2


def test_without_a_network_the_seed_stories_are_published(tmp_path: Path) -> None:
    """Each source's failure is told in words, and the run has still done its work."""
    head = HEAD.replace("publish_seed = false", "publish_seed = true") + '[server]\nlisten = ""\n'
    configure(
        tmp_path, {"Nobody": f"http://127.0.0.1:{free_port()}/feed", "Nowhere": "http://nowhere.invalid/feed"}, head
    )
    done = aggregator(tmp_path, "run", "--once")
    assert done.returncode == 0
    assert "could not find the address of nowhere.invalid" in done.stdout
    assert "refused" in done.stdout
    assert len(feed(tmp_path)) == 4
