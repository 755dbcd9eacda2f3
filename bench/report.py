"""``docs/benchmarks.md`` from the raw numbers: ratios first, medians with their spread, plots where they say more."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import backend, claims, drain, growth, inference, inserts, latency, models, shadow, views
from bench.harness import SETTINGS, Results, read_runs

DOCUMENT: Final = Path("docs/benchmarks.md")
PLOTS: Final = Path("docs/benchmarks")
_HEAD: Final = """# Benchmarks

```sh
make bench
python -m bench --only drain,latency --scale 0.2 --repeats 1
python -m bench --report
```

Written by `python -m bench` from the raw numbers in [bench/results](../bench/results). Every figure is the median of
its repeats on one machine in one run, least and greatest in brackets; contenders take turns. Absolute figures are of
this machine; ratios travel further, so they stand first. What is slower than we want is said under each table.

"""
_METHOD: Final = """## Method

Each section starts from a copy of one database: thirteen years of real daily bars of five stocks and an index of them,
4,500 real candlestick patterns, and as champion the full ensemble trained on them (300 trees, logistic, boosting; 112
features). The server is the embedded PostgreSQL 18 (Debian's 15 where a section says so), alone on its socket, with
{settings};
everything else, `fsync` and `synchronous_commit` included, is as it comes. Server, workers, clients and peers share the same cores. Peers get the
same row and the same task: gather, infer and write by the worker's own code, series kept in memory, one row a job. So
what is compared is the queue. `bench/tasks.py` and `bench/peers.py` show how they are set up.

"""


def write() -> None:
    """The document and its plots; a section that was never measured is left out, and named."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"svg.hashsalt": "bench", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    found = {name: Results.read(name) for name in PARTS}
    missing = [name for name, results in found.items() if not results.rows]
    text = _HEAD + _METHOD.format(settings=", ".join(f"`{name} = {value}`" for name, value in SETTINGS.items()))
    text += "\n".join(PARTS[name](results) for name, results in found.items() if results.rows)
    if missing:
        text += f"\nNot measured here: {', '.join(f'`{name}`' for name in missing)}.\n"
    DOCUMENT.write_text(text + "\n" + _LEARNED + "\n" + _runs(), encoding="utf-8")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def number(value: float) -> str:
    """Three significant digits, thousands by comma; a dash for what was not measured."""
    if math.isnan(value):
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cell(results: Results, subject: str, case: object, metric: str) -> str:
    values = results.values(subject, case, metric)
    if not values:
        return "–"
    middle = number(results.median(subject, case, metric))
    return f"{middle} ({number(min(values))}–{number(max(values))})" if len(values) > 1 else middle


def _ratio(results: Results, subject: str, base: str, case: object, metric: str) -> str:
    ratio = results.median(subject, case, metric) / results.median(base, case, metric)
    return "–" if math.isnan(ratio) else f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def _by_size(axes: Axes, label: str) -> None:
    """Sizes in powers along the x axis, rates from zero along the y axis."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda size, _: f"{size:,.0f}")
    axes.yaxis.set_major_formatter(lambda rate, _: f"{rate:,.0f}")
    axes.set_xlabel(label)
    axes.set_ylabel("rows/s")
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
    axes.legend(frameon=False)


def _plot(name: str, title: str, width: float = 6.4) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_label(name)
    return figure, axes


def _save(figure: Figure, axes: Axes) -> str:
    name = str(axes.get_label())
    figure.savefig(PLOTS / f"{name}.svg", metadata={"Date": None})
    return f"![{axes.get_title(loc='left')}](benchmarks/{name}.svg)\n"


def _bars(name: str, title: str, values: dict[str, float], unit: str, *, log: bool = False) -> str:
    known = {label: value for label, value in values.items() if not math.isnan(value)}
    figure, axes = _plot(name, title)
    labels = list(known)[::-1]
    colours = ["#1f5fa8" if label.startswith(("ours", "the whole")) else "#9aa5b1" for label in labels]
    drawn = axes.barh(labels, [known[label] for label in labels], color=colours)
    axes.bar_label(drawn, [f" {number(known[label])}" for label in labels], fontsize=8)
    axes.set_xlabel(unit)
    if log:
        axes.set_xscale("log")
    axes.margins(x=0.12)
    return _save(figure, axes)


def _latency(results: Results) -> str:
    cases = [f"{rate}/s" for rate in latency.RATES]
    subjects = results.subjects()
    rows = []
    for subject in subjects:
        cells = [subject]
        for case in cases:
            kept_up = results.median(subject, case, "scored of inserted")
            cells.append(_cell(results, subject, case, "p50 ms"))
            cells.append(
                _cell(results, subject, case, "p99 ms") + ("" if kept_up > 0.95 else f", {kept_up:.0%} scored")
            )
        rows.append(cells)
    best = min(
        (results.median(subject, "50/s", "p50 ms") for subject in subjects if subject != latency.OURS), default=math.nan
    )
    ours = results.median(latency.OURS, "50/s", "p50 ms")
    text = (
        f"## From insert to score\n\n{best / ours:.1f} times sooner than the best of the others at 50 rows a second "
        f"(p50). From the begin of the inserting transaction to the commit of the one that wrote the score, so two "
        f"commits are in it; milliseconds.\n\n"
        + _table(["", *(f"{case} {q}" for case in cases for q in ("p50", "p99"))], rows)
        + "\n"
        + _bars(
            "latency",
            "Insert to score, p50 at 50 rows a second, ms",
            {subject: results.median(subject, "50/s", "p50 ms") for subject in subjects},
            "ms, logarithmic",
            log=True,
        )
    )
    wanted = "met" if ours <= 5 and results.median(latency.OURS, "50/s", "p99 ms") <= 15 else "not met"
    return text + (
        f"\nWanted: p50 of 5 ms and p99 of 15 ms at 50 rows a second ({wanted}), below the service level of 75 ms at 500. "
        "A single row finds cold caches: one graph of some 830 nodes takes 0.5 ms in a tight loop and 1.5 ms after a "
        "pause. The model called in the backend has a section of its own, since the embedded server has no PL/Python.\n"
    )


def _backend(results: Results) -> str:
    head = "## The model called in the backend\n\n"
    if not results.median(backend.BACKEND, "here", "installed"):
        return (
            head
            + "PL/Python is not installed here (`postgresql-plpython3-15`, of the same Python), so nothing was measured.\n"
        )
    cases = [f"{rate}/s" for rate in backend.RATES]
    metrics = ("insert to score p50 ms", "insert to score p99 ms", "statement p50 ms", "statement p99 ms", "rows/s reached",
               "first statement ms", "MB a connection")  # fmt: skip
    rows = [
        [f"{subject}, {case}", *(_cell(results, subject, case, metric) for metric in metrics)]
        for case in cases
        for subject in (backend.OURS, backend.BACKEND)
    ]
    statement = [results.median(subject, "50/s", "statement p50 ms") for subject in (backend.BACKEND, backend.OURS)]
    memory = [results.median(subject, "50/s", "MB a connection") for subject in (backend.BACKEND, backend.OURS)]
    reached = results.median(backend.BACKEND, "500/s", "rows/s reached")
    loaded = results.median(backend.BACKEND, "50/s", "first statement ms")
    alone = [results.median(subject, "1/s", "insert to score p50 ms") for subject in (backend.BACKEND, backend.OURS)]
    sooner = alone[0] < alone[1]
    return (
        head
        + f"The application's INSERT takes {statement[0] / statement[1]:.1f} times as long when a PL/Python trigger scores the "
        f"row in it ({number(statement[0])} against {number(statement[1])} ms, p50 at 50 rows a second); the row then has its "
        f"score when it commits. Debian's PostgreSQL 15, the same settings. The trigger gathers by SPI, keeps session and "
        f"plans in the backend, and gives the worker's scores: the largest difference over {backend.COMPARED} rows is "
        f"{results.median(backend.BACKEND, 'scores', 'largest difference'):.1g}. Milliseconds, and megabytes that a "
        "backend shares with nobody; one connection inserts, four at 500 rows a second.\n\n"
        + _table(
            ["", "to score p50", "p99", "statement p50", "p99", "rows/s reached", "first statement", "MB a connection"],
            rows,
        )
        + f"\nThe trade: with the trigger nothing runs beside the database, and a lone row has its score "
        f"{'sooner' if sooner else 'no sooner'}. For that every "
        f"connection that inserts holds a Python, a runtime and a model ({number(memory[0])} MB instead of "
        f"{number(memory[1])}: {number((memory[0] - memory[1]) / 10)} GB more for a hundred), its first INSERT waits for them to load "
        f"({number(loaded)} ms), an untrusted language and a superuser are needed, a model that raises or hangs does so in "
        f"the application's transaction, rows are scored one at a time (at 500 rows a second it reached {number(reached)}), and "
        "there is no shadow, canary or probation. The trigger here also does less: it keeps no prediction with its "
        f"features, and counts nothing for health or drift. One worker takes "
        f"{number(results.median(backend.OURS, '50/s', 'MB of the worker'))} MB for all of them.\n"
    )


def _drain(results: Results) -> str:
    ours = [subject for subject in results.subjects() if subject.startswith("ours")]
    peers = [subject for subject in results.subjects() if not subject.startswith(("ours", "one engine"))]
    best = max((results.median(peer, "waiting rows", "rows/s") for peer in peers), default=math.nan)
    two = results.median("ours, 2 processes", "warm", "rows/s")
    rows = [
        [
            f"{subject}, series {case}",
            _cell(results, subject, case, "rows/s"),
            f"{results.median(subject, case, 'rows/s') / best:.0f}",
        ]
        for subject in ours
        for case in ("cold", "warm")
    ]
    rows += [[f"{peer}, 1 process", _cell(results, peer, "waiting rows", "rows/s"),
              f"{results.median(peer, 'waiting rows', 'rows/s') / best:.2f}"] for peer in peers]  # fmt: skip
    parts = ("claim", "gather", "inference", "write", "the rest")
    waiting = int(results.median("one engine", "before the drain", "rows waiting"))
    whole = results.median("one engine", "whole", "us/row")
    needed = sum(results.median("one engine", part, "us/row") for part in ("inference", "write"))
    budget = [[part, _cell(results, "one engine", part, "us/row"),
               f"{results.median('one engine', part, 'us/row') / whole:.0%}"] for part in (*parts, "whole")]  # fmt: skip
    return (
        f"## Draining a backlog\n\n{two / best:.0f} times the best queue peer with two processes; one engine takes "
        f"{whole / needed:.2f} times what inference and write alone take. {waiting:,} waiting rows of {drain.series_of(waiting):,} "
        f"series: cold, no worker has seen one; warm, all are kept.\n\n"
        + _table(["", "rows/s", "times the best peer"], rows)
        + "\n"
        + _bars(
            "drain",
            "Draining, rows a second",
            {
                **{
                    f"{subject}, {case}": results.median(subject, case, "rows/s")
                    for subject in ours
                    for case in ("cold", "warm")
                },
                **{peer: results.median(peer, "waiting rows", "rows/s") for peer in peers},
            },
            "rows/s",
        )
        + "\nWhere the time of a row goes, one engine, warm, batches of 256:\n\n"
        + _table(["part", "µs a row", "share"], budget)
        + f"\nWanted: 8,000 rows a second warm ({_met(two, 8_000)}) and 4,000 cold "
        f"({_met(results.median('ours, 2 processes', 'cold', 'rows/s'), 4_000)}) on two cores, ten times the best peer "
        f"({_met(two / best, 10)}), within 1.5 of inference and write ({_met(1.5, whole / needed)}). A worker and its "
        "backend take turns, so one process keeps one core busy and two keep two.\n"
    )


def _met(value: float, wanted: float) -> str:
    return "met" if value >= wanted else "not met"


def _inserts(results: Results) -> str:
    cases = results.cases()
    rows = [
        [
            subject,
            *(
                f"{_ratio(results, subject, inserts.BARE, case, 'rows/s')}: {_cell(results, subject, case, 'rows/s')}"
                for case in cases
            ),
        ]
        for subject in results.subjects()
    ]
    many = inserts.SINGLE.format(32, "s")
    of_bare = results.median(inserts.AWAKE, many, "rows/s") / results.median(inserts.BARE, many, "rows/s")
    of_notify = results.median(inserts.AWAKE, many, "rows/s") / results.median(inserts.NOTIFY, many, "rows/s")
    bulk = results.median(inserts.AWAKE, inserts.BULK, "rows/s") / results.median(inserts.BARE, inserts.BULK, "rows/s")
    return (
        f"## What an insert costs\n\nWith 32 clients {of_bare:.2f} of the bare table's rate and {of_notify:.1f} times that "
        f"of a plain NOTIFY trigger, while a worker is awake; {bulk:.2f} of bare for 1,000-row statements. Ratio to the "
        "bare table (the same table and indexes, every trigger off), then rows a second, by pgbench. The peers' "
        "enqueueing is their own statement, in the same statement as the insert.\n\n"
        + _table(["", *cases], rows)
        + "\n"
        + _bars(
            "inserts",
            "Single-row inserts by 32 clients, rows a second",
            {subject: results.median(subject, many, "rows/s") for subject in results.subjects()},
            "rows/s",
        )
        + f"\nWanted: half of bare ({_met(of_bare, 0.5)}) and twice the plain NOTIFY ({_met(of_notify, 2)}) at 32 clients, "
        f"0.7 of bare in bulk ({_met(bulk, 0.7)}). The row of a worker scoring on the same cores is not overhead of the "
        "insert: inference takes its share of two cores.\n"
    )


def _inference(results: Results) -> str:
    rows = [
        [subject, *(_cell(results, subject, batch, "ms") for batch in inference.BATCHES)]
        for subject in results.subjects()
    ]
    one, many = (
        results.median(inference.SKLEARN, batch, "ms") / results.median(inference.GRAPH, batch, "ms")
        for batch in (1, 1_024)
    )
    all_cores = results.median(inference.ALL_CORES, 1, "ms") / results.median(inference.GRAPH, 1, "ms")
    return (
        f"## One graph beside the libraries it came from\n\n{one:,.0f} times scikit-learn's `predict_proba` for a single "
        f"row on one thread, although the graph computes the features too, and {all_cores:,.0f} times the same with "
        f"`n_jobs = -1`; {many:.1f} times at 1,024 rows, where features are more than half of the graph. Milliseconds a call.\n\n"
        + _table(["", *(f"{batch:,} row{'s' if batch > 1 else ''}" for batch in inference.BATCHES)], rows)
        + f"\nWanted: 300 times at a single row ({_met(all_cores, 300)}): the forest's votes cost scikit-learn little once it starts "
        "no threads for them.\n"
    )


def _claims(results: Results) -> str:
    queues = [subject for subject in results.subjects() if subject != "doorbell"]
    cases = [case for case in results.cases() if "waiting" in case]
    rows = [
        [
            subject,
            *(
                f"{_ratio_to_first(results, subject, cases, case)}: {_cell(results, subject, case, 'no-op rows/s')}"
                for case in cases
            ),
        ]
        for subject in queues
    ]
    share = results.median("doorbell", f"{claims.RATE}/s", "share of commits that ring")
    return (
        "## Claims and the doorbell\n\nRatio to the queue's own shallow rate, then rows a second; no model, nothing to "
        f"score. At {claims.RATE:,} inserts a second {share:.1%} of the commits ring.\n\n" + _table(["", *cases], rows)
    )


def _ratio_to_first(results: Results, subject: str, cases: Sequence[str], case: str) -> str:
    first = results.median(subject, cases[0], "no-op rows/s")
    return f"{results.median(subject, case, 'no-op rows/s') / first:.2f}"


def _storage(results: Results) -> str:
    rows = next(case for subject, case, *_ in results.rows if subject == "first scores")
    share = results.median("first scores", rows, "heap-only share")
    with_, without = (results.median(subject, rows, "rows/s") for subject in ("with counts", "without counts"))
    return (
        f"## Layout, and what the counts cost\n\n{share:.0%} of first scores are heap-only updates (wanted: 90 %, "
        f"{_met(share, 0.9)}), by `pg_stat_user_tables`. The counts behind health, drift and performance take "
        f"{1 - with_ / without:.0%} of a drain (wanted: at most 10 %, {_met(0.1, 1 - with_ / without)}), one engine with "
        "them and without in turn.\n\n"
        + _table(
            ["", "rows/s"],
            [[subject, _cell(results, subject, rows, "rows/s")] for subject in ("with counts", "without counts")],
        )
        + (f"\n{int(rows):,} rows each.\n")
        + _indexes(results)
    )


def _indexes(results: Results) -> str:
    names = sorted({subject for subject, case, *_ in results.rows if case == "index"})
    if not names:
        return ""

    def of(name: str, metric: str) -> float:
        return results.median(name, "index", metric)

    unread = [name for name in names if not of(name, "scans") and not of(name, "scans at least")]
    idle = [name for name in unread if not of(name, "enforces")]
    keys = [name for name in unread if of(name, "enforces")]
    # Where rows are many, an index costs something; names of the others say enough.
    large = [name for name in names if not math.isnan(of(name, "bytes a row"))]
    rows = [
        [
            f"`{name.split('.', 1)[1] if name.startswith('ml.') else name}`",
            "yes" if of(name, "enforces") else "",
            number(of(name, "bytes a row")),
            number(of(name, "scans")),
            number(of(name, "scans at least")),
        ]
        for name in large
    ]
    return (
        "\n### Indexes\n\n"
        + (f"No reader: {_named(idle)}" if idle else "No index that is not a key goes unread")
        + f" (wanted: none, {_met(0, len(idle))}), of {len(names)} on `pattern_events` and its history and in schema `ml`, after an application's "
        "inserts and reads, a drain with a challenger, a dead letter, labels, every task of upkeep, backfill, replay, explanations, "
        "a blend anew and every view. Scans as the planner chose on tables of this size, and again with sequential scans "
        "forbidden, which is nearer to a large table; the tables with a thousand rows or more here.\n\n"
        + _table(["index", "key", "bytes a row", "scans", "scans, no sequential ones"], rows)
        + (f"\nKeys that enforce and identify, and are not read: {_named(keys)}.\n" if keys else "")
    )


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"`{name.split('.')[-1]}`" for name in names)


def _growth(results: Results) -> str:
    rows: list[list[str]] = []
    figure, axes = _plot("growth", "Rows a second, one engine, by size")
    said = [
        text
        for subject, label in (("backlog", "rows waiting"), ("table", "scored rows in the table"))
        if (text := _flat(results, subject, label, axes, rows))
    ]
    one = results.median("workers", 1, "rows/s")
    rows += [[f"{n} worker{'s' if n > 1 else ''}", _cell(results, "workers", n, "rows/s"),
              f"{results.median('workers', n, 'rows/s') / one:.2f}"] for n in growth.WORKERS]  # fmt: skip
    _by_size(axes, "rows")
    two = results.median("workers", 2, "rows/s") / one
    return (
        "## Growth\n\nOne engine, the ratio to the first row of its kind. The rows measured are always of few series; the "
        "table holds them in as many series as make two bars a row.\n\n"
        + _table(["", "rows/s", "ratio"], rows)
        + "\n"
        + _save(figure, axes)
        + f"\nWanted: flat within 20 % {', '.join(said)}; linear to the cores by workers (two: {two:.2f} of 2, "
        f"{_met(two, 1.8)}; server and workers share the cores).{_table_sizes(results)}\n" + _by_series(results)
    )


def _flat(results: Results, subject: str, label: str, axes: Axes, rows: list[list[str]]) -> str:
    """Its line in the plot, its rows of the table, and whether it is flat; nothing where it was not measured."""
    sizes = results.sizes(subject)
    if not sizes:
        return ""
    rates = [results.median(subject, size, "rows/s") for size in sizes]
    axes.plot(sizes, rates, marker="o", label=label)
    rows += [[f"{size:,} {label}", _cell(results, subject, size, "rows/s"), f"{rate / rates[0]:.2f}"]
             for size, rate in zip(sizes, rates, strict=True)]  # fmt: skip
    return f"by {subject} ({_met(min(rates) / max(rates), 0.8)}: {min(rates) / max(rates):.2f} from the fastest to the slowest)"


def _table_sizes(results: Results) -> str:
    """How large the largest table was, and that it was less than asked for, if so."""
    sizes = results.sizes("table")
    if not sizes:
        return ""
    largest = sizes[-1]
    patterns, bars, count, filling = (
        number(results.median("table", largest, metric))
        for metric in ("GB of patterns", "GB of bars", "bars", "s to fill")
    )
    asked = results.median("table", largest, "rows asked for")
    return (
        f" The largest table takes {patterns} GB with its indexes, and its {count} bars {bars} GB; filling takes {filling} s."
        + ("" if math.isnan(asked) else f" **{number(asked)} rows were asked for: the disk had no room for them.**")
    )


def _by_series(results: Results) -> str:
    sizes = results.sizes("series warm")
    if not sizes:
        return ""
    rates = {case: [results.median(f"series {case}", size, "rows/s") for size in sizes] for case in ("cold", "warm")}
    figure, axes = _plot("series", "Rows a second, one engine, by number of series")
    for case, label in (("cold", "no series seen before"), ("warm", "the same series again")):
        axes.plot(sizes, rates[case], marker="o", label=label)
    _by_size(axes, "series")
    rows = [
        [
            f"{size:,}",
            *(
                f"{_cell(results, f'series {case}', size, 'rows/s')}, {results.median(f'series {case}', size, 'share kept'):.0%} kept"
                for case in ("cold", "warm")
            ),
        ]
        for size in sizes
    ]
    missed = [size for size in sizes if results.median("series warm", size, "share kept") < 0.99]
    return (
        "\n### By number of series\n\nRows fall on series in no order, 200 bars each; with thousands, almost every row "
        "of a batch is of another series. *Kept*: how often a series was in memory when a batch asked for it.\n\n"
        + _table(["series", "first time", "again"], rows)
        + "\n"
        + _save(figure, axes)
        + "\nA worker keeps two million bars, some 9,000 series of this length"
        + (
            f". Beyond that it forgets what was used longest ago and reads it again: at {missed[-1]:,} series "
            f"{results.median('series warm', missed[-1], 'share kept'):.0%} were in memory, and the rate is "
            f"{results.median('series warm', missed[-1], 'rows/s') / rates['warm'][0]:.2f} of that with {sizes[0]} series.\n"
            if missed
            else "; no size here reaches it.\n"
        )
    )


def _models(results: Results) -> str:
    head = [
        "",
        "MB",
        "nodes",
        *(f"ms, {batch} row{'s' if batch > 1 else ''}" for batch in models.BATCHES),
        "rows/s of a drain",
    ]
    rows = [
        [
            f"{size:,} {kind}",
            _cell(results, kind, size, "MB of the file"),
            _cell(results, kind, size, "nodes"),
            *(_cell(results, kind, size, f"ms a call of {batch}") for batch in models.BATCHES),
            _cell(results, kind, size, "rows/s"),
        ]
        for kind in ("trees", "features")
        for size in results.sizes(kind)
    ]
    figure, axes = _plot("models", "Rows a second, one engine, by the model's size")
    for kind in ("trees", "features"):
        sizes = results.sizes(kind)
        axes.plot(sizes, [results.median(kind, size, "rows/s") for size in sizes], marker="o", label=kind)
    _by_size(axes, "trees, features")
    return (
        "## Growth of the model\n\n"
        + " ".join(_growth_of(results, kind) for kind in ("trees", "features"))
        + " Each model is trained whole: the forest of the ensemble with so many trees (boosting and logistic as they are) on "
        "all features, or the whole ensemble of 300 trees on features taken evenly out of the list, whose graph then "
        "computes no others. Nodes are those of the file, before the runtime optimises it.\n\n"
        + _table(head, rows)
        + "\n"
        + _save(figure, axes)
    )


def _shadow(results: Results) -> str:
    alone = results.median("challengers", 0, "rows/s")
    rows = [
        [
            str(number),
            _cell(results, "challengers", number, "rows/s"),
            f"{alone / results.median('challengers', number, 'rows/s'):.2f}",
        ]
        for number in shadow.NUMBERS
    ]
    one = results.median("challengers", 1, "rows/s")
    waiting = int(results.median("challengers", "each", "rows waiting"))
    return (
        f"## Challengers\n\nWith one challenger a drain takes {alone / one:.2f} times as long as "
        f"with none. {waiting:,} waiting rows, one engine, warm, by turns; each challenger is the champion's own file under another "
        "name and scores every row.\n\n" + _table(["challengers", "rows/s", "times as long"], rows)
    )


def _growth_of(results: Results, kind: str) -> str:
    sizes = results.sizes(kind)
    least, most = sizes[0], sizes[-1]
    batch = f"ms a call of {models.BATCHES[-1]}"
    cost = results.median(kind, most, batch) / results.median(kind, least, batch)
    rate = results.median(kind, most, "rows/s") / results.median(kind, least, "rows/s")
    return (
        f"{number(most / least)} times the {kind} make a call of {models.BATCHES[-1]} rows cost {cost:.1f} times as much, "
        f"and drain at {rate:.2f} of the rate."
    )


def _backfill(results: Results) -> str:
    rows = int(results.cases()[0])
    rate = results.median("backfill", rows, "rows/s")
    most, half = (results.median("backfill", rows, f"MB at {when}") for when in ("most", "half"))
    return (
        f"## Backfill\n\n{rows:,} rows of 200 series by one `python -m worker backfill`, its start included: "
        f"{_cell(results, 'backfill', rows, 'rows/s')} rows a second; at that rate a hundred million take "
        f"{1e8 / rate / 3600:.1f} hours. {number(half)} MB resident at half, {number(most)} MB at most "
        f"(wanted: flat, {_met(1.1, most / half)}).\n"
    )


def _starts(results: Results) -> str:
    return (
        f"## Starts and swaps\n\nFrom `python -m worker run` to its first score: "
        f"{_cell(results, 'cold start', 'first score', 's')} s, most of it imports, and the model's trial run in a process "
        f"of its own. While the champion is swapped under 50 rows a second, the longest wait of any row is "
        f"{_cell(results, 'swap of the champion', '50/s', 'longest wait ms')} ms: the worker tries the new one in another process and "
        "loads it before it claims another row.\n"
    )


def _stages(results: Results) -> str:
    rows = results.cases()[0]
    names = results.subjects()
    return (
        f"## Training\n\n{int(rows):,} labelled rows to a registered model, {number(sum(results.median(name, rows, 's') for name in names if not name.startswith('label')))} s; "
        f"{number(max(results.median(name, rows, 'MB at most') for name in names[1:]))} MB at most.\n\n"
        + _table(
            ["stage", "s", "MB at most by then"],
            [[name, _cell(results, name, rows, "s"), _cell(results, name, rows, "MB at most")] for name in names],
        )
        + "\nThe rows are of the real market and of copies with a wave of their own laid over their prices. Fitting uses "
        "all cores, and fits the ensemble once for each fold of the calibration and once for good.\n"
    )


def _history(results: Results) -> str:
    case = results.cases()[0]
    slow = [name for name in results.subjects() if results.median(name, case, "ms") >= views.LIMIT_MS]
    scanned = [name for name in results.subjects() if results.median(name, case, "partitions of predictions scanned")]
    rows = [[f"`{name}`", _cell(results, name, case, "ms")] for name in results.subjects()]
    return (
        f"## Views over half a year\n\nWarm, whole, with {int(case):,} predictions over {views.DAYS} days behind them; "
        f"`python -m bench.views` takes ten million. Wanted: under {views.LIMIT_MS:g} ms each ("
        + (f"slower: {', '.join(f'`{name}`' for name in slow)}" if slow else "met")
        + "), and no scan of predictions ("
        + (f"scanned by {', '.join(f'`{name}`' for name in scanned)}" if scanned else "met")
        + ").\n\n"
        + _table(["view", "ms"], rows)
    )


PARTS: Final[Mapping[str, Callable[[Results], str]]] = {
    "latency": _latency,
    "drain": _drain,
    "backend": _backend,
    "inserts": _inserts,
    "inference": _inference,
    "claims": _claims,
    "storage": _storage,
    "growth": _growth,
    "models": _models,
    "shadow": _shadow,
    "backfill": _backfill,
    "starts": _starts,
    "stages": _stages,
    "history": _history,
}
"""Each makes a part of the document of a section's numbers."""

_LEARNED: Final = """## What paid, and what did not

| tried | result |
|---|---|
| windows, alignment and history by series instead of by row | gathering 33 to 11 µs a row |
| ids, moments, hashes and confidences as binary arrays | 23 to 0.4 µs a row to make the parameters |
| the worker's commit does not wait for the disk | the COMMIT of a live row took 0.8 ms or more of its 5 to 7; a drain is the same |
| no foreign key from predictions to models | 5 µs a row less in the database, and no shared lock on one row of `ml.models` |
| rows that were skipped by EXCEPT instead of NOT EXISTS | 6 µs a row less in the database |
| `fillfactor` 30 instead of 50 | all first scores heap-only instead of 47 %; the scored table a quarter smaller |
| one generic plan a session for every statement of a worker | the server planned each write anew: 2.1 to 1.3 ms of its CPU a row claimed alone of 40,000; of a live row's p50 at 50 a second nothing that can be told |
| settings and claim in one statement, scores and tally in another | five trips for a row to three: 1.3 to 0.8 ms of the server's CPU, likewise |
| ONNX Runtime without arena, memory pattern or reuse; basic optimisation only | nothing, or slower |
| an optimised model kept beside the registered one | nothing: optimising takes 0.1 s at load, once |
| writing a batch while the next is inferred | not built: two processes already keep two cores busy |
"""


def _runs() -> str:
    runs = read_runs()
    if not runs:
        return ""
    rows = [[r["section"], r["at"], r["commit"], r["scale"], r["repeats"], r["took_s"], r["load_before"]] for r in runs]
    return (
        "## Where and when\n\n"
        + "\n".join(f"- {text}" for text in dict.fromkeys(text for r in runs for text in (r["machine"], r["versions"])))
        + "\n\n"
        + _table(["section", "UTC", "commit", "scale", "repeats", "seconds", "load before"], rows)
        + "\nThe load is what the section before left, and any other work on the same cores.\n"
    )
