"""Workers to test: in a thread, as a process of their own, and models that misbehave on one row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from db_functions.database import Connection
from db_functions.gather import Pattern, pattern_rows
from db_functions.queries import fetch_all
from tests.support import small_model
from worker.serving.listener import Signals
from worker.serving.loop import Options, run

ROOT = Path(__file__).parent.parent
SLOW = Options(poll_interval_s=60, heartbeat_s=60)
"""A worker that only a ring wakes."""
FAST = Options(poll_interval_s=0.02, heartbeat_s=0.1)


@contextmanager
def working(url: str, options: Options = FAST) -> Iterator[Signals]:
    """A worker in a thread, started and listening; what it raised is raised at the end."""
    signals, ready, errors = Signals(), threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            run(options, signals, url=url, ready=ready.set)
        except BaseException as error:  # noqa: BLE001  # raised again in the test's own thread
            errors.append(error)
            ready.set()

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    try:
        assert ready.wait(20), "the worker did not start"
        yield signals
    finally:
        signals.stop()
        thread.join(20)
        assert not thread.is_alive(), "the worker does not stop"
        if errors:
            raise errors[0]


@dataclass
class Process:
    """``python -m worker ...`` with what it has written to stderr so far."""

    process: subprocess.Popen[str]
    log: Path
    printed: str = field(default="")

    def stderr(self) -> str:
        return self.log.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged; as nobody's terminal it gets JSON, one object a line."""
        return [json.loads(line) for line in self.stderr().splitlines()]

    def stop(self, timeout_s: float = 20) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 20) -> int:
        self.printed, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode


@contextmanager
def process(url: str | None, *arguments: str, **environment: str) -> Iterator[Process]:
    """A command of the worker as users run it; killed at the end if it still runs."""
    env = {**os.environ, **environment}
    env.pop("DATABASE_URL", None)
    if url is not None:
        env["DATABASE_URL"] = url
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "stderr"
        with log.open("w") as stderr:
            started = subprocess.Popen(
                [sys.executable, "-m", "worker", *arguments],
                env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True,
            )  # fmt: skip
        try:
            yield Process(started, log)
        finally:
            _end(started)


def _end(started: subprocess.Popen[str]) -> None:
    """Kill a command that still runs, and the workers that it has started."""
    if started.poll() is None:
        started.send_signal(signal.SIGSTOP)  # or it would start others
        for pid in [*children(started.pid), started.pid]:
            os.kill(pid, signal.SIGKILL)
    started.communicate(timeout=20)


def children(pid: int) -> list[int]:
    """Process ids of what a process has started."""
    return [int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def patterns(connection: Connection, ids: Sequence[str] | None = None) -> list[Pattern]:
    """Rows as the worker reads them, in the order of ``ids`` when given."""
    every = [row[0] for row in connection.execute("select id::text from pattern_events").fetchall()]
    rows = fetch_all(connection, "backfill_page", pattern_rows, {"ids": every, "rescore": True})
    rows.sort(key=lambda pattern: pattern.id)
    found = {pattern.id: pattern for pattern in rows}
    return rows if ids is None else [found[pattern] for pattern in ids]


def poison_model(version: str, *, raises_at: float = 0.111, nan_at: float = 0.222) -> bytes:
    """The small model, but a row of rule confidence ``raises_at`` makes it raise, one of ``nan_at`` answers NaN."""
    model = onnx.load_from_string(small_model(version))
    graph = model.graph
    graph.input.append(helper.make_tensor_value_info("rule_confidence", TensorProto.DOUBLE, ["N"]))
    for name, value in {
        "raises_at": np.float64(raises_at),
        "nan_at": np.float64(nan_at),
        "far": np.int64(1_000),
        "table": np.zeros(1),
        "nan": np.float64(np.nan),
    }.items():
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    sigmoid = next(node for node in graph.node if node.op_type == "Sigmoid")
    sigmoid.input[0] = "poisoned"
    place = list(graph.node).index(sigmoid)
    nodes = [
        helper.make_node("Equal", ["rule_confidence", "raises_at"], ["is_raising"]),
        helper.make_node("Cast", ["is_raising"], ["as_number"], to=TensorProto.INT64),
        helper.make_node("Mul", ["as_number", "far"], ["index"]),
        # An index beyond the table is refused when the graph runs.
        helper.make_node("Gather", ["table", "index"], ["nothing"]),
        helper.make_node("Equal", ["rule_confidence", "nan_at"], ["is_nan"]),
        helper.make_node("Where", ["is_nan", "nan", "nothing"], ["extra"]),
        helper.make_node("Add", ["logit", "extra"], ["poisoned"]),
    ]
    for offset, node in enumerate(nodes):
        graph.node.insert(place + offset, node)
    data: bytes = model.SerializeToString()
    return data


def scored_true_to_the_champion(connection: Connection) -> bool:
    """Whether every score was made by the model that was champion at its moment, or is logged as a stand-in's."""
    row = connection.execute(
        "select count(*) from pattern_events p where scored_at is not null "
        "and model_version is distinct from ml.model_at('champion', scored_at) and not exists ("
        "select from ml.predictions d where d.pattern_id = p.id and d.role = 'standby' "
        "and d.model_id = (select m.id from ml.models m where m.version = p.model_version))"
    ).fetchone()
    assert row is not None
    return bool(row[0] == 0)


def count(connection: Connection, what: str) -> int:
    """``select count(*) from WHAT``."""
    row = connection.execute(f"select count(*) from {what}").fetchone()
    assert row is not None
    return int(row[0])
