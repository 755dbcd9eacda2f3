"""The status page in a real browser: values equal the views, nothing on the console, nothing that axe-core minds.

Skipped where Chromium or its driver is not installed (Debian: ``chromium`` and ``chromium-driver``).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import axe_core_python
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from db_functions.database import Connection
from tests.drift_support import featured_baseline, insert_rows, register_featured
from tests.support import at, insert_bars, insert_pattern, make_champion, random_bars, register, wait_until
from tests.worker.test_http import reader, site
from tests.worker_support import FAST, count, working
from worker.operating import first_passage
from worker.serving.engine import Engine

__all__ = ["reader", "site"]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("within_an_hour"),
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and chromedriver are not installed"),
]
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
UNWATCHED = replace(FAST, upkeep_s={"prune": 3600.0})
"""A worker that leaves the alerts as a test has made them, however long the browser takes."""
SIZES = {"desk": (1280, 1400), "phone": (390, 844)}


@contextmanager
def browser(size: str, scheme: str) -> Iterator[webdriver.Chrome]:
    width, height = SIZES[size]
    options = webdriver.ChromeOptions()
    assert CHROMIUM
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        yield driver
    finally:
        driver.quit()


def opened(driver: webdriver.Chrome, site: str) -> None:
    driver.get(f"{site}/")
    wait_until(lambda: driver.find_element(By.TAG_NAME, "body").get_attribute("data-ready") == "true", "it is drawn")


def shown(driver: webdriver.Chrome, field: str) -> str:
    return driver.find_element(By.CSS_SELECTOR, f'[data-field="{field}"]').text.split("\n")[0]


@pytest.fixture
def served(connection: Connection, database: str) -> Iterator[Connection]:
    """Forty scored and labelled rows, and a worker that is alive."""
    insert_bars(connection)
    make_champion(connection, "small-1")
    with working(database):
        for day in range(40):
            insert_pattern(connection, detected_at=f"2024-0{2 + day // 20}-{1 + day % 20:02} 21:00Z")
        wait_until(lambda: count(connection, "ml.queue") == 0, "scored")
        connection.execute("select ml.label_outcomes()")
        wait_until(lambda: count(connection, "ml.workers where model_version = 'small-1'") == 1, "a heartbeat")
        yield connection


@pytest.fixture
def drifting(connection: Connection, database: str) -> Iterator[Connection]:
    """Three days of rows unlike those of training, labelled, of two timeframes; alerts; and a worker that is alive."""
    insert_bars(connection)
    insert_bars(connection, timeframe="4h")
    register_featured(connection, "featured", featured_baseline())
    # As a file of which it is known what it learned from.
    connection.execute("update ml.models set metrics = metrics || '{\"fitted_until\": 0}'")
    engine = Engine(connection)
    engine.refresh_model()
    for day, entry in ((2, 101.0), (1, 102.0), (0, 102.5)):
        insert_rows(connection, np.random.default_rng(day).normal(entry, 1.0, 210), seed=day)
        insert_pattern(connection, timeframe="4h", pattern_type="a_type_whose_name_is_wider_than_a_phone")
        wait_until(lambda: engine.score_queue().done == 0, "scored")
        # As if it had been on an earlier day, before anything is folded.
        connection.execute(
            "with moved as (update ml_internal.tallies set at = at - %(back)s where at > now() - interval '1 hour') "
            "update ml_internal.batches set at = at - %(back)s where at > now() - interval '1 hour'",
            {"back": timedelta(days=day)},
        )
    connection.execute("select ml.label_outcomes()")
    with working(database, UNWATCHED):
        wait_until(lambda: count(connection, "ml.workers where model_version = 'featured'") == 1, "a heartbeat")
        connection.execute("select ml_internal.fold(), ml_internal.check_alerts()")
        connection.execute(
            "insert into ml.alert_log (type, subject, level, message, since, last_seen) "
            "select 'data_quality', 'feature ' || n, 'warning', 'is missing', now(), now() "
            "from generate_series(1, 5) n "
            "union all select 'model_fault', '', 'critical', repeat('unbroken', 20), now(), now()"
        )
        yield connection


def cell_classes(driver: webdriver.Chrome) -> dict[tuple[str, int], tuple[str, str]]:
    """Class and number of each cell of the heat map, by feature and place."""
    found = {}
    for row in driver.find_elements(By.CSS_SELECTOR, "#drift tbody tr"):
        name = row.find_element(By.TAG_NAME, "th").text
        for place, cell in enumerate(row.find_elements(By.TAG_NAME, "td")):
            text = str(driver.execute_script("return arguments[0].firstChild.textContent", cell))
            found[name, place] = (str(cell.get_attribute("class")), text)
    return found


def test_drift_is_coloured_as_the_view_judges(site: str, drifting: Connection) -> None:
    rows = drifting.execute(
        "select name, dense_rank() over (order by window_start) - 1, to_char(psi, 'FM90.00'), "
        "case level when 'critical' then 'h4' when 'warning' then 'h3' "
        "else case when psi > psi_critical_value then 'h1' else 'h0' end end, complete "
        "from ml.feature_drift where model_version = 'featured' and psi is not null"
    ).fetchall()
    assert {row[3] for row in rows} > {"h0", "h4"}
    assert {row[1] for row in rows} == {0, 1, 2}
    with browser("desk", "light") as driver:
        opened(driver, site)
        assert cell_classes(driver) == {
            (name, place): (kind if complete else "running", psi) for name, place, psi, kind, complete in rows
        }
        assert driver.find_element(By.ID, "drift-legend").is_displayed()


def test_calibration_by_group_equals_the_view(site: str, drifting: Connection) -> None:
    groups = drifting.execute(
        "select coalesce(pattern_type, timeframe), sum(n)::integer, sum(n * predicted) / sum(n), "
        "sum(n * observed) / sum(n) "
        "from ml.calibration where model_version = 'featured' and score = 'ml' and cohort is null "
        "and num_nulls(pattern_type, timeframe) = 1 group by pattern_type, timeframe "
        "order by pattern_type is null, sum(n) desc, 1"
    ).fetchall()
    assert len(groups) >= 4
    with browser("desk", "light") as driver:
        opened(driver, site)
        shown = [
            [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")]
            for row in driver.find_elements(By.CSS_SELECTOR, "#groups tbody tr")
        ]
        assert [(row[0], row[2]) for row in shown] == [(name, str(n)) for name, n, *_ in groups]
        for row, (_, _, said, came) in zip(shown, groups, strict=True):
            assert [float(row[place].split(" %")[0]) for place in (3, 4)] == pytest.approx(
                [100 * said, 100 * came], abs=0.051
            )
        # By keyboard: into the select, and down to the first group.
        select = driver.find_element(By.ID, "group")
        select.send_keys(Keys.ARROW_DOWN)
        label = f"Reliability of {groups[0][1]} labelled rows"
        wait_until(lambda: label in reliability(driver), label)
        driver.execute_script("render()")
        assert label in reliability(driver), "the choice outlives a refresh"


def reliability(driver: webdriver.Chrome) -> str:
    return str(driver.find_element(By.CSS_SELECTOR, "#calibration svg").get_attribute("aria-label"))


@pytest.fixture
def helped(connection: Connection) -> Connection:
    """Rows scored by first passage, which has learned from none of them, beside a rule that knows nothing."""
    insert_bars(connection, random_bars(900, seed=3))
    first_passage.promote(connection, first_passage.register(connection))
    rng = np.random.default_rng(1)
    connection.cursor().executemany(
        "insert into pattern_events "
        "(symbol, timeframe, pattern_type, detected_at, entry, target, stoploss, confidence) "
        "select symbol, timeframe, %s, ts, close, close * %s, close * %s, %s from price_bars where ts = %s",
        [
            (kind, 1 + up, 1 - down, rule, at(int(day)))
            for kind, day, up, down, rule in zip(
                rng.choice(["flag", "wedge"], 500), rng.integers(140, 870, 500),
                rng.uniform(0.01, 0.06, 500), rng.uniform(0.01, 0.06, 500), rng.uniform(0.5, 0.95, 500), strict=True,
            )
        ],
    )  # fmt: skip
    engine = Engine(connection)
    engine.refresh_model()
    while engine.score_queue().done:
        pass
    connection.execute("select ml.label_outcomes()")
    return connection


def titles(driver: webdriver.Chrome, place: str) -> list[str]:
    found = driver.find_elements(By.CSS_SELECTOR, f"#{place} title")
    return [str(title.get_attribute("textContent")) for title in found]


def test_whether_ml_helps_is_said_first_and_as_the_views_say(site: str, helped: Connection) -> None:
    rows = helped.execute(
        "select score, baseline, difference, low, high, n from ml.performance_differences where role = 'champion' "
        "and num_nonnulls(cohort, detected_month, pattern_type, timeframe) = 0 and n > 0 order by score desc, baseline"
    ).fetchall()
    asked = next(row for row in rows if row[:2] == ("served", "rule"))
    assert asked[4] < 0, "first passage is better than chance"
    briers = helped.execute(
        "select round(brier::numeric, 4)::text from ml.performance_realised where role = 'champion' and labelled > 0 "
        "and num_nonnulls(cohort, detected_month, pattern_type, timeframe) = 0 order by brier, score"
    ).fetchall()
    with browser("phone", "dark") as driver:
        opened(driver, site)
        assert "better than the rule" in driver.find_element(By.ID, "answer").text
        note = driver.find_element(By.ID, "answer-note").text.replace("−", "-")
        assert [float(n) for n in re.findall(r"[+-]\d\.\d{4}", note)] == pytest.approx(asked[2:5], abs=6e-5)
        assert f"{asked[5]} live rows" in note
        drawn = [text.text for text in driver.find_elements(By.CSS_SELECTOR, "#scores text:not(.name)")]
        assert drawn == [brier for (brier,) in briers]
        said = [title for title in titles(driver, "differences") if "rows" in title]
        assert len(said) == len(rows)
        for title, row in zip(said, rows, strict=True):
            figures = [float(n.replace("−", "-")) for n in re.findall(r"[+−]?\d\.\d{4}", title)]
            assert figures == pytest.approx([x for x in row[2:5] if x is not None], abs=6e-5)
        assert len(titles(driver, "types")) == 2 * 2
        assert driver.execute_script("return document.querySelector('main h2').textContent") == "Is ML helping?"


def test_rows_seen_in_training_answer_nothing(site: str, connection: Connection) -> None:
    insert_bars(connection)
    make_champion(connection, "small-1")
    connection.execute("update ml.models set metrics = metrics - 'fitted_until'")
    for day in range(140, 170):
        insert_pattern(connection, detected_at=at(day))
    engine = Engine(connection)
    engine.refresh_model()
    engine.score_queue()
    connection.execute("select ml.label_outcomes()")
    labelled = count(connection, "ml_internal.evidence where seen")
    assert labelled == 30
    with browser("desk", "light") as driver:
        opened(driver, site)
        assert driver.find_element(By.ID, "answer").text.startswith("Not known yet")
        assert f"{labelled} labelled rows do not count" in driver.find_element(By.ID, "answer-note").text
        assert not driver.find_element(By.ID, "evidence").is_displayed()


def test_many_alerts_of_a_kind_are_one_line_that_opens(site: str, drifting: Connection) -> None:
    with browser("phone", "dark") as driver:
        opened(driver, site)
        items = driver.find_elements(By.CSS_SELECTOR, "#alerts > li")
        assert sum(int(item.get_attribute("data-count") or 1) for item in items) == count(drifting, "ml.alerts")
        (many,) = driver.find_elements(By.CSS_SELECTOR, '#alerts > li[data-type="data_quality"][data-count]')
        assert int(many.get_attribute("data-count") or 0) >= 5
        many.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
        wait_until(lambda: "is missing" in driver.find_element(By.ID, "alerts").text, "it opens")
        driver.execute_script("render()")
        assert "is missing" in driver.find_element(By.ID, "alerts").text, "it stays open over a refresh"


def test_the_page_shows_what_the_views_say(site: str, served: Connection) -> None:
    with browser("desk", "light") as driver:
        opened(driver, site)
        row = served.execute(
            "select status, champion, workers_alive, queue_depth, rows, dead_letters, alerts from ml.health"
        ).fetchone()
        assert row is not None
        assert driver.find_element(By.ID, "status").text == row[0]
        fields = ("champion", "workers_alive", "queue_depth", "rows", "dead_letters")
        assert [shown(driver, field) for field in fields] == [str(value) for value in row[1:6]]
        listed = {
            item.get_attribute("data-type") for item in driver.find_elements(By.CSS_SELECTOR, "#alerts li[data-type]")
        }
        assert listed == {name for (name,) in served.execute("select type from ml.alerts").fetchall()}
        assert len(listed) == row[6]
        points = driver.find_elements(By.CSS_SELECTOR, "#calibration circle title")
        assert sum(int(str(p.get_attribute("textContent")).split(", ")[-1].split()[0]) for p in points) == 40
        assert "Histogram of 40 confidences" in str(
            driver.find_element(By.CSS_SELECTOR, "#confidences svg").get_attribute("aria-label")
        )
        models = driver.find_elements(By.CSS_SELECTOR, "#timeline tbody th")
        assert [model.text.removesuffix(" now") for model in models] == ["small-1"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_nobody_is_shut_out(site: str, drifting: Connection, size: str, scheme: str) -> None:
    with browser(size, scheme) as driver:
        opened(driver, site)
        driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE})
        found = driver.execute_async_script("axe.run().then(arguments[0])")
        faults = {fault["id"]: fault["nodes"][0]["html"] for fault in found["violations"]}
        assert faults == {}, json.dumps(faults, indent=1)
        assert len(found["passes"]) > 15
        width = driver.execute_script("return document.documentElement.scrollWidth")
        assert width <= SIZES[size][0], "no part is wider than the screen"
        console = driver.get_log("browser")  # type: ignore[no-untyped-call]
        assert [line for line in console if line["level"] in ("SEVERE", "WARNING")] == []


def test_one_slow_minute_flattens_no_other(site: str, served: Connection) -> None:
    """A minute whose rows waited for a worker beside one of ten milliseconds: both, and the service level, are told."""
    with browser("desk", "light") as driver:
        opened(driver, site)
        # In one script, so that no refresh comes in between.
        drawn = driver.execute_script(
            "const { health, metrics } = last, minute = (ago, ms) => ({ ...metrics.history[0], latency_p50_ms: ms,"
            "  latency_p99_ms: ms, bucket: new Date(Date.now() - 60e3 * ago).toISOString() });"
            "health.sla_ms = 75; metrics.history = [minute(3, 50_000), minute(1, 10)]; render();"
            "const all = (what) => [...document.querySelectorAll(`#latency ${what}`)];"
            "return { dots: all('circle.dot:not(.p99)').map((dot) => +dot.getAttribute('cy')),"
            "  level: +all('.sla-line')[0].getAttribute('y1'), base: +all('.base')[0].getAttribute('y1'),"
            "  labels: all('text').map((text) => text.textContent) };"
        )
    slow, fast = drawn["dots"]
    assert slow < drawn["level"] < fast <= drawn["base"]
    assert fast - drawn["level"] > 20 < drawn["level"] - slow, "pixels of 170"
    assert drawn["labels"][:5] == ["10", "100", "1k", "10k", "100k"]


HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


def test_names_from_the_database_stay_text(site: str, served: Connection) -> None:
    served.execute("update pattern_events set pattern_type = %s, timeframe = %s", [HOSTILE, HOSTILE])
    served.execute("update ml.predictions set pattern_type = %s, timeframe = %s", [HOSTILE, HOSTILE])
    served.execute("update ml_internal.outcome_changes set pattern_type = %s, timeframe = %s", [HOSTILE, HOSTILE])
    served.execute("update ml_internal.cohorts set pattern_type = %s, timeframe = %s", [HOSTILE, HOSTILE])
    register(served, "small-2")
    served.execute("select ml.promote('small-2', %s)", [HOSTILE])
    with browser("desk", "light") as driver:
        for _ in range(3):  # upkeep clears an alert that is not so, perhaps before the page has read it
            served.execute(
                "insert into ml.alert_log (type, subject, level, message, since, last_seen) "
                "values ('model_fault', %s, 'critical', %s, now(), now())",
                [HOSTILE, HOSTILE],
            )
            opened(driver, site)
            if HOSTILE in driver.find_element(By.ID, "alerts").text:
                break
            served.execute("delete from ml.alert_log where type = 'model_fault'")
        assert HOSTILE in driver.find_element(By.ID, "alerts").text
        assert driver.page_source.count("&lt;script&gt;") > 1
        assert driver.execute_script("return document.querySelectorAll('main img, main script').length") == 0
        assert "taken" not in driver.title


def test_an_alert_that_nobody_wrote_down_has_no_date(site: str, connection: Connection) -> None:
    with browser("phone", "light") as driver:
        opened(driver, site)
        alerts = driver.find_element(By.ID, "alerts").text
    assert "no worker is alive" in alerts
    assert "since" not in alerts


def test_the_keyboard_reaches_everything(site: str, served: Connection) -> None:
    with browser("desk", "light") as driver:
        opened(driver, site)
        seen = []
        for _ in range(8):
            driver.switch_to.active_element.send_keys(Keys.TAB)
            active = driver.switch_to.active_element
            seen.append(active.get_attribute("name") or active.get_attribute("href") or active.get_attribute("class"))
        assert any("#main" in str(name) for name in seen)
        assert "grain" in seen
        assert any("openapi.json" in str(name) for name in seen)
        driver.find_element(By.CSS_SELECTOR, "input[value=minute]").send_keys(Keys.ARROW_RIGHT)
        assert driver.find_element(By.ID, "throughput-note").text == "mean over each hour"


def test_a_lost_server_is_said(served: Connection, site: str) -> None:
    with browser("phone", "dark") as driver:
        opened(driver, site)
        driver.execute_cdp_cmd("Network.enable", {})
        lost = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", lost)
        driver.execute_script("refresh()")
        wait_until(lambda: "No answer" in driver.find_element(By.ID, "offline").text, "it says so")
        assert "What is shown is older" in driver.find_element(By.ID, "offline").text
