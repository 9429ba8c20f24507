"""A file that cannot be used: never a wrong vector, never a loss, and a sentence that helps."""

from __future__ import annotations

import contextlib
import os
import pathlib
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import pytest
from cache_world import WIDTH, fill, key, keys, names_in, read, right, run, vector

from openrouter_embed import CacheError, SQLiteCache
from openrouter_embed.cache import handle, layout

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="rights, mounts and limits of POSIX"
)


@pytest.fixture
def impatient(monkeypatch):
    """Wait for locks a moment only."""
    monkeypatch.setattr(handle, "open_file", lambda p, **o: layout.open_file(p, patience=0.2, **o))


def trouble(do):
    with pytest.raises(CacheError) as caught:
        do()
    error = caught.value
    while error is not None:
        assert not isinstance(error, sqlite3.Error), "no frame of SQLite's travels with it"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return caught.value


# ---------------------------------------------------------------------- files of others


def foreign_database(path):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
        connection.execute("INSERT INTO notes VALUES ('mine')")


def marked_database(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 77")


FOREIGN = {
    "a text": lambda path: path.write_text("Dear diary, " * 500),
    "some bytes": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "somebody's database": foreign_database,
    "somebody's empty database": marked_database,
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_none_of_ours_is_left_as_it_is(path, make, read_only):
    make(path)
    before = path.read_bytes()
    with SQLiteCache(path, read_only=read_only) as cache:
        assert trouble(lambda: cache.get([key(1)])).trouble == "foreign"
        error = trouble(lambda: fill(cache, range(3)))
        assert "left alone" in error.message
        assert str(path) in error.message
    assert path.read_bytes() == before
    assert names_in(path.parent) == [path.name]


def test_an_empty_file_is_begun(path):
    path.touch()
    with SQLiteCache(path) as cache:
        fill(cache, range(3))
        assert right(cache, range(3)) == {0, 1, 2}


def test_a_later_versions_file_is_left_as_it_is(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(3))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with SQLiteCache(path) as cache:
        error = trouble(lambda: cache.get([key(1)]))
    assert error.trouble == "later"
    assert "upgrade" in error.message
    assert path.read_bytes() == before


def test_a_torn_head_cannot_be_told_as_ours_and_is_left_as_it_is(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(3))
    with path.open("r+b") as file:
        file.write(b"\0" * 512)
    before = path.read_bytes()
    with SQLiteCache(path) as cache:
        assert trouble(lambda: cache.get([key(1)])).trouble == "foreign"
    assert path.read_bytes() == before


# ---------------------------------------------------------------------- damage


def test_a_truncated_file_is_set_aside_and_a_new_one_begun(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(2000))
    os.truncate(path, path.stat().st_size // 2 // 8192 * 8192)
    torn = path.read_bytes()
    with SQLiteCache(path) as cache:
        names = range(2000)
        with contextlib.suppress(CacheError):
            right(cache, names)
            fill(cache, names)
            right(cache, names)
        fill(cache, names)
        assert right(cache, names) == set(names)
    aside = [name for name in names_in(path.parent) if "damaged" in name]
    assert len(aside) == 1
    assert (path.parent / aside[0]).stat().st_size >= len(torn)


def test_the_message_names_the_file_that_was_set_aside(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(2000))
    with path.open("r+b") as file:  # every page but the first
        file.seek(8192)
        file.write(os.urandom(path.stat().st_size - 8192))
    with SQLiteCache(path) as cache:
        error = trouble(lambda: read(cache, range(2000)))
        (aside,) = [name for name in names_in(path.parent) if "damaged" in name]
        assert error.trouble == "damaged"
        assert aside in error.message
        fill(cache, range(10))
        assert right(cache, range(10)) == set(range(10))


def test_a_damaged_file_that_is_only_read_keeps_its_name(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(2000))
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(path.stat().st_size - 8192))
    with SQLiteCache(path, read_only=True) as cache:
        assert trouble(lambda: read(cache, range(2000))).trouble == "damaged"
    assert path.exists()
    assert not [name for name in names_in(path.parent) if "damaged" in name]


PLACES = [*range(6), *(pytest.param(trial, marks=pytest.mark.slow) for trial in range(6, 40))]


@pytest.mark.parametrize("trial", PLACES)
def test_random_bytes_anywhere_give_no_wrong_vector_and_what_is_bought_again_is_kept(path, trial):
    rng = np.random.default_rng(trial)
    names = range(400)
    with SQLiteCache(path) as cache:
        fill(cache, names, width=384)
    place = int(rng.integers(0, path.stat().st_size - 4096))
    with path.open("r+b") as file:
        file.seek(place)
        file.write(rng.bytes(4096))
    with SQLiteCache(path) as cache:
        for _ in range(3):  # a damaged file may be found out when it is read, or written, or never
            try:
                there = right(cache, names, width=384)
                fill(cache, set(names) - there, width=384)
                assert right(cache, names, width=384) == set(names)
                break
            except CacheError as error:
                if error.trouble == "foreign" and place < 100:
                    break  # a torn head makes it nobody's
                if error.trouble != "damaged":
                    raise
        else:
            pytest.fail("a file that was set aside must be replaced by one that works")


def test_a_vector_that_changed_is_absent_and_bought_again(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(128), width=1536)
    data = bytearray(path.read_bytes())
    middle = data.find(right_bytes(70))
    assert middle > 0
    data[middle + 100] ^= 1
    path.write_bytes(data)
    with SQLiteCache(path) as cache:
        assert right(cache, range(128), width=1536) == set(range(128)) - {70}
        fill(cache, [70], width=1536)
        assert right(cache, range(128), width=1536) == set(range(128))


def right_bytes(name):
    return vector(name, 1536).tobytes()[:1000]


def test_an_entry_that_leads_to_another_vector_is_not_believed(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(128))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entry SET place = 256 + 3")
    with SQLiteCache(path) as cache:
        assert right(cache, range(128)) == {3}
        fill(cache, range(128))
        assert right(cache, range(128)) == set(range(128))


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE pack SET width = NULL",
        "UPDATE pack SET width = 'wide'",
        "UPDATE pack SET keys = 5",
        "UPDATE pack SET sums = x''",
        "UPDATE pack SET data = NULL",
        "UPDATE pack SET data = zeroblob(length(data))",
        "UPDATE entry SET place = -1",
        "UPDATE entry SET place = x'00'",
        "UPDATE entry SET place = 9000000000000000000",
        "UPDATE entry SET place = 256 + 200",
        "UPDATE used SET at = 'never'",
        "UPDATE pack SET host = x'ff'",
        "DELETE FROM pack",
        "DELETE FROM used",
    ],
)
@pytest.mark.parametrize("replace", [False, True])
def test_rows_that_hold_anything_are_survived(path, harm, replace):
    with SQLiteCache(path) as cache:
        fill(cache, range(70))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(harm)
    with SQLiteCache(path, max_bytes=10**9, max_age=1e6) as cache:
        if not replace:
            right(cache, range(70))
        fill(cache, range(70), replace=replace)
        assert right(cache, range(70)) == set(range(70))
        cache.stats()
        cache.clear()


