"""A real Prometheus with ``deploy/prometheus-rules.yaml`` scrapes a real HTTP process: alerts fire and resolve."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from db_functions.database import Connection
from tests.conftest import ROOT
from tests.support import insert_bars, insert_pattern, make_champion, wait_until
from tests.worker_support import process, working

PROMETHEUS = shutil.which("prometheus")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")]


@pytest.fixture
def prometheus(database: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a Prometheus that scrapes an HTTP process of the database, and asks the rules, each second."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with process(database, "http", "--port", "0") as http:
        wait_until(lambda: "http_started" in http.stderr(), "it listens")
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ROOT / "deploy" / "prometheus-rules.yaml")],
            "scrape_configs": [
                {"job_name": "scoring", "static_configs": [{"targets": [f"127.0.0.1:{http.lines()[0]['port']}"]}]}
            ],
        }
        file = tmp_path / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        options = (
            f"--config.file={file}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
        )
        with subprocess.Popen([str(PROMETHEUS), *options], stderr=subprocess.DEVNULL) as server:
            try:
                yield f"http://{address}"
            finally:
                server.terminate()
        assert http.stop() == 0


def asked(url: str, **parameters: str) -> Any:
    """``data`` of an answer; null while nobody answers yet."""
    try:
        with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=5) as answer:
            return json.load(answer)["data"]
    except (urllib.error.URLError, ConnectionError):
        return None


def firing(prometheus: str) -> set[str]:
    alerts = (asked(f"{prometheus}/api/v1/alerts") or {"alerts": ()})["alerts"]
    return {alert["labels"].get("type", alert["labels"]["alertname"]) for alert in alerts if alert["state"] == "firing"}


def total(prometheus: str, series: str) -> float:
    found = (asked(f"{prometheus}/api/v1/query", query=f"sum({series})") or {"result": ()})["result"]
    return float(found[0]["value"][1]) if found else 0.0


def test_alerts_fire_and_resolve(prometheus: str, connection: Connection, database: str) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    wait_until(lambda: "no_worker" in firing(prometheus), "the alert fires", 60)
    with working(database):
        wait_until(lambda: "no_worker" not in firing(prometheus), "it resolves", 60)
        insert_pattern(connection)
        wait_until(
            lambda: total(prometheus, 'ml_rows_total{decision="scored",source="live"}') == 1, "the score is counted", 60
        )
