"""Deployment files: what cannot be run here is held against a schema, a linter, or the programs that it names.

A test is skipped where its validator is not installed: kubernetes-validate is in requirements-slow.lock, others are
programs of the system. docs/operators.md says which there are and what they said.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from db_functions.database import Connection
from tests.conftest import ROOT
from training.cli import parser
from worker.cli import _parser
from worker.http.app import make_app
from worker.http.prometheus import render
from worker.operating import first_passage
from worker.serving.engine import Engine

DEPLOY = ROOT / "deploy"
VALIDATORS = {
    "promtool": (["check", "rules"], ["prometheus-rules.yaml"], "absent(ml_health_status)", "absent(ml_health_status"),
    "kubernetes-validate": (["--strict"], ["kubernetes/http.yaml", "kubernetes/worker.yaml"], "args: [", "argv: ["),
    "hadolint": ([], ["Containerfile"], "USER 65534", "USERS 65534"),
    "docker-compose": (["--file"], ["compose.yaml"], "restart: unless", "restarts: unless"),
}
"""By name: arguments, files, and a mistake (what, and what in its place) that each must notice."""
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def commands() -> list[list[str]]:
    """Every command line that a deployment file starts, from the program's name on."""
    found = [
        line.split()
        for unit in DEPLOY.glob("*.service")
        for line in re.findall(r"^ExecStart=\S*/(pattern-scoring .*)$", unit.read_text(), re.MULTILINE)
    ]
    services = documents(DEPLOY / "compose.yaml")[0]["services"]
    found += [service["command"] for name, service in services.items() if name not in ("database", "seed")]
    for path in KUBERNETES:
        for item in documents(path):
            containers = item["spec"].get("template", {}).get("spec", {}).get("containers", [])
            found += [container["args"] for container in containers]
    return found


def test_every_command_parses() -> None:
    assert len(commands()) == 10
    for command in commands():
        match command:
            case ["pattern-scoring", "worker", *rest]:
                _parser().parse_args(rest)
            case ["pattern-scoring", "training", *rest]:
                parser().parse_args(rest)
            case _:
                assert command == ["pattern-scoring", "migrate"]


def test_the_seed_is_scored_and_can_come_again(connection: Connection) -> None:
    first_passage.promote(connection, first_passage.register(connection))
    seed = (DEPLOY / "seed.sql").read_text()
    for _ in range(2):
        connection.execute(seed)
    engine = Engine(connection)
    engine.refresh_model()
    while engine.score_queue().done:
        pass
    assert connection.execute(
        "select count(*) between 40 and 70, count(*) = count(ml_confidence) from pattern_events"
    ).fetchone() == (True, True)


def test_probes_ask_for_what_is_served() -> None:
    served = {getattr(route, "path", "") for route in make_app("").routes}
    container = documents(DEPLOY / "kubernetes" / "http.yaml")[0]["spec"]["template"]["spec"]["containers"][0]
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] in served


def test_manifests_name_one_another_rightly() -> None:
    items = [item for path in KUBERNETES for item in documents(path)]
    assert [item["kind"] for item in items] == ["Deployment", "Service", "Deployment", "Job"]
    for item in items:
        if item["kind"] == "Deployment":
            assert item["spec"]["selector"]["matchLabels"] == item["spec"]["template"]["metadata"]["labels"]
    labels = items[0]["spec"]["template"]["metadata"]["labels"]
    assert items[1]["spec"]["selector"] == labels


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("unit", sorted(DEPLOY.glob("*.service")), ids=lambda path: path.name)
def test_units_are_sound(unit: Path, tmp_path: Path) -> None:
    # The program is not installed here; anything else that systemd minds is a fault.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []


