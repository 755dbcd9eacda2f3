"""Scores explained on a database: on demand, by share, kept, read and pruned; what cannot be explained says why."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import onnx
import psycopg
import pytest
from psycopg.rows import dict_row

from db_functions.database import Connection
from db_functions.errors import UnknownModel
from tests.sql_support import refused_with
from tests.support import START, at, insert_bars, insert_pattern, make_champion
from tests.support import small_model as without_background
from tests.training_support import small_artifact
from tests.worker_support import count
from training import cli, explain
from training.errors import NotExplainable
from training.explain import explain_patterns, explain_share
from training.features import FEATURE_NAMES
from training.registry import promote, register
from training.report import fetch_subject
from worker.serving.engine import Engine

pytestmark = pytest.mark.slow
"""A model has to be trained first."""

ROWS = 24
"""Where the server's version cannot matter."""
PARTS = 5
"""Of an explanation: the whole, first passage and three learners."""
NOBODY = UUID(int=1)


@pytest.fixture
def scored(connection: Connection) -> Connection:
    """Patterns scored by a worker with a trained ensemble."""
    insert_bars(connection)
    register(connection, small_artifact())
    promote(connection, small_artifact().version, "test")
    for number in range(ROWS):
        insert_pattern(connection, id=pattern(number), detected_at=at(100 + number * 2), rule_confidence=0.5)
    score(connection)
    return connection


def pattern(number: int) -> UUID:
    """The same ids in every run: which fall into a share follows from them."""
    return UUID(int=number + 1000)


def score(connection: Connection) -> None:
    engine = Engine(connection)
    engine.refresh_model()
    while engine.score_queue().done:
        pass


def rows(connection: Connection, statement: str, *parameters: object) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement.encode(), parameters).fetchall()


def test_a_fresh_score_is_explained_on_demand_and_read_by_pattern(scored: Connection) -> None:
    (found,) = explain_patterns(scored, [pattern(7)])
    assert found.score.version == small_artifact().version
    sums = rows(
        scored,
        "select a.member, a.scale, a.answer, p.ml_confidence, a.base, sum(a.contribution) as parts, "
        "count(*) as features, count(a.standard_error) as errors, bool_or(a.sampled) as sampled "
        "from pattern_events p join ml.attributions a on a.pattern_id = p.id and a.scored_at = p.scored_at "
        "group by 1, 2, 3, 4, 5 order by 1 nulls first",
    )
    assert [(r["member"], r["scale"], r["errors"]) for r in sums] == [
        (None, "probability", len(FEATURE_NAMES)),
        ("first_passage", "log_odds", 0),
        ("gradient_boosting", "log_odds", 0),
        ("logistic", "log_odds", 0),
        ("random_forest", "log_odds", 0),
    ]
    assert all(r["features"] == len(FEATURE_NAMES) and not r["sampled"] for r in sums)
    assert sums[0]["answer"] == sums[0]["ml_confidence"]
    for row in sums:
        assert row["base"] + row["parts"] == pytest.approx(row["answer"], abs=1e-6)
    (largest,) = rows(
        scored,
        "select feature, value, model_version, (ml.explain_score(pattern_id)).features ->> feature as recorded "
        "from ml.attributions where member is null and value <> 'NaN' order by abs(contribution) desc limit 1",
    )
    assert largest["model_version"] == small_artifact().version
    assert largest["value"] == pytest.approx(float(largest["recorded"]))


def test_again_it_gives_the_same_and_no_more(scored: Connection) -> None:
    kept = (
        "select pattern_id, member, base, contributions, standard_errors from "
        "ml_internal.attributed_scores order by 1, 2"
    )
    explain_patterns(scored, [pattern(1), pattern(2)])
    before = rows(scored, kept)
    explain_patterns(scored, [pattern(2)])
    assert rows(scored, kept) == before
    assert len(before) == 2 * PARTS