def test_a_file_deleted_while_it_is_open_is_begun_anew(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(10))
        path.unlink()
        assert right(cache, range(10)) == set()
        fill(cache, range(5))
        assert right(cache, range(10)) == set(range(5))
    assert path.exists()


def test_a_file_replaced_while_it_is_open_gives_no_wrong_vector(path):
    """Its log stays where it is, so SQLite may mix the two: what is damaged so is set aside."""
    other = path.with_name("other")
    with SQLiteCache(other) as cache:
        fill(cache, range(1000, 2000))
    with SQLiteCache(path) as cache:
        fill(cache, range(10))
        other.replace(path)
        for _ in range(3):
            with contextlib.suppress(CacheError):
                fill(cache, set(range(2000)) - right(cache, range(2000)))
        assert right(cache, range(2000)) == set(range(2000))


# ---------------------------------------------------------------------- locks


def test_readers_go_on_while_the_file_is_locked_and_writers_are_told(path, impatient):
    with SQLiteCache(path) as cache:
        fill(cache, range(10))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert right(cache, range(10)) == set(range(10))
            error = trouble(lambda: fill(cache, range(10, 12)))
            assert error.trouble == "locked"
            assert "locked by another program" in error.message
        fill(cache, range(10, 12))
        assert right(cache, range(12)) == set(range(12))


def test_a_file_that_is_locked_whole_is_told(path, impatient):
    with SQLiteCache(path) as cache:
        fill(cache, range(10))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with SQLiteCache(path) as cache:
            assert trouble(lambda: read(cache, range(10))).trouble == "locked"
            other.execute("ROLLBACK")
            other.close()
            assert right(cache, range(10)) == set(range(10))


