"""What ships: the configuration, the list of sources and the seed set that a newcomer starts from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from pydantic import BaseModel

from aggregator.app import load_subject
from aggregator.config import Config, load
from aggregator.tables import Document

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "config.toml"

# Where the shipped file differs from the program's defaults; the file says why.
DIFFERENT = {("fetch", "per_host")}


@pytest.fixture(scope="module")
def config() -> Config:
    return load(SHIPPED, environ={})


def test_the_shipped_configuration_is_right(config: Config) -> None:
    """Configuration, topic pack, scopes and seed set are read without a complaint and without an environment."""
    subject = load_subject(config)
    assert [seed.id for seed in subject.seeds] == ["S1", "S2", "S3", "S4"]


def test_what_folding_rests_on_is_written_the_same_in_every_process() -> None:
    """Else each start would plant the seeds and print everything anew."""
    script = (
        "from pathlib import Path; from aggregator.app import folder, load_subject; from aggregator.config import load;"
        "config = load(Path('config.toml')); print(repr(folder(config, load_subject(config)).__getstate__()))"
    )
    written = {
        subprocess.check_output([sys.executable, "-c", script], env=os.environ | {"PYTHONHASHSEED": seed}, cwd=ROOT)
        for seed in ("1", "2")
    }
    assert len(written) == 1
    assert len(written.pop()) > 10_000


def test_dozens_of_sources_in_several_languages_are_read_by_default(config: Config) -> None:
    """A first run follows the subject in English, Korean, Japanese, Chinese and more, from specialists to searches."""
    enabled = config.listed(enabled=True)
    languages = Counter((source.language or "").partition("-")[0] for source in enabled)
    assert len(enabled) >= 60
    assert set(languages) >= {"de", "en", "es", "fr", "ja", "ko", "ru", "zh"}
    assert languages["ko"] >= 12
    assert {source.scope for source in enabled} == {"general", "north-korea", "defectors"}


def test_a_source_that_is_off_says_why() -> None:
    """`enabled = false` goes with a comment right above the table that begins with "Off:", and only there."""
    text = SHIPPED.read_text(encoding="utf-8")
    blocks = re.findall(r"((?:^#.*\n)*)^\[\[source\]\]\n((?:^[a-z]+ = .*\n)+)", text, re.MULTILINE)
    assert len(blocks) == len(tomllib.loads(text)["source"])
    for comment, table in blocks:
        assert ("# Off: " in comment) == ("enabled = false" in table), table


def test_searches_never_lead_where_an_outlet_tells_the_story(config: Config) -> None:
    """What links to a forwarding page ranks below every outlet's own feed."""
    searches = [s for s in config.source if re.search(r"//(news\.google|www\.bing|api\.gdelt|www\.reddit)", s.url)]
    own = [source for source in config.source if source not in searches and source.enabled]
    videos = [source for source in own if "youtube" in source.url]
    outlets = [source for source in own if source not in videos]
    subject_searches = [source for source in searches if "(Google News)" not in source.name]
    assert max(s.priority for s in searches) <= min(s.priority for s in outlets)
    assert max(s.priority for s in subject_searches) < min(s.priority for s in videos)


def test_the_shipped_values_are_the_defaults() -> None:
    """The file can be read as documentation: what it shows is what holds without it, but for what it says."""
    table = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    shipped = Document.model_validate(table)
    different = set()
    lists = {name for name, field in Document.model_fields.items() if field.default == []}
    assert lists == {"source", "slice", "notify", "subject"}
    for name in Document.model_fields.keys() - lists:
        section = getattr(shipped, name)
        assert isinstance(section, BaseModel)
        defaults = type(section)()
        assert set(table[name]) == set(type(section).model_fields), name
        different |= {(name, key) for key in table[name] if getattr(section, key) != getattr(defaults, key)}
    assert different == DIFFERENT
