"""Health and alerts: each condition caused for real, shown, and cleared when it ends."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.rows import namedtuple_row

from db_functions.database import Connection
from db_functions.queries import query
from tests.sql.test_counts import register_with_baseline
from tests.support import at, insert_bars, insert_pattern, make_champion, random_bars, wait_until
from tests.worker_support import working
from training.skill import Skill, Sums, skill
from worker.serving.engine import Engine
from worker.serving.loop import Options

pytestmark = [pytest.mark.compat, pytest.mark.usefixtures("within_an_hour")]

WATCHFUL = Options(poll_interval_s=0.02, heartbeat_s=0.1, upkeep_s={"fold": 0.05, "check_alerts": 0.05})


def alerts(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        "select type, level from ml.alerts where type not in ('no_worker', 'no_model')"
    ).fetchall()
    return dict(rows)


def health(connection: Connection) -> dict[str, Any]:
    cursor = connection.execute("select * from ml.health")
    row = cursor.fetchone()
    assert row is not None
    assert cursor.description is not None
    return dict(zip([column.name for column in cursor.description], row, strict=True))


def age_counts(connection: Connection) -> None:
    """As if everything counted so far had happened before the window of alerts."""
    connection.execute("select ml_internal.fold()")
    connection.execute(
        "update ml_internal.metric_rollups set bucket = bucket - interval '20 minutes' where grain = 'minute'"
    )


def score(connection: Connection, engine: Engine, count: int, **columns: Any) -> None:
    for day in range(count):
        insert_pattern(connection, detected_at=at(100 + day % 80), **columns)
    while engine.score_queue().done:
        pass


@pytest.fixture
def engine(connection: Connection) -> Engine:
    insert_bars(connection)
    register_with_baseline(connection)
    connection.execute("select ml.set('alert_min_rows', 5, 'small tests')")
    started = Engine(connection)
    started.refresh_model()
    return started


def test_a_fresh_database_is_unavailable_and_says_why(connection: Connection) -> None:
    found = health(connection)
    assert (found["status"], found["workers_alive"], found["champion"], found["model_loaded"]) == (
        "unavailable", 0, None, False,
    )  # fmt: skip
    rows = connection.execute("select type, level, id from ml.alerts order by type").fetchall()
    assert rows == [("no_model", "critical", None), ("no_worker", "critical", None)], (
        "nobody has been there to raise them"
    )
    connection.execute("select ml.disable('test')")
    assert connection.execute("select distinct level from ml.alerts").fetchall() == [("warning",)]


def test_a_worker_with_a_champion_is_healthy_until_it_stops(connection: Connection, database: str) -> None:
    insert_bars(connection)
    register_with_baseline(connection)
    with working(database, WATCHFUL):
        insert_pattern(connection)
        wait_until(lambda: health(connection)["rows"] == 1, "a score in the metrics")
        wait_until(lambda: health(connection)["status"] == "healthy", "health")
        found = health(connection)
        assert (found["champion"], found["workers_alive"], found["workers_serving"]) == ("binned", 1, 1)
        assert (found["model_loaded"], found["baseline_set"], found["alerts"]) == (True, True, 0)
        assert (found["error_rate"], found["fallback_rate"]) == (0, 0)
        assert found["latency_p50_ms"] > 0
    assert health(connection)["status"] == "unavailable"
    assert connection.execute("select type, since is not null from ml.alerts").fetchall() == [("no_worker", True)]


def test_slow_scores(connection: Connection, engine: Engine) -> None:
    connection.execute("select ml.set('sla_ms', 0.001, 'slower than any worker')")
    score(connection, engine, 6)
    assert connection.execute("select ml_internal.check_alerts()").fetchone() is not None
    assert alerts(connection)["service_level"] == "critical"
    row = connection.execute("select value, threshold, message from ml.alerts where type = 'service_level'").fetchone()
    assert row == (
        0,
        0.90,
        "0.0 % of 6 live rows in 00:15:00 were scored within 0.001 ms; at least 95.0 % is the limit",
    )
    age_counts(connection)
    connection.execute("select ml.set('sla_ms', 60000, 'test')")
    score(connection, engine, 6)
    connection.execute("select ml_internal.check_alerts()")
    assert "service_level" not in alerts(connection)


def test_fallbacks_and_few_rows(connection: Connection, engine: Engine) -> None:
    score(connection, engine, 4, symbol="NONE")
    connection.execute("select ml_internal.check_alerts()")
    assert "fallback_rate" not in alerts(connection), "four rows say nothing"
    score(connection, engine, 1, symbol="NONE")
    connection.execute("select ml_internal.check_alerts()")
    assert alerts(connection)["fallback_rate"] == "critical"
    assert "error_rate" not in alerts(connection)
    age_counts(connection)
    connection.execute("select ml_internal.check_alerts()")
    assert "fallback_rate" not in alerts(connection), "no rows, no rate"


def test_failing_rows_and_dead_letters(connection: Connection, engine: Engine) -> None:
    connection.execute(
        "create function public.refuse() returns trigger language plpgsql as $$ begin "
        "if new.symbol = 'BAD' then raise exception 'no'; end if; return new; end $$; "
        "create trigger zz_refuse before update on pattern_events for each row "
        "when (new.ml_confidence is not null) execute function public.refuse()"
    )
    insert_bars(connection, symbol="BAD")
    score(connection, engine, 5)
    score(connection, engine, 2, symbol="BAD")
    connection.execute("select ml_internal.check_alerts()")
    found = alerts(connection)
    assert (found["error_rate"], found["dead_letters"]) == ("critical", "warning")
    connection.execute("drop trigger zz_refuse on pattern_events")
    connection.execute("select ml.redrive(error_like => '%')")
    age_counts(connection)
    while engine.score_queue().done:
        pass
    connection.execute("select ml_internal.check_alerts()")
    assert not {"error_rate", "dead_letters"} & set(alerts(connection))


def test_a_cold_cache(connection: Connection, engine: Engine) -> None:
    for number in range(6):
        insert_bars(connection, random_bars(60), symbol=f"S{number}")
        insert_pattern(connection, symbol=f"S{number}", detected_at=at(50))
        engine.score_queue()
    connection.execute("select ml_internal.check_alerts()")
    assert alerts(connection)["cache_hit_rate"] == "critical"
    for _ in range(4):
        score(connection, engine, 10)
    connection.execute("select ml_internal.check_alerts()")
    assert "cache_hit_rate" in alerts(connection), "86 % is above the limit, but not well clear of it"
    score(connection, engine, 1)
    age_counts(connection)
    score(connection, engine, 6)
    connection.execute("select ml_internal.check_alerts()")
    assert "cache_hit_rate" not in alerts(connection)


def test_a_queue_that_nobody_drains(connection: Connection) -> None:
    insert_pattern(connection)
    assert "stalled_queue" not in alerts(connection)
    connection.execute("update ml.queue set enqueued_at = now() - interval '2 minutes'")
    assert alerts(connection)["stalled_queue"] == "warning"
    connection.execute("update ml.queue set enqueued_at = now() - interval '6 minutes'")
    assert alerts(connection)["stalled_queue"] == "critical"
    Engine(connection).score_queue()
    assert "stalled_queue" not in alerts(connection)


def test_a_champion_that_does_not_load(connection: Connection, database: str) -> None:
    make_champion(connection, "broken", b"not a model")
    with working(database, WATCHFUL):
        wait_until(lambda: alerts(connection).get("model_fault") == "critical", "the alert")
        row = connection.execute("select subject, message from ml.alerts where type = 'model_fault'").fetchone()
        assert row is not None
        assert row[0] == "broken"
        assert row[1].startswith("1 of 1 workers do not serve the champion: model broken")
        assert health(connection)["status"] == "unavailable"
        insert_bars(connection)
        register_with_baseline(connection)
        wait_until(lambda: "model_fault" not in alerts(connection), "the end of the alert")


def test_a_model_without_a_baseline(connection: Connection) -> None:
    make_champion(connection, "plain")
    connection.execute("select ml_internal.check_alerts()")
    assert alerts(connection) == {"no_baseline": "warning"}
    register_with_baseline(connection)
    connection.execute("select ml_internal.check_alerts()")
    assert alerts(connection) == {}


def test_an_alert_rises_at_once_and_falls_with_hysteresis(connection: Connection, database: str) -> None:
    def look(value: float) -> str | None:
        connection.execute("select ml.set('fallback_warning', 0.1, 'test')")
        connection.execute(
            "update ml_internal.metric_rollups set insufficient_bars = %s, scored = 1000 - %s where grain = 'minute'",
            [round(value * 1000), round(value * 1000)],
        )
        connection.execute("select ml_internal.check_alerts()")
        return alerts(connection).get("fallback_rate")

    connection.execute(
        "insert into ml_internal.metric_rollups select 'minute', date_trunc('minute', now()), null, "
        "'champion', 'live', 1000, "
        "1000, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, '{}', '{}', 0, 0, 0, 0, 0, 0, '{}'"
    )
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("listen ml_alerts")
        levels = [look(v) for v in (0.09, 0.11, 0.09, 0.21, 0.19, 0.15, 0.09, 0.07)]
        heard = [json.loads(n.payload) for n in listener.notifies(timeout=0.5)]
    assert levels == [None, "warning", "warning", "critical", "critical", "warning", "warning", None]
    told = [(n["was"], n["level"]) for n in heard if n["type"] == "fallback_rate"]
    assert told == [(None, "warning"), ("warning", "critical"), ("critical", "warning"), ("warning", None)]
    rows = connection.execute(
        "select t.old_level, t.new_level from ml_internal.alert_transitions t join ml.alert_log l on l.id = t.alert_id "
        "where l.type = 'fallback_rate' order by t.id"
    ).fetchall()
    assert rows == told


def test_acknowledging(connection: Connection) -> None:
    with pytest.raises(psycopg.Error, match="needs a reason"):
        connection.execute("select ml.acknowledge('no_worker', ' ')")
    with pytest.raises(psycopg.Error, match='no alert of type "drift" stands now'):
        connection.execute("select ml.acknowledge('drift', 'x')")
    assert connection.execute("select ml.acknowledge('no_worker', 'we are moving it')").fetchone() == (1,)
    row = connection.execute(
        "select acknowledged_by = session_user, acknowledged_because from ml.alerts where type = 'no_worker'"
    ).fetchone()
    assert row == (True, "we are moving it")
    connection.execute("update ml.alert_log set level = 'warning' where type = 'no_worker'")
    connection.execute("select ml_internal.check_alerts()")
    row = connection.execute("select level, acknowledged_by from ml.alerts where type = 'no_worker'").fetchone()
    assert row == ("critical", None), "whoever saw the warning has not seen this"


def test_metrics_agree_with_the_rows(connection: Connection, engine: Engine) -> None:
    score(connection, engine, 40)
    score(connection, engine, 4, symbol="NONE")
    rows = connection.execute(
        "select count(*), avg(ml_confidence::float8), stddev_pop(ml_confidence::float8), "
        "(select percentile_disc(0.5) within group (order by prediction_latency_ms) from pattern_events) "
        "from ml.predictions"
    ).fetchone()
    assert rows is not None
    for fold in (False, True):
        if fold:
            connection.execute("select ml_internal.fold()")
        for period in ("hour", "day"):
            found = connection.execute(
                "select rows, fallback_rate, confidence_mean, confidence_deviation, latency_p50_ms, positive, "
                "model_version from ml.metrics where period = %s and source = 'live' "
                "order by model_version nulls first",
                [period],
            ).fetchall()
            total, model = found
            assert (total[0], total[1]) == (44, pytest.approx(4 / 44))
            assert (model[0], model[6]) == (44, "binned")
            assert model[2] == total[2] == pytest.approx(rows[1], abs=1e-9)
            assert total[3] == pytest.approx(rows[2], abs=1e-6)
            assert model[4] == pytest.approx(rows[3], rel=0.05)
        history = connection.execute(
            "select grain, sum(rows) from ml.metrics_history where model_version is null group by 1 order by 1"
        ).fetchall()
        assert history == [("day", 44), ("hour", 44), ("minute", 44)]


def test_a_confidence_quantile_is_near(transaction: Connection) -> None:
    row = transaction.execute(
        "select ml_internal.score_quantiles('{0,10,10}', '{0.2,0.4}', '{0.25,0.5}'), "
        "ml_internal.score_quantiles('{}', '{}', '{0.5}'), "
        "ml_internal.score_quantiles('{4}', '{}', '{0.5}')"
    ).fetchone()
    assert row is not None
    assert row[0] == pytest.approx([0.3, 0.4])
    assert row[1:] == ([], [0.5])


def test_upkeep_labels_on_schedule(connection: Connection) -> None:
    insert_bars(connection)
    insert_pattern(connection, detected_at=at(100))
    label = query("label_due")
    assert connection.execute(label, {"max_rows": 100}).fetchone() == (1,)
    insert_pattern(connection, detected_at=at(100))
    assert connection.execute(label, {"max_rows": 100}).fetchone() == (0,), "not due"
    connection.execute("update ml_internal.schedule set ran_at = now() - interval '2 hours'")
    insert_pattern(connection, detected_at=at(101))
    assert connection.execute(label, {"max_rows": 1}).fetchone() == (1,)
    assert connection.execute(label, {"max_rows": 1}).fetchone() == (1,), "there was more"


def test_months_past_their_time_are_dropped(connection: Connection) -> None:
    connection.execute(
        "create table ml.predictions_2020_01 partition of ml.predictions for values from ('2020-01-01 00:00+00') "
        "to ('2020-02-01 00:00+00')"
    )
    connection.execute("alter table ml.predictions_2020_01 owner to ml_owner")
    before = connection.execute(
        "select count(*) from pg_inherits where inhparent = 'ml.predictions'::regclass"
    ).fetchone()
    assert before is not None
    connection.execute("select ml.set('keep_predictions', '100 years', 'test')")
    assert connection.execute(query("drop_partitions")).fetchone() == (0,)
    connection.execute("select ml.set('keep_predictions', '1 day', 'test')")
    assert connection.execute(query("drop_partitions")).fetchone() == (1,)
    after = connection.execute(
        "select count(*) from pg_inherits where inhparent = 'ml.predictions'::regclass"
    ).fetchone()
    assert after == (before[0] - 1,), "this month and those to come stay"


def test_minutes_and_folded_logs_are_pruned(connection: Connection, engine: Engine) -> None:
    score(connection, engine, 3)
    connection.execute("select ml_internal.fold()")
    connection.execute("update ml_internal.batches set at = at - interval '1 hour'")
    connection.execute(
        "update ml_internal.metric_rollups set bucket = bucket - interval '40 days' where grain = 'minute'"
    )
    score(connection, engine, 1)
    connection.execute("update ml_internal.batches set at = at - interval '1 hour'")
    connection.execute("select ml_internal.prune()")
    left = connection.execute("select count(*) from ml_internal.batches").fetchone()
    assert left == (1,), "what no fold has seen stays"
    rows = connection.execute(
        "select grain, sum(rows)::int from ml_internal.metric_counts group by 1 order by 1"
    ).fetchall()
    assert rows == [("day", 4), ("hour", 4), ("minute", 1)]


def message_of(connection: Connection, kind: str) -> str:
    row = connection.execute("select message from ml.alerts where type = %s", [kind]).fetchone()
    assert row is not None
    return str(row[0])


def age_tallies(connection: Connection, hours: int) -> None:
    """What was tallied last, as if in the middle of an earlier hour."""
    connection.execute(
        "update ml_internal.tallies set at = date_trunc('hour', now()) - (%s - 0.5) * interval '1 hour' where "
        "at > now() - "
        "interval '5 minutes'",
        [hours],
    )


def test_drift_and_missing_values_that_last(connection: Connection, engine: Engine) -> None:
    for name, value in {"drift_window": "1 hour", "drift_min_rows": "30", "drift_windows": "2"}.items():
        connection.execute("select ml.set(%s, %s, 'small tests')", [name, value])
    # No outcome is known: the rate is missing on every row, and the count is 0, where the baseline has 0 to 39.
    score(connection, engine, 150)
    age_tallies(connection, 2)
    connection.execute("select ml_internal.check_alerts()")
    assert not {"feature_drift", "data_quality"} & set(alerts(connection)), "one window is no habit"
    score(connection, engine, 150)
    age_tallies(connection, 1)
    connection.execute("select ml_internal.check_alerts()")
    rows = connection.execute(
        "select type, subject, level from ml.alerts where type in ('feature_drift', 'data_quality') order by 1, 2"
    ).fetchall()
    assert ("data_quality", "history_positive_rate", "critical") in rows
    assert {row[1] for row in rows if row[0] == "feature_drift"} >= {"history_positive_rate", "history_count"}
    message = message_of(connection, "data_quality")
    assert message.startswith(
        "history_positive_rate of binned: 100.0 % missing, 0.0 % infinite or unseen over 150 rows"
    )
    # What is normal now is said to be so.
    connection.execute(
        "select ml.set_baseline(since => date_trunc('hour', now()) - interval '2 hours', "
        "until => date_trunc('hour', now()), reason => 'a new market')"
    )
    connection.execute("select ml_internal.check_alerts()")
    assert not {"feature_drift", "data_quality", "prediction_drift"} & set(alerts(connection))


def test_answers_that_drift(connection: Connection, engine: Engine) -> None:
    for name, value in {"drift_window": "1 hour", "drift_min_rows": "30", "drift_windows": "1"}.items():
        connection.execute("select ml.set(%s, %s, 'small tests')", [name, value])
    register_with_baseline(connection, "sure", bias=4.0)
    engine.refresh_model()
    score(connection, engine, 150)
    age_tallies(connection, 1)
    connection.execute("select ml_internal.check_alerts()")
    rows = connection.execute("select subject, level from ml.alerts where type = 'prediction_drift'").fetchall()
    assert ("ml_confidence", "critical") in rows
    connection.execute("select ml.rollback('it is too sure')")
    connection.execute("select ml_internal.check_alerts()")
    assert "prediction_drift" not in alerts(connection), "the champion of now has not drifted"


def test_a_model_that_is_sure_and_wrong(connection: Connection) -> None:
    insert_bars(connection)
    register_with_baseline(connection, "sure", bias=2.0)
    connection.execute("select ml.set('label_min_rows', 30, 'small tests')")
    engine = Engine(connection)
    engine.refresh_model()
    score(connection, engine, 40)
    connection.execute("select ml_internal.check_alerts()")
    assert not {"calibration", "performance_gap"} & set(alerts(connection)), "no labels, no judgement"
    connection.execute("select ml.label(id, 'negative', 'test') from pattern_events")
    connection.execute("select ml_internal.check_alerts()")
    found = alerts(connection)
    assert (found["calibration"], found["performance_gap"]) == ("critical", "critical")
    message = message_of(connection, "calibration")
    assert "labelled rows of the week of" in message
    assert message.endswith("0.0 % came")
    connection.execute("select ml.label(id, 'positive', 'test') from pattern_events")
    connection.execute("select ml_internal.check_alerts()")
    assert "performance_gap" not in alerts(connection)


def add_skill(connection: Connection, gains: dict[str, float], blocks: int) -> dict[str, Skill]:
    """So many finished blocks of the champion's served rows, 100 each; what NumPy says of the gain over each baseline.

    The forecasts are 0.2 apart, and no two blocks are alike.
    """
    rows, spread = np.full(blocks, 100.0), np.full(blocks, 4.0)
    numpys = {}
    for baseline, gain in gains.items():
        found = Sums(rows, 100 * gain + np.sin(np.arange(blocks)), spread)
        connection.execute(
            "insert into ml_internal.skill_sums select c.model_id, today.block - %(blocks)s - 1 + u.n, null, null, "
            "'served', %(baseline)s, 100, u.gain, 4 from ml_internal.champion c, unnest(%(gains)s::float8[]) "
            "with ordinality u (gain, n), "
            "(select ((now() at time zone 'UTC')::date - date '1970-01-01') / k.block_days as block "
            "from ml_internal.skill_clock k) today",
            {"baseline": baseline, "gains": found.gain.tolist(), "blocks": blocks},
        )
        numpys[baseline] = skill(found)
    return numpys


@pytest.mark.parametrize(
    ("blocks", "gains", "expected"),
    [
        (14, {"rule": -0.03, "ml": 0.0}, {"rule": "warning"}),
        (14, {"rule": -0.09, "first_passage": -0.03}, {"rule": "critical", "first_passage": "warning"}),
        (14, {"rule": 0.03, "base_rate": 0.09}, {}),
        (9, {"rule": -0.9}, {}),
    ],
)
def test_what_is_read_and_surely_worse(
    connection: Connection, engine: Engine, blocks: int, gains: dict[str, float], expected: dict[str, str]
) -> None:
    assert engine
    connection.execute("select ml.set('threshold', 0.5, 'test')")
    connection.execute("update ml.settings_history set changed_at = changed_at - interval '10 years'")
    numpys = add_skill(connection, gains, blocks)
    connection.execute("select ml_internal.check_alerts()")
    standing = (
        "select subject, level, value, threshold, window_start, window_end from ml.alerts where type = 'served_worse'"
    )
    rows: list[Any] = connection.cursor(row_factory=namedtuple_row).execute(standing).fetchall()
    assert {row.subject: row.level for row in rows} == expected
    for row in rows:
        own = numpys[row.subject]
        assert own.worse[-1]
        assert row.value == pytest.approx(-own.gain[-1])
        assert row.threshold == pytest.approx((own.gain_high[-1] - own.gain_low[-1]) / 2)
        assert row.window_start < row.window_end
    # The blend of then is not that of now.
    connection.execute("select ml.set('threshold', 0.51, 'test')")
    connection.execute("select ml_internal.check_alerts()")
    assert connection.execute(standing).fetchall() == []


def test_a_threshold_that_keeps_nearly_every_score_from_its_row(connection: Connection, engine: Engine) -> None:
    connection.execute("select ml.set('threshold', 1, 'test')")
    score(connection, engine, 10)
    connection.execute("select ml_internal.check_alerts()")
    assert alerts(connection)["nothing_blended"] == "warning"
    assert message_of(connection, "nothing_blended").startswith("0 of 10 ")
    connection.execute("select ml.set('threshold', 0.5, 'test')")
    score(connection, engine, 5)
    connection.execute("select ml_internal.check_alerts()")
    assert "nothing_blended" not in alerts(connection)


def test_rows_that_waited_for_the_first_worker_break_no_promise(connection: Connection, engine: Engine) -> None:
    connection.execute("select ml.set('sla_ms', 500, 'test')")
    for day in range(10):
        insert_pattern(connection, detected_at=at(100 + day))
    connection.execute("update ml.queue set enqueued_at = enqueued_at - interval '10 minutes'")
    connection.execute("select ml_internal.start_worker('here', 1, '0', 'worker')")
    engine.score_queue()
    score(connection, engine, 6)
    connection.execute("select ml_internal.check_alerts()")
    assert "service_level" not in alerts(connection)
    rows = connection.execute(
        "select source, sum(rows)::integer from ml_internal.metric_counts where grain = 'day' group by 1 order by 1"
    ).fetchall()
    assert rows == [("backfill", 10), ("live", 6)]
    # Later on a row that waits is late.
    for _ in range(6):
        insert_pattern(connection)
    connection.execute("update ml.workers set started_at = started_at - interval '1 hour'")
    connection.execute("update ml.aliases set valid_from = valid_from - interval '1 hour'")
    connection.execute("update ml.queue set enqueued_at = enqueued_at - interval '10 minutes'")
    engine.score_queue()
    connection.execute("select ml_internal.check_alerts()")
    assert alerts(connection)["service_level"] == "critical"