def test_a_share_goes_on_where_it_ended(scored: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "_CHUNK", 3)
    (expected,) = rows(
        scored, "select count(*) as n from ml.predictions where ml_internal.fraction_of(pattern_id) < 0.3"
    )
    assert 5 < expected["n"] < 20
    written: list[int] = []
    write = explain._write

    def dying(connection: Connection, found: Any, *, sampled: bool) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(len(found))
        write(connection, found, sampled=sampled)

    with monkeypatch.context() as patched:
        patched.setattr(explain, "_write", dying)
        with pytest.raises(KeyboardInterrupt):
            explain_share(scored, 0.3, START)
    assert count(scored, "ml_internal.attributed_scores where member is null") == 3
    assert explain_share(scored, 0.3, START).explained == expected["n"] - 3
    assert explain_share(scored, 0.3, START).explained == 0
    assert (
        count(
            scored, "ml_internal.attributed_scores where member is null and ml_internal.fraction_of(pattern_id) < 0.3"
        )
        == expected["n"]
    )
    assert count(scored, "ml_internal.attributed_scores") == PARTS * expected["n"]


def test_averages_are_over_what_was_sampled(scored: Connection) -> None:
    explain_patterns(scored, [pattern(n) for n in range(4)])
    assert rows(scored, "select from ml.attribution_importance") == []
    explain_share(scored, 0.2, START)
    sampled = count(scored, "ml.predictions where ml_internal.fraction_of(pattern_id) < 0.2")
    assert count(scored, "ml_internal.attributed_scores where member is null and sampled") == sampled
    found = rows(
        scored,
        "select i.*, (select avg(abs(a.contribution)) from ml.attributions a where a.sampled and a.feature = i.feature "
        "and a.member is not distinct from i.member) as mean "
        "from ml.attribution_importance i order by member nulls first, rank",
    )
    assert len(found) == PARTS * len(FEATURE_NAMES)
    assert {row["scores"] for row in found} == {sampled}
    for row in found:
        assert row["mean_size"] == pytest.approx(row["mean"])
        assert (row["mean_standard_error"] is None) == (row["member"] is not None)
    first = [row["mean_size"] for row in found[: len(FEATURE_NAMES)]]
    assert first == sorted(first, reverse=True)
    assert first[0] > 0
    reported = fetch_subject(scored, small_artifact().version).contributions
    assert {one.scores for one in reported} == {sampled}
    assert [one.mean_size for one in reported] == pytest.approx(first)
    assert all(one.mean_standard_error is not None for one in reported)


def test_asked_for_and_sampled_it_stays_sampled(scored: Connection) -> None:
    asked = [pattern(n) for n in range(ROWS)]
    explain_patterns(scored, asked[:1])
    explain_share(scored, 1.0, START, at(10_000))
    explain_patterns(scored, asked[:1])
    assert count(scored, "ml_internal.attributed_scores where sampled") == PARTS * ROWS


def test_another_models_scores_are_asked_for_by_its_name(scored: Connection) -> None:
    make_champion(scored, "plain", without_background("plain"))
    insert_pattern(scored, id=NOBODY, detected_at=at(150))
    score(scored)
    with pytest.raises(NotExplainable, match=r"^model plain: .*background"):
        explain_patterns(scored, [NOBODY])
    with pytest.raises(NotExplainable, match=f"did not score pattern {NOBODY}"):
        explain_patterns(scored, [NOBODY], small_artifact().version)
    with pytest.raises(UnknownModel, match="no model of version 'nobody'"):
        explain_patterns(scored, [pattern(1)], "nobody")
    with pytest.raises(UnknownModel, match="no model of version 'nobody'"):
        explain_share(scored, 1.0, START, version="nobody")
    done = explain_share(scored, 1.0, START)
    assert (done.explained, done.skipped.total()) == (ROWS, 1)
    (reason,) = done.skipped
    assert reason.startswith("model plain: ")


def test_features_that_do_not_give_the_score_are_not_taken(scored: Connection) -> None:
    scored.execute(
        "update ml.predictions set features[%s] = 0.99 where pattern_id = %s",
        [FEATURE_NAMES.index("first_passage_target") + 1, pattern(3)],
    )
    with pytest.raises(NotExplainable, match=f"^pattern {pattern(3)}: model .*another answer"):
        explain_patterns(scored, [pattern(3)])
    assert explain_share(scored, 1.0, START).skipped.total() == 1


