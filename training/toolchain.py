"""The versions that a model was made with."""

from __future__ import annotations

import contextlib
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Final

_PACKAGES: Final = ("numpy", "scikit-learn", "scipy", "skl2onnx", "onnx", "onnxruntime", "spox", "ndonnx", "protobuf")
_OPTIONAL_PACKAGES: Final = ("onnxmltools", "xgboost", "xgboost-cpu", "lightgbm")


def toolchain_versions() -> dict[str, str]:
    """Python and the packages that had a part in the file."""
    versions = {"python": platform.python_version(), **{name: installed(name) for name in _PACKAGES}}
    for name in _OPTIONAL_PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = installed(name)
    return versions
