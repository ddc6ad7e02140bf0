"""What ships for containers, Kubernetes, Prometheus and Grafana is taken by each, and speaks of what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from aggregator.config import load
from aggregator.health import Overview
from aggregator.metrics import metrics
from aggregator.model import Source, SourceHealth
from tests.command import HEAD, configure, rss
from tests.daemons import DEFECTOR, daemon, eventually, free_port, get
from tests.site import serving

ROOT = Path(__file__).parent.parent
CONTRIB = ROOT / "contrib"
NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
SECRETS = {"STORE_PASSWORD": "s", "STORE_HOST": "h", "AGGREGATOR_TOKEN": "t" * 40}
OVERVIEW = Overview(
    (
        SourceHealth(
            Source("https://a.example/feed", "A"),
            enabled=True,
            last_visit=NOW,
            last_success=NOW,
            last_new=NOW,
            next_due=NOW - timedelta(minutes=5),
            seen=40,
            kept=3,
        ),
        SourceHealth(Source("https://b.example/feed", 'B "two"\n'), enabled=True, last_visit=NOW, failures=4),
        SourceHealth(Source("https://c.example/feed", "C"), enabled=False, next_due=NOW - timedelta(days=9)),
    ),
    NOW,
)


# --- figures ----------------------------------------------------------------------------------------------------


def figures(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_figures_tell_of_all_and_of_each_source() -> None:
    """By name, however it is written; what is not known has no figure; who is not asked is not late."""
    told = figures(metrics(OVERVIEW, "1.2"))
    assert told["aggregator_build_info", "1.2"] == 1
    assert told["aggregator_sources", "ok"] == told["aggregator_sources", "failing"] == 1
    assert (told["aggregator_items",], told["aggregator_items_kept",]) == (40, 3)
    assert told["aggregator_late_seconds",] == 300
    assert told["aggregator_source_state", 'B "two"\n', "failing"] == 1
    assert told["aggregator_source_failures", 'B "two"\n'] == 4
    assert told["aggregator_source_last_new_timestamp_seconds", "A"] == NOW.timestamp()
    assert ("aggregator_source_last_new_timestamp_seconds", "C") not in told
    assert told["process_resident_memory_bytes",] > 0


# --- Prometheus and Grafana -------------------------------------------------------------------------------------

UNPACKED = ROOT / "build" / "prometheus" / "usr" / "bin"
PROMTOOL = shutil.which("promtool") or shutil.which(UNPACKED / "promtool")
PROMETHEUS = shutil.which("prometheus") or shutil.which(UNPACKED / "prometheus")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="Prometheus' promtool is not here")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not here")


def promtool(*arguments: str | Path, text: str | None = None) -> None:
    done = subprocess.run([str(PROMTOOL), *arguments], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_figures_are_named_as_prometheus_wants_them() -> None:
    """Its own checker has nothing to say."""
    promtool("check", "metrics", text=metrics(OVERVIEW, "1.2"))


@needs_promtool
def test_alerts_are_raised_when_they_should_be(tmp_path: Path) -> None:
    """Each in its case, once however many daemons tell of it, and none when all is well."""
    shutil.copy(CONTRIB / "alerts.yml", tmp_path)
    shutil.copy(ROOT / "tests" / "data" / "alerts.test.yml", tmp_path)
    promtool("check", "rules", tmp_path / "alerts.yml")
    promtool("test", "rules", tmp_path / "alerts.test.yml")


def test_every_alert_is_tried() -> None:
    """None stands that the cases do not name."""
    [group] = yaml.safe_load((CONTRIB / "alerts.yml").read_text())["groups"]
    cases = yaml.safe_load((ROOT / "tests" / "data" / "alerts.test.yml").read_text())["tests"]
    raised = {one["alertname"] for case in cases for one in case["alert_rule_test"] if "exp_alerts" in one}
    assert {rule["alert"] for rule in group["rules"]} == raised


def shown() -> list[str]:
    """What the dashboard asks Prometheus."""
    board = json.loads((CONTRIB / "grafana.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


@needs_promtool
def test_the_dashboard_asks_what_prometheus_understands(tmp_path: Path) -> None:
    """Each question is well-formed."""
    rules = [{"record": f"asked:{number}", "expr": asked.replace("$job", ".*")} for number, asked in enumerate(shown())]
    (tmp_path / "asked.yml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "asked.yml")


def test_alerts_and_dashboard_ask_for_figures_that_there_are() -> None:
    """No name is told that /metrics does not tell."""
    told = {name for name, *_ in figures(metrics(OVERVIEW, "1.2"))}
    asked = set(re.findall(r"\b(?:aggregator|process)_\w+", (CONTRIB / "alerts.yml").read_text() + " ".join(shown())))
    assert asked <= told


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Callable[..., Any]]:
    """A real one, set up as for containers but that it asks one address, and every second; asks its API."""
    shutil.copy(CONTRIB / "alerts.yml", folder)
    config = yaml.safe_load((CONTRIB / "compose" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = ["alerts.yml"]
    del config["scrape_configs"][0]["dns_sd_configs"]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    files = ("--config.file=prometheus.yml", f"--storage.tsdb.path={folder}/figures")
    with (folder / "prometheus.log").open("w") as log:
        command = [str(PROMETHEUS), *files, f"--web.listen-address=127.0.0.1:{port}"]
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

    def ask(path: str, **asked: str) -> Any:
        status, answer = get(f"http://127.0.0.1:{port}/api/v1/{path}?{urlencode(asked)}")
        return json.loads(answer)["data"] if status == 200 else None

    try:
        eventually(lambda: ask("targets") is not None)
        yield ask
    finally:
        process.kill()
        process.wait()


@needs_prometheus
def test_a_real_prometheus_reads_a_real_daemon(tmp_path: Path) -> None:
    """It takes the figures, judges every rule, answers what the dashboard asks, and sees that a daemon is gone."""
    with serving() as site:
        sources = {"Good": site.put("/good", rss([DEFECTOR])), "Bad": f"{site.address}/bad"}
        listen = f"127.0.0.1:{free_port()}"
        configure(tmp_path, sources, f'{HEAD}[server]\nlisten = "{listen}"\n')
        with prometheus(tmp_path, listen) as ask:
            with daemon(tmp_path):
                failing = 'aggregator_source_state{job="aggregator",source="Bad",state="failing"} == 1'
                eventually(lambda: bool((ask("query", query=failing) or {}).get("result")))
                rules = ask("rules")["groups"][0]["rules"]
                assert [(one["name"], one["lastError"]) for one in rules if one["health"] == "err"] == []
                answers = {asked: ask("query", query=asked.replace("$job", ".*")) for asked in shown()}
                told = {asked for asked, answer in answers.items() if answer["result"]}
                assert {asked for asked in answers if "offset" not in asked and "rate(" not in asked} <= told
            down = {"alertname": "AggregatorDown", "severity": "critical"}
            eventually(lambda: any(down.items() <= one["labels"].items() for one in ask("alerts")["alerts"]))


def test_panels_stand_beside_each_other() -> None:
    """Within the 24 columns, none over another."""
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((CONTRIB / "grafana.json").read_text())["panels"]:
        at = panel["gridPos"]
        place = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not place & taken, panel["title"]
        assert all(x < 24 for x, _ in place), panel["title"]
        taken |= place


# --- containers -------------------------------------------------------------------------------------------------


def manifests() -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all((CONTRIB / "kubernetes.yaml").read_text())


HADOLINT = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_the_container_file_is_well_made() -> None:
    """hadolint has nothing to say, nor ShellCheck, which it asks about each command."""
    done = subprocess.run([str(HADOLINT), "--no-color", "--failure-threshold", "style", "Containerfile"], cwd=ROOT)
    assert done.returncode == 0


def test_the_compose_file_is_one() -> None:
    """By the published schema of compose files, which check-jsonschema brings along."""
    path = CONTRIB / "compose" / "compose.yaml"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    table = yaml.safe_load(path.read_text())
    for one in table["configs"].values():
        assert "content" in one or (path.parent / one["file"]).is_file()


@pytest.mark.parametrize("manifest", [*manifests()], ids=lambda one: one["kind"])
def test_kubernetes_takes_each_manifest(manifest: dict[str, Any]) -> None:
    """By the schema of its API, where no unknown field is passed over."""
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_no_container_has_more_rights_than_it_needs() -> None:
    """Nobody in particular, a file system that cannot be written to, no capabilities, no way to gain any."""
    [deployment] = [one for one in manifests() if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    service = yaml.safe_load((CONTRIB / "compose" / "compose.yaml").read_text())["services"]["aggregator"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])


def test_no_probe_restarts_a_daemon_because_a_source_fails() -> None:
    """/health says so of sources; probes ask for the page."""
    probes = re.findall(r"httpGet: \{path: ([^,]+),", (CONTRIB / "kubernetes.yaml").read_text())
    assert probes == ["/"] * 3
    assert "8080/'" in (ROOT / "Containerfile").read_text()


def test_the_configuration_for_containers_is_one_and_works(tmp_path: Path) -> None:
    """The same for compose and Kubernetes, with every secret from the environment, and writing below /data alone."""
    text = (CONTRIB / "compose" / "config.toml").read_text()
    [configured] = [one["data"]["config.toml"] for one in manifests() if one["kind"] == "ConfigMap"]
    assert configured.strip() == text.split("\n\n", 1)[1].strip()
    (tmp_path / "config.toml").write_text(textwrap.dedent(configured))
    config = load(tmp_path / "config.toml", SECRETS)
    assert config.store.url == "postgresql+psycopg://aggregator:s@h/aggregator"
    assert config.resolve(config.feed.output) == Path("/data/public")
