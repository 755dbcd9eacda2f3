"""README's five commands in a shell, as written, from an empty folder to a scored row."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.test_docs import steps

INSTALL = "make env && . .venv/bin/activate"
"""Done before: whoever runs this test has that environment."""


@pytest.mark.slow
def test_from_a_clone_to_a_scored_row(tmp_path: Path) -> None:
    shown = steps((ROOT / "README.md").read_text())
    commands = next(step.text for step in shown if step.kind == "sh" and "pattern-scoring" in step.text).splitlines()
    inserted, read = (step.text for step in shown if step.kind == "sql" and "pattern_events" in step.text)
    assert commands[0] == INSTALL
    assert len(commands) == 5
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    if shutil.which("pattern-scoring", path=environment["PATH"]) is None:
        pytest.fail("pattern-scoring is not installed: run make env")
    shell = subprocess.Popen(
        ["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        cwd=tmp_path, env=environment, text=True, process_group=0,
    )  # fmt: skip
    assert shell.stdin is not None
    try:
        shell.stdin.write("\n".join(["set -e", *commands[1:4], f"{commands[4]} <<'END'", inserted, "END"]) + "\n")
        for _ in range(20):
            shell.stdin.write(f"sleep 0.5\n{commands[4]} -f - <<'END'\n{read}\nEND\n")
        shell.stdin.write("kill %1; wait\n")
        said, _ = shell.communicate(timeout=180)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
            time.sleep(0.1)
    assert shell.returncode == 0, said
    assert re.search(r"0\.230 \| +0\.64 \| +0\.230 \| scored", said), said
