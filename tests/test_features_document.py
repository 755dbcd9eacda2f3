"""What the documentation of the features says, held against what they do: ranges, bars needed, missing inputs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from db_functions.contract import LEVEL_COLUMNS, WINDOW
from tests.features_compare import (
    ABSOLUTE,
    COLUMN,
    PROJECT,
    RELATIVE,
    column,
    differences,
    features_of,
    oracle,
)
from tests.features_rows import Rows, real_rows, with_bars
from training.features import FEATURE_NAMES, FEATURES, FIRST_PASSAGE_NAMES, INPUT_NAMES, MIN_BARS
from training.features.document import render


def test_document_is_up_to_date() -> None:
    assert (PROJECT / "docs" / "features.md").read_text() == render(), (
        "run: python -m training.features > docs/features.md"
    )


def test_document_names_every_feature_in_words() -> None:
    page = render()
    for feature in FEATURES:
        assert f"| `{feature.name}` |" in page
        assert all((feature.formula, feature.source, feature.range, feature.missing)), feature.name


def test_every_feature_varies_and_keeps_its_range() -> None:
    values = features_of(real_rows(2000, seed=40))
    for feature, column_values in zip(FEATURES, values.T, strict=True):
        known = column_values[~np.isnan(column_values)]
        low, high = feature.bounds
        slack = 1e-9 * max(abs(bound) for bound in (low, high, 1.0) if math.isfinite(bound))
        # A third of the rows has no direction, and so no label.
        assert len(known) > 1250, feature.name
        assert len(np.unique(known)) > 2, feature.name
        assert known.std() > 1e-4, feature.name
        assert (known >= low - slack).all(), (feature.name, known.min())
        assert (known <= high + slack).all(), (feature.name, known.max())


def test_no_two_features_are_the_same() -> None:
    values = features_of(real_rows(500, seed=41))
    values = values[~np.isnan(values).any(axis=1)]
    assert len(values) > 300
    equal = [
        (FEATURE_NAMES[i], FEATURE_NAMES[j])
        for i, j in itertools.combinations(range(len(FEATURES)), 2)
        if np.allclose(values[:, i], values[:, j])
    ]
    assert equal == []


def test_min_bars_is_exact() -> None:
    for feature in FEATURES:
        if not 0 < feature.min_bars <= WINDOW:
            continue
        lengths = [feature.min_bars - 1, feature.min_bars]
        missing = np.isnan(column(real_rows(20, seed=42, lengths=lengths * 10), feature.name))
        assert missing[0::2].all(), feature.name
        assert not missing[1::2].all(), feature.name


def test_most_features_are_there_at_min_bars() -> None:
    known = ~np.isnan(features_of(real_rows(50, seed=43, lengths=[MIN_BARS] * 50))).all(axis=0)
    assert known.mean() > 0.8


def changed_by(rows: Rows, changed: Rows) -> set[str]:
    before, after = features_of(rows), features_of(changed)
    different = ~((before == after) | (np.isnan(before) & np.isnan(after)))
    return {FEATURE_NAMES[j] for j in np.flatnonzero(different.any(axis=0))}


def test_absent_volume_makes_nan_of_what_uses_it_and_of_nothing_else() -> None:
    rows = real_rows(100, seed=44)
    silent = with_bars(rows, rows["bars"].copy())
    silent["bars"][:, :, 4] = np.nan
    said = {feature.name for feature in FEATURES if "volume" in feature.missing}
    assert changed_by(rows, silent) == said
    assert len(said) >= 8
    assert np.isnan(features_of(silent)[:, [COLUMN[name] for name in said]]).all()


@pytest.mark.parametrize("level", LEVEL_COLUMNS)
def test_an_absent_level_makes_nan_of_what_names_it_and_of_nothing_else(level: str) -> None:
    rows = {**real_rows(200, seed=45)}
    without = {**rows, "levels": rows["levels"].copy()}
    without["levels"][:, LEVEL_COLUMNS.index(level)] = np.nan
    said = {feature.name for feature in FEATURES if level in feature.formula and "level" in feature.missing}
    moved: set[str] = set()
    if level in ("support", "resistance"):
        said |= {"breakout_conviction"}
    else:
        # What stands in for it moves them.
        moved = set(FIRST_PASSAGE_NAMES)
    assert changed_by(rows, without) == said | moved
    values = features_of(without)
    for name in said - {"breakout_strength", "breakout_conviction"}:
        assert np.isnan(values[:, COLUMN[name]]).all(), name
    # With a direction, only the level on its side is used.
    spared = rows["direction"] == (1 if level == "support" else -1)
    if level in ("support", "resistance"):
        assert not np.isnan(values[spared, COLUMN["breakout_strength"]]).any()
        assert np.isnan(values[~spared, COLUMN["breakout_strength"]]).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rule_confidence", {"rule_confidence"}),
        ("duration_s", {"duration_log"}),
        ("history", {"type_success_rate", "type_count_log"}),
        (
            "market_bars",
            {
                "market_correlation_20",
                "market_correlation_60",
                "market_beta_60",
                "relative_strength_20",
                "relative_strength_60",
                "market_momentum_20",
                "market_agreement_5",
                "market_volatility_20",
            },
        ),
    ],
)
def test_an_absent_input_makes_nan_of_its_own_features(name: str, expected: set[str]) -> None:
    rows = real_rows(50, seed=46)
    without = {**rows, name: np.full_like(rows[name], np.nan)}
    assert changed_by(rows, without) == expected
    assert np.isnan(features_of(without)[:, [COLUMN[each] for each in expected]]).all()


def test_correlation_needs_its_least_number_of_pairs() -> None:
    rows = real_rows(2, seed=47)
    for kept, known in ((46, True), (45, False)):
        thin = {**rows, "market_bars": rows["market_bars"].copy()}
        thin["market_bars"][:, : WINDOW - kept] = np.nan
        assert (~np.isnan(column(thin, "market_correlation_60"))).tolist() == [known] * 2
        assert (~np.isnan(column(thin, "market_beta_60"))).tolist() == [known] * 2


def test_benchmark_bars_before_the_first_bar_are_not_paired() -> None:
    rows = real_rows(100, seed=57, lengths=range(20, 120))
    rows["market_bars"] = real_rows(100, seed=58)["market_bars"]
    got, expected = features_of(rows), oracle(rows)
    assert np.isfinite(got[:, COLUMN["market_beta_60"]]).any()
    assert np.isnan(got[:, COLUMN["market_beta_60"]]).any()
    assert differences(got, expected, RELATIVE, ABSOLUTE) == []


def test_a_negative_duration_counts_as_none() -> None:
    rows = {**real_rows(3, seed=59), "duration_s": np.array([-5.0, 0.0, math.e - 1])}
    assert column(rows, "duration_log") == pytest.approx([0.0, 0.0, 1.0])


def test_absent_direction_is_unknown_direction() -> None:
    rows = real_rows(50, seed=48)
    unknown = {**rows, "direction": np.zeros(50)}
    absent = {**rows, "direction": np.full(50, np.nan)}
    np.testing.assert_array_equal(features_of(absent), features_of(unknown))


def test_only_the_named_inputs_are_read() -> None:
    rows = real_rows(10, seed=49)
    more = {
        **rows,
        "pattern_type": np.array(["x"] * 10, dtype=object),
        "timeframe": np.array(["1d"] * 10, dtype=object),
    }
    np.testing.assert_array_equal(features_of(more), features_of(rows))
    for name in INPUT_NAMES:
        with pytest.raises(KeyError, match=name):
            features_of({key: values for key, values in rows.items() if key != name})


def test_bars_before_the_window_of_an_indicator_do_not_matter() -> None:
    rows = real_rows(50, seed=50)
    older = with_bars(rows, rows["bars"].copy())
    older["bars"][:, :67, :4] *= 1.01
    expected = {feature.name for feature in FEATURES if 0 < feature.min_bars <= 61} - changed_by(rows, older)
    for name in ("stochastic_k", "cci_20", "bollinger_position", "volatility_30", "symmetry_60", "closes_in_a_row"):
        assert name in expected
    assert {"rsi_14", "adx_14", "ema50_distance", "high_age"} & expected == set()


def test_too_few_bars_leave_only_what_needs_none() -> None:
    values = features_of(real_rows(15, seed=56, lengths=range(15)))
    known = {FEATURE_NAMES[j] for j in np.flatnonzero(~np.isnan(values[0]))}
    assert known == {feature.name for feature in FEATURES if feature.min_bars == 0} - {
        "risk_reward",
        "entry_risk_fraction",
        "market_momentum_20",
        "market_agreement_5",
        "market_volatility_20",
    }
