"""What is written outlasts a power cut: it is on the disk before it gets its name, and so is the name afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from aggregator.store import SqlStore

ROOT = Path(__file__).parent.parent

# A process of its own, which notes what it asks of the system: nothing short of a power cut shows it from outside.
NOTING = """
import json, os, sys
from pathlib import Path

noted = []
fsync, sync, replace = os.fsync, os.sync, os.replace
os.fsync = lambda file: (noted.append(("kept", os.readlink(f"/proc/self/fd/{file}"))), fsync(file))[1]
os.sync = lambda: (noted.append(("kept", "")), sync())[1]
os.replace = lambda old, new: (noted.append(("named", str(old), str(new))), replace(old, new))[1]

folder = Path(sys.argv[1])
"""
PUBLISHES = """
from aggregator.publish import FolderPublisher
publisher = FolderPublisher(folder)
publisher.publish({f"story/{n}.html": b"%d" % n for n in range(int(sys.argv[2]))})
publisher.remember("{}")
"""
COPIES = """
from contextlib import closing
from aggregator.store import SqlStore
with closing(SqlStore(f"sqlite:///{folder / 'store.db'}")) as store:
    noted.clear()
    store.backup(str(folder / "copy.db"))
"""


def noted(folder: Path, script: str, *arguments: str) -> list[list[str]]:
    """What was kept on the disk ("" for all) and what was named, in order."""
    command = [sys.executable, "-c", f"{NOTING}{script}\nprint(json.dumps(noted))", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: list[list[str]] = json.loads(done.stdout)
    return found


def outlasts(order: list[list[str]]) -> int:
    """How many files were named; each after it was kept, and its folder was kept after it."""
    names = [step for step in order if step[0] == "named"]
    for step in names:
        _, old, new = step
        assert old != new
        before, after = order[: order.index(step)], order[order.index(step) :]
        assert ["kept", old] in before or ["kept", ""] in before, old
        assert ["kept", str(Path(new).parent)] in after, new
    return len(names)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells which file is kept")
@pytest.mark.parametrize("files", [1, 12, 13, 300])
def test_published_files_are_on_the_disk_before_readers_see_them(tmp_path: Path, files: int) -> None:
    """However many they are; and what the folder remembers of them after all of them."""
    order = noted(tmp_path.resolve(), PUBLISHES, str(files))
    assert outlasts(order) == files + 1
    assert [step[2] for step in order if step[0] == "named"][-1].endswith(".published")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells which file is kept")
def test_a_copy_is_on_the_disk_before_it_replaces_the_one_before(tmp_path: Path) -> None:
    """Else a power cut after a backup could leave neither."""
    with closing(SqlStore(f"sqlite:///{tmp_path / 'store.db'}")):
        pass
    assert outlasts(noted(tmp_path.resolve(), COPIES)) == 1
