"""A few rows through ``python -m tests.faults.cluster``, which is meant for a million."""

from __future__ import annotations

import pytest

from tests.faults import cluster

pytestmark = pytest.mark.slow


def test_a_backfill_and_a_replay(capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster.main(["--rows", "10000", "--kill-every", "3"]) == 0
    assert "every row is right" in capsys.readouterr().out


def test_what_differs_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    found = cluster.Found()
    found.check("rows", 9, 10)
    assert found.wrong == ["rows: 9 instead of 10"]
    assert "rows" in capsys.readouterr().out