@pytest.mark.parametrize("name", list(VALIDATORS))
def test_validators_find_nothing_and_would(name: str, tmp_path: Path) -> None:
    program = shutil.which(name) or shutil.which(name, path=Path(sys.executable).parent)
    if not program:
        pytest.skip(f"{name} is not installed")
    arguments, files, right, wrong = VALIDATORS[name]

    def passes(path: Path) -> bool:
        command = [program, *arguments, str(path), *(["config"] if name == "docker-compose" else [])]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    for file in files:
        assert passes(DEPLOY / file), file
        broken = tmp_path / Path(file).name
        text = (DEPLOY / file).read_text()
        assert right in text
        broken.write_text(text.replace(right, wrong))
        assert not passes(broken), f"{name} did not notice {wrong}"


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_rules_fire_and_resolve(tmp_path: Path) -> None:
    health = 'ml_health_status{status="unavailable"}'
    scenario = {
        "rule_files": [str(DEPLOY / "prometheus-rules.yaml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": health, "values": "0 0 1 1 1 0 0 _x20"},
                    {
                        "series": 'ml_alert{type="no_worker",subject="",level="critical"}',
                        "values": "_ _ 1 1 _ _ _ _x20",
                    },
                ],
                "alert_rule_test": [
                    {"eval_time": at, "alertname": name, "exp_alerts": expected}
                    for at, name, expected in (
                        ("1m", "PatternScoringUnavailable", []),
                        ("4m", "PatternScoringUnavailable", _fired({"severity": "critical", "status": "unavailable"})),
                        ("6m", "PatternScoringUnavailable", []),
                        ("3m", "PatternScoringAlert",
                         _fired({"severity": "critical", "type": "no_worker", "level": "critical"})),
                        ("20m", "PatternScoringAlert", []),
                        ("6m", "PatternScoringUnseen", []),
                        ("25m", "PatternScoringUnseen", _fired({"severity": "critical"})),
                    )
                ],
            }
        ],
    }  # fmt: skip
    # Prometheus compares annotations too; what they say is for people.
    rules = yaml.safe_load((DEPLOY / "prometheus-rules.yaml").read_text())
    for rule in rules["groups"][0]["rules"]:
        rule.pop("annotations")
    plain = tmp_path / "rules.yaml"
    plain.write_text(yaml.safe_dump(rules))
    scenario["rule_files"] = [str(plain)]
    test = tmp_path / "test.yaml"
    test.write_text(yaml.safe_dump(scenario))
    done = subprocess.run(["promtool", "test", "rules", str(test)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _fired(labels: dict[str, str]) -> list[dict[str, dict[str, str]]]:
    return [{"exp_labels": labels}]


def test_the_image_copies_what_there_is() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    lock = re.findall(r"^ARG LOCK=(\S+)$", text, re.MULTILINE)[0]
    let_through = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in line.replace("${LOCK}", lock).split():
            assert (ROOT / name).exists(), name
            assert name in let_through, name


def test_every_panel_of_the_dashboard_asks_what_the_schema_answers(transaction: Connection) -> None:
    transaction.execute("set local role ml_analyst")
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    assert len(panels) == 13
    for panel in panels:
        (target,) = panel["targets"]
        sql = target["rawSql"].replace("$__timeFrom()", "'2026-01-01'").replace("$__timeTo()", "'2026-01-02'")
        cursor = transaction.execute(sql.encode())
        names = [column.name for column in cursor.description or ()]
        assert target["format"] == "table" or names[0] == "time", panel["title"]


def test_no_panel_of_the_dashboard_reads_a_value_as_markup() -> None:
    text = (DEPLOY / "grafana-dashboard.json").read_text()
    panels = json.loads(text)["panels"]
    assert {panel["type"] for panel in panels} == {"table", "timeseries", "stat"}, "a text panel is HTML or Markdown"
    # Cells as images, Markdown or links, and links of data with values inside.
    assert not re.search(r'"(cellOptions|displayMode|links|content)"', text)


def test_rules_ask_for_series_that_there_are() -> None:
    health = dict.fromkeys(
        (
            "ml_enabled",
            "model_loaded",
            "baseline_set",
            "workers_alive",
            "workers_serving",
            "queue_depth",
            "dead_letters",
        ),
        1,
    )
    text = render(
        {**health, "status": "healthy", "oldest_age_ms": None, "sla_ms": 75, "champion": "a"},
        [{"type": "no_worker", "level": "critical", "subject": None}],
        [],
        {"rows": None, "scores": [], "differences": []},
    )
    (group,) = documents(DEPLOY / "prometheus-rules.yaml")[0]["groups"]
    for rule in group["rules"]:
        (series,) = set(re.findall(r"\bml_\w+", rule["expr"]))
        sample = next(line for line in text.splitlines() if line.startswith(f"{series}{{"))
        for label in re.findall(r"by \(([^)]+)\)", rule["expr"]):
            assert all(f'{name.strip()}="' in sample for name in label.split(","))
