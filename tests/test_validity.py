"""What is served is valid by the checkers that others will hold it against."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from aggregator import curator
from aggregator.entries import month_path, story_path
from tests.test_desk import Site, at_work, paths

VNU = Path(__file__).parent / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A program at work that has told three stories and merged two of them."""
    with at_work(tmp_path_factory.mktemp("valid")) as site:
        first, second, _ = (story.id for story in site.app.store.stories())
        curator.merge(site.app.store, site.app.rules, first, second, site.app.collector.clock.now())
        site.app.publish()
        yield site


def test_every_page_is_valid(site: Site) -> None:
    """The Nu HTML Checker, which validator.w3.org runs, has neither an error nor a warning for a page of any kind."""
    if not VNU.exists() or not shutil.which("java"):
        pytest.skip("the Nu HTML Checker or Java is not installed; tests/install-tools installs both")
    told, gone = site.app.store.stories(), site.app.store.gone()
    assert gone[0].into == told[0].id
    month = f"{told[0].told:%Y-%m}"
    pages = [
        *("", story_path(told[0].id), story_path(gone[0].id), "month/index.html", month_path(month)),
        *("search", "search?q=defector", "search?q=nothing", "slice/index.html", *paths(site)),
    ]
    addresses = [site.address + page for page in pages]
    assert {requests.get(address, timeout=10).status_code for address in addresses} == {200}
    java = ["java", "-Dnu.validator.servlet.allow-forbidden-hosts=true", "-jar", str(VNU)]  # loopback is one of them
    form = ["--format", "json", "--stdout", "--exit-zero-always"]
    done = subprocess.run([*java, *form, *addresses], capture_output=True, text=True, timeout=300, check=True)
    assert json.loads(done.stdout)["messages"] == []