def test_the_command_says_what_mattered(
    scored: Connection, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    assert cli.main(["explain", str(pattern(5))]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"pattern {pattern(5)}: 0.")
    assert "random_forest, log-odds" in printed[1]
    assert "logistic, log-odds" in printed[1]
    assert len(printed) == 2 + 10 + 1 + 2
    assert printed[12].startswith("108 others")
    assert cli.main(["explain", "--share", "0.1", "--since", "2024-01-01", "--quiet"]) == 0
    assert "scores explained, 0 skipped" in capsys.readouterr().out
    insert_pattern(scored, id=NOBODY, detected_at=at(2))
    for command, said in {
        f"explain {NOBODY}": f"pattern {NOBODY} has no score",
        f"explain {UUID(int=5)}": f"there is no pattern {UUID(int=5)}",
        f"explain {pattern(1)} --model nobody": "'nobody'",
        "explain": "name patterns, or a share",
        f"explain {pattern(1)} --share 0.5 --since 2024-01-01": "name patterns, or a share",
        "explain --share 0.5": "name patterns, or a share",
    }.items():
        assert cli.main(command.split()) == 1
        assert said in capsys.readouterr().err
    for command in ("explain x", "explain --share 2 --since 2024-01-01", f"explain {NOBODY} --permutations 1"):
        with pytest.raises(SystemExit):
            cli.main(command.split())


def test_a_member_that_is_left_out_is_named(
    connection: Connection, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    model = onnx.load_model_from_string(small_artifact().onnx)
    kept = {item.key: item.value for item in model.metadata_props}
    named = json.loads(kept["members"]) | {"logistic": "features"}
    onnx.helper.set_model_props(model, kept | {"members": json.dumps(named)})
    register(connection, replace(small_artifact(), onnx=model.SerializeToString()))
    promote(connection, small_artifact().version, "test")
    insert_bars(connection)
    insert_pattern(connection, id=pattern(1), detected_at=at(150))
    score(connection)
    assert cli.main(["explain", str(pattern(1))]) == 0
    assert "member logistic is left out: " in capsys.readouterr().out
    assert cli.main(["explain", "--share", "1", "--since", "2024-01-01", "--quiet"]) == 0
    assert f"member logistic of {small_artifact().version} is left out: " in capsys.readouterr().out
    assert count(connection, "ml_internal.attributed_scores") == PARTS - 1


def test_the_publisher_writes_and_analysts_read(scored: Connection) -> None:
    scored.execute("set role ml_publisher")
    explain_patterns(scored, [pattern(1)])
    explain_share(scored, 0.1, START)
    scored.execute("set role ml_analyst")
    assert count(scored, "ml.attributions") > 0
    assert count(scored, "ml.attribution_importance") > 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        scored.execute("delete from ml_internal.attributed_scores")


WRITE = "select ml_internal.write_attributions(%s, %s, %s, false, %s, '{probability}', '{0.5}', '{0.6}', %s, %s)"


def test_what_does_not_fit_is_not_kept(scored: Connection) -> None:
    found = scored.execute("select pattern_id, scored_at from ml.predictions limit 1").fetchone()
    assert found is not None
    own, moment = found
    version, parts = small_artifact().version, [0.0] * len(FEATURE_NAMES)
    said = refused_with(scored, "ML003", WRITE, [own, "nobody", moment, [None], parts, parts])
    assert "nobody" in said
    said = refused_with(scored, "P0002", WRITE, [own, version, at(0), [None], parts, parts])
    assert said.startswith(f"model {version} did not score pattern {own} at 2024-01-01")
    said = refused_with(scored, "2202E", WRITE, [own, version, moment, [None], parts[1:], parts])
    width = len(FEATURE_NAMES)
    assert f"not {width - 1} and {width}" in said


def test_they_go_with_the_predictions_that_they_explain(scored: Connection) -> None:
    explain_patterns(scored, [pattern(1), pattern(2)])
    scored.execute(
        "update ml_internal.attributed_scores set scored_at = now() - interval '200 days' where pattern_id = %s",
        [pattern(1)],
    )
    assert scored.execute("select ml_internal.prune() >= 4").fetchone() == (True,)
    assert count(scored, "ml_internal.attributed_scores") == PARTS
