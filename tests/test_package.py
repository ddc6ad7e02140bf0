"""What is built and shipped: the wheel is whole, and works away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = {"config.toml": "aggregator/defaults/config.toml", "feeds/seed.toml": "aggregator/defaults/feeds/seed.toml"}

pytest.importorskip("hatchling", reason="building the wheel takes hatchling")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _run(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def _tracked() -> list[str]:
    """The package's files as git knows them; as they lie there where there is no git."""
    listed = subprocess.run(["git", "ls-files", "aggregator"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return listed.stdout.splitlines()
    found = (path for path in (ROOT / "aggregator").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return [str(path.relative_to(ROOT)) for path in found]


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Modules, templates, packs and lexicon are in it byte for byte, with the configuration and the seed set."""
    with zipfile.ZipFile(wheel) as archive:
        for name, inside in {**{name: name for name in _tracked()}, **SHARED}.items():
            assert archive.read(inside) == (ROOT / name).read_bytes(), name


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    """Neither tests nor a database nor a cache is shipped."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert {name.split("/")[0] for name in names} == {"aggregator"}
        assert not [name for name in names if "__pycache__" in name or name.endswith((".db", ".pyc"))]
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_the_installed_program_works_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """Away from the checkout, `init` writes a new installation that `check` finds in order."""
    program, environment = [sys.executable, "-m", "aggregator"], {"PYTHONPATH": str(installed), "PYTHONUTF8": "1"}
    where = _run([sys.executable, "-c", "import aggregator; print(aggregator.__file__)"], tmp_path, **environment)
    assert Path(where.strip()).is_relative_to(installed)
    _run([*program, "--help"], tmp_path, **environment)
    _run([*program, "init", "new"], tmp_path, **environment)
    assert "all well" in _run([*program, "check", "--config", "new/config.toml"], tmp_path, **environment)


def test_the_pinned_packages_fit_the_declared_ones() -> None:
    """Every declared dependency is pinned, with a digest, in both lock files, at one version in both."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locks = [_pins(name) for name in ("requirements.lock", "requirements-dev.lock")]
    from packaging.requirements import Requirement

    for requirement in map(Requirement, project["dependencies"]):
        name = requirement.name.lower().replace("_", "-").replace(".", "-")
        assert locks[0].get(name), f"{name} is not in requirements.lock: make lock"
        assert all(version in requirement.specifier for version in locks[0][name]), name
    for name, versions in locks[0].items():
        assert locks[1].get(name) == versions, name


def _pins(name: str) -> dict[str, list[str]]:
    """Package → versions pinned in a lock file (more than one where the platform or Python decides)."""
    pins: dict[str, list[str]] = {}
    for entry in (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if entry and not entry.lstrip().startswith("#"):
            assert "--hash=sha256:" in entry, entry
            package, _, rest = entry.partition("==")
            pins.setdefault(package, []).append(rest.split()[0])
    return pins