def test_a_lock_that_is_let_go_of_in_time_is_waited_for(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(10))
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, lambda: (other.execute("ROLLBACK"), other.close()))
        timer.start()
        fill(cache, range(10, 20))
        timer.join()
        assert right(cache, range(20)) == set(range(20))


# ---------------------------------------------------------------------- rights


AS_NOBODY = """
import sys
sys.path.insert(0, {tests!r})
from cache_world import fill, right, vector
from openrouter_embed import CacheError, SQLiteCache
import os
vector(0)  # loads what nobody may not
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
"""


@pytest.fixture
def open_folder():
    """A folder that others may look into, as pytest's own are not."""
    folder = pathlib.Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def as_nobody(code, *arguments):
    done = run(AS_NOBODY.format(tests=str(pathlib.Path(__file__).parent)) + code, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def closed_file(folder):
    path = folder / "embeddings.sqlite"
    with SQLiteCache(path) as cache:
        fill(cache, range(10))
    path.chmod(0o644)
    return path


READ_AND_WRITE = """
cache = SQLiteCache(sys.argv[1])
try:
    print(len(right(cache, range(10))))
except CacheError as error:
    print(error.trouble)
try:
    fill(cache, range(10, 12))
except CacheError as error:
    print(error.trouble)
"""


def test_a_folder_that_cannot_be_written_to_is_read(open_folder):
    path = closed_file(open_folder)
    open_folder.chmod(0o555)
    found, told = as_nobody(READ_AND_WRITE, path)
    assert found == "10"
    assert told in ("read_only", "unopened")


def test_a_folder_that_cannot_be_written_to_is_read_by_a_cache_that_only_reads(open_folder):
    path = closed_file(open_folder)
    open_folder.chmod(0o555)
    code = "print(len(right(SQLiteCache(sys.argv[1], read_only=True), range(10))))"
    assert as_nobody(code, path) == ["10"]


def test_a_log_left_behind_in_such_a_folder_is_not_overlooked(open_folder):
    """What is in the log is missing from the file, which may even be half written."""
    path = open_folder / "embeddings.sqlite"
    run(
        f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})\n"
        "import os; from cache_world import fill; from openrouter_embed import SQLiteCache\n"
        "cache = SQLiteCache(sys.argv[1]); fill(cache, range(10)); os._exit(0)",
        path,
    )
    assert pathlib.Path(f"{path}-wal").stat().st_size
    pathlib.Path(f"{path}-shm").unlink()
    open_folder.chmod(0o555)
    found, told = as_nobody(READ_AND_WRITE, path)
    assert found in ("unopened", "read_only")
    assert told in ("unopened", "read_only")


# ---------------------------------------------------------------------- no room


def test_a_limit_on_the_size_of_files_is_told_and_what_is_there_stays(path):
    code = f"""
import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
import resource, signal
from cache_world import fill, right
from openrouter_embed import CacheError, SQLiteCache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
cache = SQLiteCache(sys.argv[1])
fill(cache, range(100))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
try:
    fill(cache, range(100, 5000))
    print("wrote")
except CacheError as error:
    print(error.trouble)
print(len(right(cache, range(5000))))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
fill(cache, range(5000))
print(len(right(cache, range(5000))))
"""
    done = run(code, path)
    assert done.returncode == 0, done.stderr
    told, left, after = done.stdout.split()
    assert told in ("failing", "full")
    assert 100 <= int(left) < 5000
    assert after == "5000"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(command, capture_output=True, check=False)
    if not mounted or mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_told_what_is_there_stays_and_writing_goes_on_when_there_is_room(small_disk):
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 400_000)
    with SQLiteCache(small_disk / "embeddings.sqlite") as cache:
        fill(cache, range(100))
        error = trouble(lambda: fill(cache, range(100, 5000)))
        assert error.trouble == "full"
        assert "make room" in error.message
        there = right(cache, range(5000))
        assert set(range(100)) <= there
        ballast.unlink()
        fill(cache, range(5000, 5100))
        assert right(cache, range(5100)) >= there | set(range(5000, 5100))
    with SQLiteCache(small_disk / "embeddings.sqlite") as cache:
        assert right(cache, range(5100)) >= there


# ---------------------------------------------------------------------- time


def test_a_hundred_vectors_take_no_lock_for_long(path):
    with SQLiteCache(path) as cache:
        start = time.monotonic()
        fill(cache, range(100))
        assert time.monotonic() - start < 5
        assert read(cache, range(100))[7].shape == (WIDTH,)
        assert len(keys(range(100))) == 100
