"""The status page in a real browser: values equal the views, nothing on the console, nothing that axe-core minds.

Skipped where Chromium or its driver is not installed (Debian: ``chromium`` and ``chromium-driver``).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import axe_core_python
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from db_functions.database import Connection
from tests.support import insert_bars, insert_pattern, make_champion, wait_until
from tests.test_http import reader, site
from tests.worker_support import count, working

__all__ = ["reader", "site"]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and chromedriver are not installed"),
    pytest.mark.parametrize("server", ["embedded"], indirect=True),
]
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
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
def test_nobody_is_shut_out(site: str, served: Connection, size: str, scheme: str) -> None:
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
