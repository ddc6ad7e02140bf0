"""What the documents say is so: commands, keys, examples, links and make targets are held against the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer
from pydantic import BaseModel

from aggregator import cli
from aggregator.seeds import load_seeds
from aggregator.tables import Document, SourceTable

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
SHIPPED = (ROOT / "config.toml").read_text(encoding="utf-8")
MANUAL = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "feeds").glob("*.md")])


def commands() -> dict[str, set[str]]:
    """Every command that the program knows, such as "sources add", with the options of each."""
    found = {}
    for name, command in typer.main.get_command(cli.app).commands.items():  # type: ignore[attr-defined]
        for path, one in {
            name: command,
            **{f"{name} {sub}": c for sub, c in getattr(command, "commands", {}).items()},
        }.items():
            found[path] = {option for parameter in one.params for option in parameter.opts if option.startswith("--")}
    return found


def keys() -> Iterator[tuple[str, str]]:
    """Every table and key of config.toml."""
    for table, field in Document.model_fields.items():
        annotation = next(iter(get_args(field.annotation)), field.annotation)
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        yield from ((table, key) for key in annotation.model_fields)


def toml_blocks() -> Iterator[tuple[str, str]]:
    """The TOML examples of the documents that speak of config.toml and the seed set."""
    for name in ("README.md", "docs/configuration.md", "docs/operation.md", "feeds/README.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL), 1):
            yield f"{name}, example {number}", block


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_readme(command: str) -> None:
    """What `aggregator --help` lists is explained in the README's table."""
    assert re.search(rf"^\|.*`aggregator {command}[` ]", README, re.MULTILINE), command


def test_every_command_in_the_documents_exists() -> None:
    """A command or an option that the documents name is one that the program knows."""
    known = commands()
    for path in MANUAL:
        for words in re.findall(r"`(?:\S*/)?aggregator ([a-z][^`\n]*)`", path.read_text(encoding="utf-8")):
            command = max((name for name in known if f"{words} ".startswith(f"{name} ")), key=len, default=None)
            assert command, f"{path.name}: aggregator {words}"
            assert set(re.findall(r"--[a-z]+", words)) <= known[command] | {"--help"}, f"{path.name}: {words}"


@pytest.mark.parametrize(("table", "key"), [*keys()])
def test_every_key_is_explained_with_its_default(table: str, key: str) -> None:
    """docs/configuration.md has a row for each key, which tells its true default."""
    section = CONFIGURATION.partition(f"`[{table}]`")[2] or CONFIGURATION.partition(f"`[[{table}]]`")[2]
    row = re.search(rf"^\| `{key}` \| (.*?) \| .+ \|$", section.partition("\n## ")[0], re.MULTILINE)
    assert row, f"[{table}] {key}"
    if table not in ("source", "slice", "notify", "subject"):
        model = Document.model_fields[table].annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        stated = model.model_validate(tomllib.loads(f"{key} = {row[1].strip('`')}"))
        assert getattr(stated, key) == model.model_fields[key].default


@pytest.mark.parametrize(("table", "key"), [*keys()])
def test_every_key_stands_in_the_shipped_file(table: str, key: str) -> None:
    """config.toml shows every table and key, the sources' at least in its comments."""
    assert re.search(rf"^(# )?({key} |\[+{table}\.{key}\])", SHIPPED, re.MULTILINE), key
    assert f"[{table}]" in SHIPPED


@pytest.mark.parametrize(("place", "block"), [*toml_blocks()])
def test_every_example_can_be_used(place: str, block: str, tmp_path: Path) -> None:
    """A TOML example in the documents is one that the program takes."""
    table = tomllib.loads(block)
    if "story" in table:
        (tmp_path / "seed.toml").write_text(block, encoding="utf-8")
        assert load_seeds(tmp_path / "seed.toml"), place
        return
    assert set(table) <= set(Document.model_fields), place
    Document.model_validate(table)


def test_every_link_within_the_documents_leads_somewhere() -> None:
    """A link or picture that names a file of the project names one that is there."""
    for path in MANUAL:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_promise_names_tests_that_exist() -> None:
    """Each row of docs/promises.md names the tests that hold the promise, by file and function."""
    rows = [
        line
        for line in (ROOT / "docs" / "promises.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith(("| promise", "| ---"))
    ]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(test_\w+)(?:\.py)?(?:::(\w+))?`", row)
        assert named, row
        for file, function in named:
            text = (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")
            assert not function or re.search(rf"def {function}\(", text), f"{file}::{function}"


def test_every_make_target_that_is_named_exists() -> None:
    """`make x` in the documents is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in MANUAL:
        named = re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(named) <= targets, path.name


def test_a_source_table_is_shown_whole() -> None:
    """The manual's examples of sources have every key that a source may have."""
    examples = [source for _, block in toml_blocks() for source in tomllib.loads(block).get("source", [])]
    assert set(SourceTable.model_fields) == {key for source in examples for key in source}
