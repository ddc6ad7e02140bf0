"""The command as a user runs it: in a folder with a configuration, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

HEAD = """\
[feed]
title = "Test"
link = "https://example.org/t/"
output = "public"
max_entries = 0
publish_seed = false
[topic]
max_age_days = 0
[fetch]
allow_private_addresses = true
per_host = 16
host_gap_seconds = 0
[store]
url = "sqlite:///aggregator.db"
"""
NOT_SERVED = HEAD + '[server]\nlisten = ""\n'


def environment() -> dict[str, str]:
    """The surroundings of a newcomer: none of this program's own variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AGGREGATOR_")}


def aggregator(folder: Path, *arguments: str, answers: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "aggregator", *arguments]
    return subprocess.run(
        command, cwd=folder, input=answers, capture_output=True, text=True, timeout=300, env=environment()
    )


def configure(folder: Path, sources: Mapping[str, str], head: str = NOT_SERVED) -> None:
    """Write a configuration with these sources: name → address."""
    tables = (f"[[source]]\nname = {json.dumps(name)}\nurl = {json.dumps(url)}\n" for name, url in sources.items())
    (folder / "config.toml").write_text(head + "".join(tables), encoding="utf-8")


def rss(entries: list[tuple[str, str, str]], encoding: str = "utf-8") -> bytes:
    """An RSS 2.0 document of entries (link, title, summary)."""
    items = "".join(
        f"<item><title>{escape(title)}</title><link>{escape(link)}</link><description>{escape(summary)}</description>"
        "<pubDate>Mon, 01 Jun 2026 08:00:00 GMT</pubDate></item>"
        for link, title, summary in entries
    )
    channel = f"<channel><title>x</title>{items}</channel>"
    return f'<?xml version="1.0" encoding="{encoding}"?><rss version="2.0">{channel}</rss>'.encode(encoding)


def feed(folder: Path) -> list[dict[str, Any]]:
    """The published stories, as feed.json has them."""
    items: list[dict[str, Any]] = json.loads((folder / "public" / "feed.json").read_text(encoding="utf-8"))["items"]
    return items
