"""A model called in the backend: what a PL/Python trigger does for each row before it is stored.

Loaded by the backend's own Python, so it knows neither psycopg nor this project's code: inputs are gathered by SPI, by
the rules of ``docs/architecture.md``, in as few statements as can be, each planned once a connection. The session stays
in the backend; bars are read for every row, since nothing tells a backend of corrections that others make.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

_WINDOW = 128
_CONTEXT = (
    "days_since_earnings",
    "vix",
    "sector_performance",
    "options_activity",
    "news_sentiment",
    "analyst_confirmations",
)
_LEVELS = ("support", "resistance", "target", "entry", "stoploss")
_MODEL = "select version, onnx, min_bars, inputs from ml.models where id = {}"
_STATE = """
select (select model_id from ml.aliases where alias = 'champion' and valid_to is null) as model, s.benchmark_symbol,
       s.enabled, s.threshold, s.ml_weight, s.rule_weight, s.min_quality,
       floor(extract(epoch from $1))::bigint as detected, extract(epoch from $1 - $2)::float8 as duration,
       o.positives, o.total
from ml.settings s,
     lateral (select sum(d.positives)::float8 as positives, sum(d.total)::float8 as total from ml_internal.outcome_days d
              where d.pattern_type = $3 and d.day < (date_trunc('day', $1 at time zone 'UTC') - s.history_lag)::date) o
"""
_BARS = """
select array_agg(extract(epoch from ts)::float8 order by ts) as ts, array_agg(open order by ts) as o,
       array_agg(high order by ts) as h, array_agg(low order by ts) as l, array_agg(close order by ts) as c,
       array_agg(coalesce(volume, 'NaN') order by ts) as v
from (select * from public.price_bars where symbol = $1 and timeframe = $2 and ts <= $3 order by ts desc limit 129) b
"""
_BENCHMARK = """
select array_agg(extract(epoch from ts)::float8 order by ts) as ts, array_agg(open order by ts) as o,
       array_agg(high order by ts) as h, array_agg(low order by ts) as l, array_agg(close order by ts) as c,
       array_agg(coalesce(volume, 'NaN') order by ts) as v
from public.price_bars where symbol = $1 and timeframe = $2 and ts >= to_timestamp($3) and ts <= to_timestamp($4)
"""


class Scorer:
    """The champion and the prepared statements of one backend."""

    def __init__(self, plpy: Any) -> None:
        self._plpy = plpy
        self._state = plpy.prepare(_STATE, ["timestamptz", "timestamptz", "text"])
        self._bars = plpy.prepare(_BARS, ["text", "text", "timestamptz"])
        self._benchmark = plpy.prepare(_BENCHMARK, ["text", "text", "float8", "float8"])
        self._model: int | None = None

    def score(self, row: dict[str, Any]) -> str | None:
        """Score a new row and blend its confidences; what a trigger function is to return."""
        state = self._plpy.execute(
            self._state, [row["detected_at"], row["started_at"] or row["detected_at"], row["pattern_type"]]
        )[0]
        if state["model"] != self._model:
            self._load(state["model"])
        inputs, seen = self._gather(row, state)
        if seen < self._min_bars:
            return None
        confidence, probabilities, features = self._session.run(
            ["ml_confidence", "probabilities", "features"], {name: inputs[name] for name in self._names}
        )
        if np.isfinite(features).mean() < state["min_quality"]:
            return None
        ml, rule = float(confidence[0]), row["rule_confidence"]
        blended = ml if rule is None else min(1.0, max(0.0, state["ml_weight"] * ml + state["rule_weight"] * rule))
        blends = state["enabled"] and (ml >= state["threshold"] or rule is None)
        row["ml_confidence"], row["blended_confidence"] = ml, blended
        row["confidence"] = blended if blends else rule
        row["prediction_class"] = ("negative", "neutral", "positive")[int(probabilities[0].argmax())]
        row["model_version"] = self._version
        row["scored_at"] = "now"
        row["ml_metadata"] = json.dumps(
            {"source": "blend" if blends else "rule", "reason": "scored" if blends else "below_threshold"}
        )
        return "MODIFY"

    def _load(self, model: int) -> None:
        import onnxruntime as ort

        found = self._plpy.execute(_MODEL.format(int(model)))[0]
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(found["onnx"], options, providers=["CPUExecutionProvider"])
        self._version, self._min_bars, self._names = found["version"], found["min_bars"], found["inputs"]
        self._model = model

    def _gather(self, row: dict[str, Any], state: dict[str, Any]) -> tuple[dict[str, Any], int]:
        own = self._plpy.execute(self._bars, [row["symbol"], row["timeframe"], row["detected_at"]])[0]
        ts, bars = _series(own)
        market = np.full((1, _WINDOW, 5), np.nan)
        if state["benchmark_symbol"] and len(ts):
            other = self._plpy.execute(
                self._benchmark, [state["benchmark_symbol"], row["timeframe"], float(ts[0]), float(ts[-1])]
            )[0]
            aligned = _align(*_series(other), ts)[-_WINDOW:]
            market[0, _WINDOW - len(aligned) :] = aligned
        window = np.full((1, _WINDOW, 5), np.nan)
        kept = bars[-_WINDOW:]
        window[0, _WINDOW - len(kept) :] = kept
        metadata = json.loads(row["metadata"] or "{}")
        context = metadata.get("market") if isinstance(metadata, dict) else None
        total = state["total"] or 0.0
        inputs = {
            "bars": window,
            "market_bars": market,
            "levels": np.array([[_number(row[name]) for name in _LEVELS]]),
            "rule_confidence": np.array([_number(row["rule_confidence"])]),
            "direction": np.array([float(row["direction"] or 0)]),
            "duration_s": np.array([math.nan if row["started_at"] is None else _number(state["duration"])]),
            "pattern_type": np.array([row["pattern_type"]], dtype=object),
            "timeframe": np.array([row["timeframe"]], dtype=object),
            "detected_at": np.array([state["detected"]], dtype=np.int64),
            "context": np.array([[_number((context or {}).get(name)) for name in _CONTEXT]]),
            "history": np.array([[state["positives"] / total if total else math.nan, total]]),
        }
        return inputs, len(kept)


def _series(found: dict[str, Any]) -> tuple[Any, Any]:
    if found["ts"] is None:
        return np.empty(0), np.empty((0, 5))
    return np.array(found["ts"]), np.array([found[name] for name in "ohlcv"]).T


def _align(ts: Any, bars: Any, own: Any) -> Any:
    """Beside each own bar the newest of the benchmark, unless that is older than the own bar before."""
    found = np.full((len(own), 5), np.nan)
    if len(ts):
        place = np.searchsorted(ts, own, side="right") - 1
        oldest = np.concatenate([own[:1], own[:-1]])
        good = (place >= 0) & (ts[np.maximum(place, 0)] >= oldest)
        found[good] = bars[place[good]]
    return found


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan
