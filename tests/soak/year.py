"""A year of running, told by the clock and not waited for: many sources, some of which change in all the ways they do.

    python -m tests.soak.year [--sources 200] [--days 365] [--seed 1]

The flow with a real database runs from hour to hour. What readers have seen keeps its id and its order; what the
curator dropped or withdrew never returns; a source that issues all it has anew (other ids, another host, Atom in place
of RSS, an empty feed in between) tells nothing again. Texts are kept for a month and items for three; memory and the
database are printed month by month, and shall stand still, but for what the stories take.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from aggregator import curator
from aggregator.model import Answer, Fetched, NotModified, Task, Validators
from aggregator.publish import FolderPublisher
from aggregator.settle import Settled
from aggregator.store import SqlStore
from aggregator.topics import Judge, load_pack
from tests.world import World, address, atom, rss

WINDOW = 30  # entries in a feed
HOUR = timedelta(hours=1)
MONTH = 30  # days
NEWS_A_DAY = 3.0  # entries of a source, on average
ON_SUBJECT = 0.02  # of them
SETTINGS = """\
[feed]
link = "https://example.org/t/"
publish_seed = false
[stories]
seed = ""
[store]
keep_texts_days = 30
keep_items_days = 90
"""  # kept for less than as shipped, so that what is let go is seen within the year
ITEMS = Path(__file__).parent.parent / "data" / "curation" / "relevance_more.jsonl"
NAMES = (
    "Min-ho",
    "Ji-sung",
    "Yeon-mi",
    "Sung-guk",
    "Hyeon-seo",
    "Chol-su",
    "Eun-ju",
    "Kwang-il",
    "Song-hee",
    "Tae-jun",
)
FAMILIES = ("Kim", "Lee", "Park", "Choi", "Jung", "Kang", "Cho", "Yoon", "Jang", "Lim", "Han", "Oh", "Seo", "Shin")
ACTS = (
    "opens a noodle restaurant in {}",
    "publishes a memoir on leaving through {}",
    "is elected to the council of {}",
    "testifies before a court in {}",
    "wins a prize for a film made in {}",
    "is reunited with a brother in {}",
    "graduates in medicine in {}",
    "arrives from a camp by way of {}",
    "leads a march of refugees in {}",
    "speaks to pupils of a school in {}",
)
PLACES = ("Busan", "Berlin", "Toronto", "Vientiane", "Bangkok", "London", "Daegu", "Oslo", "Madrid", "Ulsan", "Osaka")


class Broken(AssertionError):
    """A promise that did not hold, with what was seen."""


@dataclass
class Site:
    """One source: what its feed holds, and how it is put at the moment."""

    name: str
    entries: list[dict[str, str]] = field(default_factory=list)  # newest first
    host: str = ""
    ids: str = ""  # put before each id
    write: Callable[..., str] = rss
    version: int = 0  # of the document

    def document(self) -> bytes:
        entries = (
            entry | {"guid": f"{self.ids}{entry['guid']}", "link": f"https://{self.host or self.name}{entry['link']}"}
            for entry in self.entries
        )
        return self.write(*entries).encode()


class Sky:
    """All sources over time, the installation that follows them, and what its readers have seen."""

    def __init__(self, folder: Path, sources: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.sites = {address(f"s{n}"): Site(f"s{n}.example") for n in range(sources)}
        self.store = SqlStore(f"sqlite:///{folder / 'store.db'}")
        self.world = World(folder, *(f"s{n}" for n in range(sources)), store=self.store, settings=SETTINGS)
        judge = Judge(load_pack("north-korean-defectors", folder), 0.5)  # by rules alone: the model costs 0.1 s an item
        collector = replace(self.world.app.collector, fetch=self._fetch, judge=judge)
        self._public = folder / "public"
        publisher = FolderPublisher(self._public)
        self.world.app = replace(self.world.app, collector=collector, publisher=publisher)
        self.order: list[str] = []
        self.dropped: set[str] = set()  # titles of what the curator dropped or withdrew
        self.visits = self.number = 0
        self._usual = list(_off_subject())

    def _fetch(self, task: Task) -> Answer:
        site = self.sites[task.source.url]
        validators = Validators(f'"{site.version}"')
        if task.known.validators == validators:
            return NotModified(validators)
        return Fetched(task.source.url, site.document(), None, validators)

    def day(self, number: int) -> None:
        """What happens in a day, hour by hour; at noon of some days, a source changes."""
        for _ in range(24):
            now = self.world.clock.now()
            for site in self.sites.values():
                if self.chance.random() < NEWS_A_DAY / 24:
                    self._bring(site, now)
            self.world.clock.advance(HOUR)
            self._refresh()
        if number % 7 == 3:
            self._change(number // 7)
        if number % 15 == 14:
            self._drop()
        if number % 15 == 7:
            self._withdraw()
        self.world.app.forget()
        if number % MONTH == 0:
            self._look_at_all()

    def _bring(self, site: Site, now: datetime) -> None:
        self.number += 1
        on = self.chance.random() < ON_SUBJECT
        title = self._told() if on else f"{self.chance.choice(self._usual)} ({self.number})"
        entry = {
            "title": title,
            "guid": f"{self.number}",
            "link": f"/news/{self.number}",
            "pubDate": format_datetime(now),
            "description": f"{title}. " + "More of it follows in the report of the day. " * 5,
        }
        site.entries = [entry, *site.entries][:WINDOW]
        site.version += 1

    def _told(self) -> str:
        name = f"{self.chance.choice(FAMILIES)} {self.chance.choice(NAMES)}"
        act = self.chance.choice(ACTS).format(self.chance.choice(PLACES))
        return f"North Korean defector {name}, {self.chance.randint(19, 78)}, {act}"

    def _refresh(self) -> list[Settled]:
        settled = list(self.world.app.refresh())
        self.visits += len(settled)
        if any(one.changed for one in settled):
            self.world.app.publish()
            self._look()
        return settled

    def _change(self, turn: int) -> None:
        """One source issues all it has anew, in one of the ways; nothing of it may be told again."""
        url, site = self.chance.choice([pair for pair in self.sites.items() if pair[1].entries])
        self._visit(url)
        match turn % 4:
            case 0:
                site.ids += "n"
            case 1:
                site.write = atom if site.write is rss else rss
            case 2:
                site.host = f"moved{turn}.example"
            case _:
                entries, site.entries = site.entries, []
                site.version += 1
                self._visit(url)
                site.entries = entries
        site.version += 1
        if told := self._visit(url):
            raise Broken(f"a source that changed (way {turn % 4}) told {told} of its stories again")

    def _visit(self, url: str) -> int:
        """Visit one source now, as the curator might; how many stories it told."""
        self.world.clock.advance(timedelta(minutes=1))
        settled = [one for one in self.world.app.refresh(everything=True) if one.visit.source.url == url]
        self.world.app.publish()
        self._look()
        if not settled:
            raise Broken(f"{url} was not visited")
        return sum(one.told for one in settled)

    def _drop(self) -> None:
        """The curator drops a story of one item."""
        stories = [story for story in self._stories() if len(story["_story"]["members"]) == 1]
        if not stories:
            return
        member = self.chance.choice(stories)["_story"]["members"][0]
        curator.drop(self.store, self.world.rules, member["url"], self.world.clock.now())
        self.dropped.add(member["title"])
        self.world.app.publish()

    def _withdraw(self) -> None:
        """A story is withdrawn for good, with all who told it."""
        if not (stories := self._stories()):
            return
        story = self.chance.choice(stories)
        curator.withdraw(self.store, self.world.rules, story["id"], self.world.clock.now())
        self.dropped.update(member["title"] for member in story["_story"]["members"])
        self.world.app.publish()

    def _stories(self) -> list[dict[str, Any]]:
        """What readers see, as feed.json has it."""
        items: list[dict[str, Any]] = json.loads((self._public / "feed.json").read_bytes())["items"]
        return items

    def _look_at_all(self) -> None:
        """Nothing that was dropped or withdrawn is told anywhere, the archive included."""
        titles = {member.item.title for story in self.store.stories() for member in story.members if not member.seed}
        if back := self.dropped & titles:
            raise Broken(f"dropped or withdrawn, and told: {back}")

    def _look(self) -> None:
        stories = self._stories()
        if back := self.dropped & {member["title"] for story in stories for member in story["_story"]["members"]}:
            raise Broken(f"dropped or withdrawn, and back: {back}")
        ids = [story["id"] for story in stories]
        if [id for id in self.order if id in set(ids)] != [id for id in ids if id in set(self.order)]:
            raise Broken("the order changed")
        self.order = ids


def _off_subject() -> Iterator[str]:
    for line in ITEMS.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        if not item["relevant"]:
            yield item["title"]


def months(sources: int, days: int, seed: int) -> Iterator[str]:
    """A line a month: what happened, and what it takes."""
    with tempfile.TemporaryDirectory() as folder:
        sky = Sky(Path(folder), sources, seed)
        for number in range(1, days + 1):
            sky.day(number)
            if number % MONTH == 0 or number == days:
                size = sum(file.stat().st_size for file in Path(folder).glob("store.db*"))
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                told = len(sky.store.stories())
                yield (
                    f"day {number:3}: {sky.visits:8} visits, {sky.number:7} entries, {told:5} stories, "
                    f"database {size / 1e6:6.1f} MB, peak {peak / 1e3:5.0f} MB, {time.process_time():5.0f} s CPU"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=200)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for line in months(asked.sources, asked.days, asked.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
