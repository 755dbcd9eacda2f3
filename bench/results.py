"""The raw numbers: one CSV file a section, and one file that says when and where each section was measured."""

from __future__ import annotations

import csv
import os
import platform
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

SECTIONS: Final = (
    "latency",
    "drain",
    "inserts",
    "inference",
    "claims",
    "storage",
    "growth",
    "backfill",
    "engines",
    "stages",
    "views",
    "questions",
    "asking",
    "busy",
    "starting",
)
"""In the order of the document; each is a module of this package with a function ``measure``."""
RESULTS: Final = Path("bench/results")
_LIBRARIES: Final = ("psycopg", "onnxruntime", "numpy", "scikit-learn", "procrastinate", "pgqueuer")


class Number(NamedTuple):
    """One measured value, for example ``("ours", "50/s", "p50 ms", 0, 7.2)``."""

    subject: str
    case: str
    metric: str
    repeat: int
    value: float


@dataclass(frozen=True, slots=True)
class Run:
    """When, where and how a section was measured."""

    section: str
    at: str
    commit: str
    scale: str
    repeats: str
    took_s: str
    load_before: str
    machine: str
    versions: str


@dataclass
class Recorder:
    """Collects the numbers of one section; :meth:`save` writes them."""

    section: str
    scale: float = 1.0
    repeats: int = 3
    numbers: list[Number] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _load: float = field(default_factory=lambda: os.getloadavg()[0])

    def note(self, subject: str, case: object, metric: str, value: float, repeat: int = 0) -> None:
        self.numbers.append(Number(subject, str(case), metric, repeat, float(value)))
        print(f"  {self.section}: {subject}, {case}: {value:,.4g} {metric}", flush=True)

    @property
    def few(self) -> int:
        """Repeats of a measurement that takes minutes."""
        return max(1, self.repeats - 2)

    def scaled(self, number: int) -> int:
        return max(1, round(number * self.scale))

    def save(self) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        with (RESULTS / f"{self.section}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(Number._fields)
            writer.writerows(number._replace(value=f"{number.value:.6g}") for number in self.numbers)  # type: ignore[arg-type]
        runs = [run for run in read_runs() if run.section != self.section] + [self._run()]
        with (RESULTS / "runs.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, [column.name for column in fields(Run)], lineterminator="\n")
            table.writeheader()
            table.writerows(asdict(run) for run in sorted(runs, key=lambda run: run.section))

    def _run(self) -> Run:
        return Run(
            section=self.section,
            at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
            commit=_commit(),
            scale=f"{self.scale:g}",
            repeats=str(self.repeats),
            took_s=f"{time.monotonic() - self._began:.0f}",
            load_before=f"{self._load:.2f}",
            machine=_machine(),
            versions=", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
        )


@dataclass(frozen=True)
class Results:
    """The numbers of one section; empty when it was never measured."""

    numbers: list[Number]

    @classmethod
    def read(cls, section: str) -> Results:
        file = RESULTS / f"{section}.csv"
        if not file.exists():
            return cls([])
        with file.open(newline="") as lines:
            return cls(
                [Number(r["subject"], r["case"], r["metric"], int(r["repeat"]), float(r["value"]))
                 for r in csv.DictReader(lines)]
            )  # fmt: skip

    def subjects(self) -> list[str]:
        return list(dict.fromkeys(number.subject for number in self.numbers))

    def cases(self) -> list[str]:
        return list(dict.fromkeys(number.case for number in self.numbers))

    def sizes(self, subject: str) -> list[int]:
        """The cases of a subject whose cases are numbers, ascending."""
        return sorted({int(number.case) for number in self.numbers if number.subject == subject})

    def values(self, subject: str, case: object, metric: str) -> list[float]:
        return [number.value for number in self.numbers if number[:3] == (subject, str(case), metric)]

    def median(self, subject: str, case: object, metric: str) -> float:
        """NaN when it was not measured."""
        values = self.values(subject, case, metric)
        return statistics.median(values) if values else float("nan")


def read_runs() -> list[Run]:
    file = RESULTS / "runs.csv"
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return [Run(**row) for row in csv.DictReader(lines)]


def _machine() -> str:
    """Processor, cores, memory, system."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, Linux {platform.release().split('-')[0]}"


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
