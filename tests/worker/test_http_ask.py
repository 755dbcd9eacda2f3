"""The page that asks, in a real browser: levels by keyboard, mouse and typing; figures equal ``ml.surface``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from db_functions.database import Connection
from tests.support import insert_bars, random_bars, register, wait_until
from tests.worker.test_http import TOKEN, ask, reader, site
from tests.worker.test_http_page import AXE, CHROMIUM, DRIVER, SIZES, browser
from tests.worker_support import SLOW, working
from training.correction import Fitted, Line, Recalibrated
from training.export import FittedModel, export
from worker.operating import first_passage

__all__ = ["reader", "site"]
in_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and chromedriver are not installed"),
]
BEARER = f"Bearer {TOKEN}"


@pytest.fixture
def asked(connection: Connection, database: str) -> Iterator[Connection]:
    """Two series, first passage as champion, and a worker."""
    insert_bars(connection, random_bars(200, seed=5))
    insert_bars(connection, random_bars(30, seed=6), symbol="OTHER", timeframe="1h")
    first_passage.promote(connection, first_passage.register(connection))
    with working(database, SLOW):
        yield connection


@pytest.fixture
def hopeful(connection: Connection, database: str) -> Iterator[None]:
    """A champion whose evidence says that its correction, upwards for every pattern, is real."""
    insert_bars(connection, random_bars(200, seed=5))
    known = {"least": 0.1, "most": 0.9}
    baseline = {"features": {"first_passage_target": known, "first_passage_stop": known}}
    evidence = {"evidence": {"brier_minus_first_passage": {"value": -0.01, "low": -0.014, "high": -0.006}}}
    exported = export(FittedModel(Fitted(Recalibrated(Line(0.4, 0.0, 0.0)))), version="hopeful")
    register(connection, "hopeful", exported.onnx, metrics=evidence, baseline=baseline)
    connection.execute("select ml.promote('hopeful', 'a test', force => true)")
    connection.execute("select ml.set('cost_bps', 10, 'a test')")
    with working(database, SLOW):
        yield


def test_bars_and_surfaces_need_the_token(site: str, asked: Connection) -> None:
    for path in ("series", "bars?symbol=ACME&timeframe=1d"):
        assert ask(f"{site}/api/ml/{path}").status == 401
    assert ask(f"{site}/api/ml/surface", "POST", "{}").status == 401
    series = ask(f"{site}/api/ml/series", authorization=BEARER).json["series"]
    assert series == [["ACME", "1d"], ["OTHER", "1h"]]
    bars = ask(f"{site}/api/ml/bars?symbol=ACME&timeframe=1d", authorization=BEARER).json
    newest = asked.execute(
        "select open, high, low, close from price_bars where symbol = 'ACME' order by ts desc limit 1"
    ).fetchone()
    assert (len(bars), tuple(bars[-1][1:])) == (128, newest)
    for query in ("", "?symbol=ACME", "?symbol=A%00&timeframe=1d"):
        assert ask(f"{site}/api/ml/bars{query}", authorization=BEARER).status == 400
    close = bars[-1][4]
    pattern = {"symbol": "ACME", "timeframe": "1d", "pattern_type": "flag", "direction": 1, "targets": [1.1 * close]}
    answer = ask(f"{site}/api/ml/surface", "POST", json.dumps(pattern), authorization=BEARER)
    assert (answer.status, answer.json["reason"], len(answer.json["p_target"])) == (200, "answered", 1)
    refused = ask(f"{site}/api/ml/surface", "POST", json.dumps(pattern | {"stops": [0]}), authorization=BEARER)
    assert (refused.status, refused.json["field"]) == (400, "stops")


def opened(driver: webdriver.Chrome, site: str) -> None:
    driver.get(f"{site}/ask")
    wait_until(lambda: driver.find_element(By.ID, "token").is_displayed(), "it asks for the token")
    driver.find_element(By.ID, "token").send_keys(TOKEN, Keys.ENTER)
    answered(driver)


def answered(driver: webdriver.Chrome) -> None:
    """Wait until what is shown is the answer to the newest question."""
    script = (
        "const { answer, levels } = state; return answer && answer.reason === 'answered' && answer.drawn"
        " && Math.abs(answer.drawn.target - levels.target) < 1e-6 && Math.abs(answer.drawn.stop - levels.stop) < 1e-6"
    )
    wait_until(lambda: bool(driver.execute_script(script)), "it is answered")


def levels(driver: webdriver.Chrome) -> dict[str, float]:
    found: dict[str, float] = driver.execute_script("return state.levels")
    return found


def shown(driver: webdriver.Chrome) -> list[str]:
    return [
        driver.find_element(By.CSS_SELECTOR, f'[data-field="{field}"]').text.split("\n")[0]
        for field in ("p_target", "p_stop", "p_neither", "expected_value")
    ]


def expected(connection: Connection, at: dict[str, float]) -> list[str]:
    question = {
        "symbol": "ACME", "timeframe": "1d", "pattern_type": "flag", "direction": 1,
        "entry": at["entry"], "target": at["target"], "stoploss": at["stop"],
    }  # fmt: skip
    with psycopg.connect(connection.info.dsn, autocommit=True) as own:
        row = own.execute("call ml.surface(%s, %s, %s)", [Jsonb(question), [at["target"]], [at["stop"]]]).fetchone()
    assert row is not None
    answer: dict[str, Any] = row[0]
    shares = [f"{100 * answer[name][0][0]:.1f} %" for name in ("p_target", "p_stop", "p_neither")]
    return [*shares, f"{answer['expected_value'][0][0]:.3f}"]


def picture(driver: webdriver.Chrome, name: str) -> None:
    """For looking at: kept where PICTURES says."""
    if folder := os.environ.get("PICTURES"):
        driver.save_screenshot(f"{folder}/ask-{name}.png")


class TestInABrowser:
    pytestmark = in_browser

    def test_figures_equal_the_surface_however_a_level_is_moved(self, site: str, asked: Connection) -> None:
        with browser("desk", "light") as driver:
            opened(driver, site)
            assert shown(driver) == expected(asked, levels(driver))
            first = levels(driver)
            driver.find_element(By.CSS_SELECTOR, "[data-level=target]").send_keys(Keys.ARROW_UP, Keys.PAGE_UP)
            answered(driver)
            assert levels(driver)["target"] > first["target"]
            assert shown(driver) == expected(asked, levels(driver))
            grip = driver.find_element(By.CSS_SELECTOR, "[data-level=stop] .tag")
            ActionChains(driver).drag_and_drop_by_offset(grip, 0, 40).perform()
            answered(driver)
            assert levels(driver)["stop"] < first["stop"]
            assert shown(driver) == expected(asked, levels(driver))
            field = driver.find_element(By.ID, "target")
            field.clear()
            field.send_keys(str(round(1.2 * first["entry"], 2)))
            answered(driver)
            assert levels(driver)["target"] == round(1.2 * first["entry"], 2)
            assert shown(driver) == expected(asked, levels(driver))
            ActionChains(driver).click(
                driver.find_element(By.CSS_SELECTOR, '.cell[data-target="20"][data-stop="4"]')
            ).perform()
            answered(driver)
            assert shown(driver) == expected(asked, levels(driver))
            assert "No pair is surely better" in driver.find_element(By.ID, "verdict").text

    @pytest.mark.usefixtures("hopeful")
    def test_a_proven_correction_names_the_best_pair(self, site: str) -> None:
        with browser("desk", "dark") as driver:
            opened(driver, site)
            driver.execute_script("document.querySelector('input[value=expected_value]').click()")
            best = driver.execute_script("return state.answer.best")
            assert best["p_target"] >= 0.1 - 1e-6
            assert 0 < best["least_value"] < best["expected_value"]
            assert "Surely better" in driver.find_element(By.ID, "verdict").text
            assert len(driver.find_elements(By.CSS_SELECTOR, ".mark.best")) == 1
            assert driver.find_elements(By.CSS_SELECTOR, ".far")
            picture(driver, "best")

    def test_what_cannot_be_answered_is_said(self, site: str, asked: Connection) -> None:
        with browser("phone", "dark") as driver:
            opened(driver, site)
            driver.execute_script("state.levels.stop = state.levels.target * 1.01; levelsChanged()")
            verdict = driver.find_element(By.ID, "verdict")
            wait_until(lambda: "two sides" in verdict.text, "it says so")
            asked.execute("delete from price_bars where symbol = 'ACME' and ts < (select max(ts) from price_bars)")
            driver.execute_script("levelsChanged()")
            wait_until(lambda: "insufficient bars" in verdict.text, "it says so")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", list(SIZES))
    def test_nobody_is_shut_out(self, site: str, asked: Connection, size: str, scheme: str) -> None:
        with browser(size, scheme) as driver:
            opened(driver, site)
            for shown_as in ("p_target", "expected_value"):
                driver.execute_script(f"document.querySelector('input[value={shown_as}]').click()")
                picture(driver, f"{size}-{scheme}-{shown_as}")
            driver.set_script_timeout(180)
            driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE})
            found = driver.execute_async_script("axe.run().then(arguments[0])")
            faults = {fault["id"]: fault["nodes"][0]["html"] for fault in found["violations"]}
            assert faults == {}, json.dumps(faults, indent=1)
            assert driver.execute_script("return document.documentElement.scrollWidth") <= SIZES[size][0]
            console = driver.get_log("browser")  # type: ignore[no-untyped-call]
            # The one answer without the token is told there by the browser itself.
            assert [
                line for line in console if line["level"] in ("SEVERE", "WARNING") and "401" not in line["message"]
            ] == []
