"""The figures of each section, made of its raw numbers: tables of text cells, and the numbers that sentences quote.

One function a section. Each returns what ``bench/templates/SECTION.md.jinja`` names; nothing here is prose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from bench import asking, busy, claims, drain, engines, growth, inference, inserts, latency, questions, starting, views
from bench.results import Results

Figures = dict[str, Any]


def number(value: float) -> str:
    """Three significant digits, thousands by comma; a dash for NaN."""
    if math.isnan(value):
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def cell(results: Results, subject: str, case: object, metric: str) -> str:
    """The median, with the least and the greatest when there are several."""
    values = results.values(subject, case, metric)
    middle = number(results.median(subject, case, metric))
    return f"{middle} ({number(min(values))}–{number(max(values))})" if len(values) > 1 else middle


def _quotient(value: float, base: float) -> str:
    return "–" if math.isnan(value / base) else f"{value / base:.2f}"


def _latency(results: Results) -> Figures:
    rates = [f"{rate}/s" for rate in latency.RATES]
    networks = list(latency.NETWORKS.values())

    def p99(subject: str, rate: str) -> str:
        scored = results.median(subject, rate, "scored of inserted")
        return cell(results, subject, rate, "p99 ms") + (f", {scored:.0%} scored" if scored <= 0.95 else "")

    table = [
        [subject, *(text for rate in rates for text in (cell(results, subject, rate, "p50 ms"), p99(subject, rate)))]
        for subject in results.subjects()
    ]
    p50 = {subject: results.median(subject, "50/s", "p50 ms") for subject in results.subjects()}
    return {
        "head": ["", *(f"{rate} {quantile}" for rate in rates for quantile in ("p50", "p99"))],
        "table": table,
        "sooner": min((p50[s] for s in p50 if s not in (latency.OURS, latency.BARE)), default=math.nan)
        / p50[latency.OURS],
        "times_bare": p50[latency.OURS] / p50.get(latency.BARE, math.nan),
        "networks": [
            [subject, *(cell(results, subject, case, f"{q} ms") for case in networks for q in ("p50", "p99"))]
            for subject in results.subjects()
            if not math.isnan(results.median(subject, networks[-1], "p50 ms"))
        ],
        "networks_head": ["", *(f"{case} {quantile}" for case in networks for quantile in ("p50", "p99"))],
        "p50": p50[latency.OURS],
        "p99": results.median(latency.OURS, "50/s", "p99 ms"),
    }


def _drain(results: Results) -> Figures:
    ours = [subject for subject in results.subjects() if subject.startswith("ours")]
    peers = [subject for subject in results.subjects() if not subject.startswith(("ours", "one engine"))]
    kinds = [(s, case, f"{s}, series {case}") for s in ours for case in ("cold", "warm")]
    kinds += [(peer, "waiting rows", f"{peer}, 1 process") for peer in peers]
    best = max((results.median(peer, "waiting rows", "rows/s") for peer in peers), default=math.nan)
    waiting = int(results.median("one engine", "before the drain", "rows waiting"))

    def part_us(part: str) -> float:
        return results.median("one engine", part, "us/row")

    return {
        "table": [
            [label, cell(results, subject, case, "rows/s"), number(results.median(subject, case, "rows/s") / best)]
            for subject, case, label in kinds
        ],
        "parts": [
            [part, cell(results, "one engine", part, "us/row"), f"{part_us(part) / part_us('whole'):.0%}"]
            for part in ("claim", "gather", "inference", "write", "the rest", "whole")
        ],
        "server": [
            results.median("one engine", case, "CPU us/row of the server") for case in ("a row alone", "batches of 256")
        ],
        "waiting": waiting,
        "series": drain.series_of(waiting),
        "cold": results.median("ours, 2 processes", "cold", "rows/s"),
        "warm": results.median("ours, 2 processes", "warm", "rows/s"),
        "times_best": results.median("ours, 2 processes", "warm", "rows/s") / best,
        "times_needed": part_us("whole") / (part_us("inference") + part_us("write")),
    }


def _inserts(results: Results) -> Figures:
    many = inserts.SINGLE.format(32, "s")

    def of(subject: str, base: str, case: str) -> float:
        return results.median(subject, case, "rows/s") / results.median(base, case, "rows/s")

    return {
        "head": ["", *results.cases()],
        "table": _with_ratios(
            results, results.subjects(), results.cases(), "rows/s", lambda _, case: (inserts.BARE, case)
        ),
        "of_bare": of(inserts.AWAKE, inserts.BARE, many),
        "of_notify": of(inserts.AWAKE, inserts.NOTIFY, many),
        "bulk": of(inserts.AWAKE, inserts.BARE, inserts.BULK),
    }


def _with_ratios(
    results: Results,
    subjects: Iterable[str],
    cases: Sequence[str],
    metric: str,
    base: Callable[[str, str], tuple[str, str]],
) -> list[list[str]]:
    """A row a subject: the ratio to what ``base`` names, then the figure."""
    return [
        [
            subject,
            *(
                f"{_quotient(results.median(subject, case, metric), results.median(*base(subject, case), metric))}: "
                f"{cell(results, subject, case, metric)}"
                for case in cases
            ),
        ]
        for subject in subjects
    ]


def _inference(results: Results) -> Figures:
    def times(subject: str, batch: int) -> float:
        return results.median(subject, batch, "ms") / results.median(inference.GRAPH, batch, "ms")

    return {
        "head": ["", *(f"{batch:,} row{'s' if batch > 1 else ''}" for batch in inference.BATCHES)],
        "table": [
            [subject, *(cell(results, subject, batch, "ms") for batch in inference.BATCHES)]
            for subject in results.subjects()
        ],
        "one": times(inference.SKLEARN, 1),
        "many": times(inference.SKLEARN, 1_024),
        "all_cores": times(inference.ALL_CORES, 1),
    }


def _claims(results: Results) -> Figures:
    cases = [case for case in results.cases() if "waiting" in case]
    subjects = [subject for subject in results.subjects() if subject != "doorbell"]
    return {
        "head": ["", *cases],
        "table": _with_ratios(results, subjects, cases, "no-op rows/s", lambda subject, _: (subject, cases[0])),
        "rate": claims.RATE,
        "share": results.median("doorbell", f"{claims.RATE}/s", "share of commits that ring"),
    }


def _storage(results: Results) -> Figures:
    rows = results.cases()[0]
    return {
        "rows": int(rows),
        "share": results.median("first scores", rows, "heap-only share"),
        "bytes": results.median("first scores", rows, "bytes a row"),
    }


def _growth(results: Results) -> Figures:
    kinds = {"backlog": "rows waiting", "table": "scored rows in the table"}
    rates = {kind: [results.median(kind, size, "rows/s") for size in results.sizes(kind)] for kind in kinds}
    one = results.median("workers", 1, "rows/s")
    table = [
        [f"{size:,} {label}", cell(results, kind, size, "rows/s"), _quotient(rate, rates[kind][0])]
        for kind, label in kinds.items()
        for size, rate in zip(results.sizes(kind), rates[kind], strict=True)
    ]
    for n in growth.WORKERS:
        ratio = _quotient(results.median("workers", n, "rows/s"), one)
        table.append([f"{n} worker{'s' if n > 1 else ''}", cell(results, "workers", n, "rows/s"), ratio])
    return {
        "table": table,
        "flat": {kind: min(found) / max(found) for kind, found in rates.items() if found},
        "two": results.median("workers", 2, "rows/s") / one,
        "largest": _largest(results),
        **_by_series(results),
    }


def _largest(results: Results) -> Figures | None:
    sizes = results.sizes("table")
    names = {"patterns": "GB of patterns", "bars": "GB of bars", "count": "bars", "fill": "s to fill",
             "asked": "rows asked for"}  # fmt: skip
    return {name: results.median("table", sizes[-1], metric) for name, metric in names.items()} if sizes else None


def _by_series(results: Results) -> Figures:
    def kept(case: str, size: int) -> float:
        return results.median(f"series {case}", size, "share kept")

    sizes = results.sizes("series warm")
    missed = [size for size in sizes if kept("warm", size) < 0.99]
    warm = [results.median("series warm", size, "rows/s") for size in sizes]
    return {
        "series": [
            [
                f"{size:,}",
                *(
                    f"{cell(results, f'series {case}', size, 'rows/s')}, {kept(case, size):.0%} kept"
                    for case in ("cold", "warm")
                ),
            ]
            for size in sizes
        ],
        "fewest": sizes[0] if sizes else 0,
        "missed": {"series": missed[-1], "kept": kept("warm", missed[-1]), "rate": warm[-1] / warm[0]}
        if missed
        else None,
    }


def _backfill(results: Results) -> Figures:
    rows = int(results.cases()[0])
    return {
        "rows": rows,
        "rate": cell(results, "backfill", rows, "rows/s"),
        "hours": 1e8 / results.median("backfill", rows, "rows/s") / 3600,
        "half": results.median("backfill", rows, "MB at half"),
        "most": results.median("backfill", rows, "MB at most"),
    }


def _engines(results: Results) -> Figures:
    rows = results.cases()[0]
    rate = {name: results.median(name, rows, "rows/s") for name in engines.ENGINES}
    ledger = results.median("the ledger", rows, "us/row")
    return {
        "rows": int(rows),
        "table": [
            [name, cell(results, name, rows, "rows/s"), cell(results, name, rows, "rows/s, start included")]
            for name in engines.ENGINES
        ],
        "two": rate["processes, 2"] / rate["processes, 1"],
        "dask": rate["Dask, 2"] / rate["processes, 2"],
        "ledger": ledger,
        "share": ledger * rate["one process"] / 1e6,
        "live": [
            [name, cell(results, name, rows, "p50 ms"), cell(results, name, rows, "p99 ms")]
            for name in (engines.ALONE, engines.BESIDE)
        ],
        "live_p99": results.median(engines.BESIDE, rows, "p99 ms"),
    }


def _stages(results: Results) -> Figures:
    rows, names = results.cases()[0], results.subjects()
    trained = [name for name in names if not name.startswith("label")]
    return {
        "rows": int(rows),
        "seconds": sum(results.median(name, rows, "s") for name in trained),
        "most": max(results.median(name, rows, "MB at most") for name in trained),
        "table": [[name, cell(results, name, rows, "s"), cell(results, name, rows, "MB at most")] for name in names],
    }


def _views(results: Results) -> Figures:
    case, names = results.cases()[0], results.subjects()
    return {
        "predictions": int(case),
        "days": views.DAYS,
        "limit": views.LIMIT_MS,
        "table": [[f"`{name}`", cell(results, name, case, "ms")] for name in names],
        "slow": [name for name in names if results.median(name, case, "ms") >= views.LIMIT_MS],
        "scanned": [name for name in names if results.median(name, case, "partitions of predictions scanned")],
    }


def _questions(results: Results) -> Figures:
    case, names = results.cases()[0], results.subjects()
    return {
        "rows": int(case),
        "limit": questions.LIMIT_MS,
        "table": [
            [f"`{name}`", cell(results, name, case, "ms"), cell(results, name, case, "server ms")] for name in names
        ],
        "slow": [name for name in names if results.median(name, case, "server ms") >= questions.LIMIT_MS],
    }


def _asking(results: Results) -> Figures:
    case = results.cases()[0]
    return {
        "per_s": asking.PER_S,
        "limit": 50.0,
        "surface": results.median(asking.SURFACE, case, "p50 ms"),
        "beside": results.median(asking.BESIDE, case, "p99 ms") / results.median(asking.ALONE, case, "p99 ms"),
        "table": [[name, *(cell(results, name, case, f"p{q} ms") for q in (50, 99))] for name in results.subjects()],
    }


def _busy(results: Results) -> Figures:
    cases = results.cases()
    return {
        "series": busy.SERIES,
        "bars": busy.BARS_PER_S,
        "patterns": busy.PATTERNS_PER_S,
        "limit": busy.LIMIT_MS,
        "seconds": sum(results.median(busy.OURS, case, "seconds") for case in cases),
        "p99": max(results.median(busy.OURS, case, "p99 ms") for case in cases),
        "grown": results.median(busy.OURS, cases[-1], "MB") / results.median(busy.OURS, cases[0], "MB"),
        "table": [
            [case, *(cell(results, busy.OURS, case, metric) for metric in ("p50 ms", "p99 ms", "bars/s", "MB"))]
            for case in cases
        ],
    }


def _starting(results: Results) -> Figures:
    starts = (starting.FIRST, starting.AGAIN, starting.IMPORTS)
    swap = f"{starting.PER_S}/s"
    return {
        "per_s": starting.PER_S,
        "again": results.median(starting.AGAIN, "quiet", "s"),
        "ratio": results.median(starting.AGAIN, "quiet", "s") / results.median(starting.IMPORTS, "quiet", "s"),
        "starts": [[name, cell(results, name, "quiet", "s")] for name in starts],
        "swap": results.median(starting.SWAP, swap, "ms at most"),
        "waits": [[name, cell(results, name, swap, "ms at most")] for name in (starting.STEADY, starting.SWAP)],
    }


FIGURES: Final[Mapping[str, Callable[[Results], Figures]]] = {
    "latency": _latency,
    "drain": _drain,
    "inserts": _inserts,
    "inference": _inference,
    "claims": _claims,
    "storage": _storage,
    "growth": _growth,
    "backfill": _backfill,
    "engines": _engines,
    "stages": _stages,
    "views": _views,
    "questions": _questions,
    "asking": _asking,
    "busy": _busy,
    "starting": _starting,
}
