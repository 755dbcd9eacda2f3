"""Every view of schema ``ml`` over half a year of scores, by ``bench.views``."""

from __future__ import annotations

from typing import Final

from bench import views
from bench.harness import Bench, Recorder

PREDICTIONS: Final = 1_000_000


def measure(_bench: Bench, recorder: Recorder) -> None:
    predictions = recorder.scaled(PREDICTIONS)
    for measured in views.run(predictions):
        recorder.note(measured.view, predictions, "ms", measured.milliseconds)
        recorder.note(measured.view, predictions, "partitions of predictions scanned", len(measured.scans))
