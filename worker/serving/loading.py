"""Loading models: read from the registry, tried in a child, loaded here, checked against their golden rows.

What a worker with the same runtime has loaded before is not tried again. A worker that serves goes on serving
meanwhile: all but the reading is done in a thread.
"""

from __future__ import annotations

import logging
import platform
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import onnxruntime as ort
from psycopg.rows import class_row

from db_functions.children import dismiss_trial
from db_functions.contract import PARITY_TOLERANCE
from db_functions.database import Connection
from db_functions.errors import HostFault, InvalidModel, first_line
from db_functions.model import Model, Parity, load, run_plain_rows, verify
from db_functions.queries import query
from db_functions.sandbox import require_trial
from worker import __version__
from worker.log import event

logger = logging.getLogger(__name__)

RUNTIME: Final = f"worker {__version__}, onnxruntime {ort.__version__}, {platform.machine()}"
"""What may make a difference to how a model loads and answers, as parity checks name it."""
KEPT: Final = 3
"""Models that stay loaded, so that a rollback, or the promotion of a challenger, takes no time."""


@dataclass(frozen=True, slots=True)
class _ModelFile:
    """The row of ``model_file``."""

    version: str
    onnx: bytes
    sha256: str
    golden: bytes | None
    proven: bool
    """Whether a worker with this runtime has loaded it and compared its golden rows: then it needs no trial."""


class Loader:
    """Loads models over a caller's connection; ``beside``: in a thread, while the caller goes on.

    ``record``: how golden rows came out, for the gates.
    """

    def __init__(self, *, beside: bool = False, record: bool = True) -> None:
        self._beside, self._record = beside, record
        self._kept = OrderedDict[int, Model]()
        self._loading: dict[int, _Loading] = {}

    def is_loading(self, model_id: int | None) -> bool:
        return model_id in self._loading and not self.has_news(model_id)

    def has_news(self, model_id: int | None) -> bool:
        """Whether a model that was loading has loaded, or failed to."""
        loading = self._loading.get(model_id) if model_id is not None else None
        return loading is not None and not loading.thread.is_alive()

    def fetch(self, connection: Connection, model_id: int, *, wait: bool) -> Model | None:
        """A model; None while it loads, unless the caller waits.

        Raises InvalidModel whatever is wrong with it, or HostFault when this host is at fault.
        """
        if (model := self._kept.get(model_id)) is not None:
            self._kept.move_to_end(model_id)
            return model
        loading = self._loading.get(model_id)
        if loading is None:
            loading = self._loading[model_id] = _Loading(model_id, _read(connection, model_id))
        if wait or not self._beside:
            loading.thread.join()
        if loading.thread.is_alive():
            return None
        del self._loading[model_id]
        model = self._kept[model_id] = loading.result(connection, record=self._record)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return model


class _Loading:
    """A model on its way; its thread ends with a model or an error."""

    def __init__(self, model_id: int, file: _ModelFile) -> None:
        self._model_id, self._file = model_id, file
        self._outcome: tuple[Model, Parity | None] | InvalidModel
        self.thread = threading.Thread(target=self._run, name="loading", daemon=True)
        self.thread.start()

    def result(self, connection: Connection, *, record: bool) -> Model:
        """The model, once the thread has ended; notes its parity. Raises InvalidModel."""
        if isinstance(self._outcome, InvalidModel):
            raise self._outcome
        model, parity = self._outcome
        if parity is not None and record:
            _record_parity(connection, model, parity)
        _log_loaded(model, parity)
        return model

    def _run(self) -> None:
        file = self._file
        try:
            self._outcome = _try(self._model_id, file)
        except InvalidModel as error:
            self._outcome = error
        except OSError as error:
            self._outcome = HostFault(f"model {file.version} cannot be tried on this host: {first_line(error)}")
        except Exception as error:  # noqa: BLE001  # whatever a model raises is its fault; the caller logs it
            self._outcome = InvalidModel(f"model {file.version} does not load: {first_line(error)}")


def fetch(connection: Connection, model_id: int, *, record: bool = True) -> Model:
    """Load one model, and wait for it. Raises as :meth:`Loader.fetch` does."""
    model = Loader(record=record).fetch(connection, model_id, wait=True)
    assert model is not None
    return model


def _read(connection: Connection, model_id: int) -> _ModelFile:
    # In binary: as text a file of megabytes is twice as long, and takes time to decode.
    with connection.cursor(row_factory=class_row(_ModelFile), binary=True) as cursor:
        file = cursor.execute(query("model_file"), {"id": model_id, "runtime": RUNTIME}).fetchone()
    if file is None:
        raise InvalidModel(f"model {model_id} is not in the registry")
    return file


def _try(model_id: int, file: _ModelFile) -> tuple[Model, Parity | None]:
    if file.proven:
        dismiss_trial()
    else:
        require_trial(file.version, file.onnx, file.golden)
    model = load(model_id, file.version, file.onnx, file.sha256, file.golden)
    parity = verify(model)
    if parity is None:
        # The first run of a graph is slow, and may fail: no row should be claimed during it.
        run_plain_rows(model)
    return model, parity


def _log_loaded(model: Model, parity: Parity | None) -> None:
    off_by = parity.max_abs_diff if parity else None
    logger.info(
        "model %(model)s loaded: %(features)d features, %(golden)s",
        event(
            "model_loaded",
            model=model.version,
            features=model.feature_count,
            golden="no golden rows to replay" if off_by is None else f"golden rows off by {off_by:.3g}",
            golden_rows_off_by=off_by,
        ),
    )


def _record_parity(connection: Connection, model: Model, parity: Parity) -> None:
    """Tell the gates of ml.promote, which can run no model."""
    connection.execute(
        query("record_parity_once"),
        {
            "version": model.version,
            "max_abs_diff": parity.max_abs_diff,
            "tolerance": PARITY_TOLERANCE,
            "rows": parity.rows,
            "runtime": RUNTIME,
        },
    )
