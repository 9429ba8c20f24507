"""Several processes on one file, and processes that fork or are killed."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
from cache_world import fill, right, run

from openrouter_embed import SQLiteCache
from openrouter_embed.cache import handle

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes as POSIX has them")

HEAD = f"""
import os, random, sys, time, traceback
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
from cache_world import fill, read, right
from openrouter_embed import CacheError, SQLiteCache
cache = SQLiteCache(sys.argv[1])
"""


def start(code, *arguments):
    command = [sys.executable, "-c", HEAD + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def outputs(processes):
    texts = [process.communicate(timeout=100) for process in processes]
    for process, (_, errors) in zip(processes, texts, strict=True):
        assert process.returncode == 0, errors
    return [out for out, _ in texts]


BOTH = """
number = int(sys.argv[2])
rng = random.Random(number)
written = []
for round in range(12):
    mine = range(number * 10_000 + round * 40, number * 10_000 + round * 40 + 40)
    shared = range(90_000 + round * 40, 90_000 + round * 40 + 40)
    fill(cache, mine); written += mine
    fill(cache, shared)
    assert right(cache, written) == set(written)
    right(cache, rng.sample(range(100_000), 300))
print(len(written))
"""


@pytest.mark.slow
def test_four_processes_write_and_read_one_file_at_once(path):
    """No error, no wrong vector, no lost row; the file is new to all four."""
    done = outputs([start(BOTH, path, number) for number in range(4)])
    assert [int(out) for out in done] == [480] * 4
    with SQLiteCache(path) as cache:
        names = [number * 10_000 + at for number in range(4) for at in range(480)]
        names += range(90_000, 90_480)
        assert right(cache, names) == set(names)
        assert cache.stats().vectors == len(names)


@pytest.mark.slow
def test_new_files_are_opened_by_four_at_once_again_and_again(tmp_path):
    code = """
for number in range(40):
    while time.time() < float(sys.argv[2]) + number * 0.15:
        pass
    cache = SQLiteCache(f"{sys.argv[1]}.{number}")
    fill(cache, range(5)); assert right(cache, range(5)) == set(range(5))
    cache.close()
"""
    begin = time.time() + 1.5
    outputs([start(code, tmp_path / "new", begin) for _ in range(4)])


KILLED = """
at = int(sys.argv[2])
while True:
    fill(cache, range(at, at + 30))
    at += 30
    os.write(1, b"%d\\n" % at)
"""


@pytest.mark.parametrize("trial", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_what_was_written_before_a_kill_is_there(path, trial):
    begin = trial * 1_000_000
    process = start(KILLED, path, begin)
    time.sleep(0.6 + 0.21 * trial)
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    told = int(out.split()[-1]) if out.split() else begin
    with SQLiteCache(path) as cache:
        assert right(cache, range(begin, told)) == set(range(begin, told))
        right(cache, range(told, told + 60))
        fill(cache, range(5))
        assert right(cache, range(5)) == set(range(5))


FORKS = """
import threading
stop = threading.Event()
lost = []
def write():
    at = 0
    while not stop.is_set():
        fill(cache, range(at, at + 50)); at += 50
    lost.append(set(range(at)) - right(cache, range(at)))
def read_on():
    while not stop.is_set():
        right(cache, range(0, 5000, 7))
fill(cache, range(50))
threads = [threading.Thread(target=write), threading.Thread(target=read_on)]
for thread in threads: thread.start()
children = []
for number in range(16):
    time.sleep(0.02)
    child = os.fork()
    if child == 0:
        try:
            base = 1_000_000 + number * 1000
            assert right(cache, range(50)) == set(range(50))
            fill(cache, range(base, base + 100))
            assert right(cache, range(base, base + 100)) == set(range(base, base + 100))
            own = SQLiteCache(sys.argv[1])
            assert len(right(own, range(base, base + 100))) == 100
            cache.close(); own.close()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    children.append(child)
until = time.monotonic() + 60
failed = 0
for child in children:
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            failed += status != 0
            break
        if time.monotonic() > until:
            failed += 1
            os.kill(child, 9); os.waitpid(child, 0)
            break
        time.sleep(0.01)
stop.set()
for thread in threads: thread.join()
print(failed, len(lost[0]))
names = [1_000_000 + n * 1000 + at for n in range(16) for at in range(100)]
print(len(set(names) - right(cache, names)))
cache.close()
"""


@pytest.mark.slow
def test_sixteen_children_of_forks_in_the_middle_of_writes_all_work(path):
    (out,) = outputs([start(FORKS, path)])
    assert out.split() == ["0", "0", "0"]
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - the log is gone as well


def test_a_fork_that_cannot_wait_leaves_the_child_without_the_file(path):
    """A thread that never lets go of the file keeps neither parent nor child."""
    code = """
from openrouter_embed.cache import handle
handle.FORK_PATIENCE = 0.1
import threading
fill(cache, range(5))
held, done = threading.Event(), threading.Event()
def hold():
    with cache._writer._lock:
        held.set(); done.wait()
threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    try:
        fill(cache, range(5, 9))
    except CacheError as error:
        os._exit(17 if error.trouble == "locked" else 1)
    os._exit(2)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
done.set()
fill(cache, range(5, 9))
print(len(right(cache, range(9))))
"""
    (out,) = outputs([start(code, path)])
    assert out.split() == ["17", "9"]


def test_threads_that_fork_at_once_let_go_of_what_is_theirs(path, monkeypatch):
    """One that let go of what the other had just taken would leave it locked for ever."""
    taken, over, errors = threading.Event(), threading.Event(), []

    class Watched(handle.Handle):
        def after_fork_in_parent(self):
            super().after_fork_in_parent()
            if threading.current_thread() is not second:
                taken.wait(0.3)

    def take():
        taken.set()
        over.wait(10)

    def fork(then):
        try:
            handle._before_fork()
            then()
            handle._after_fork_in_parent()
        except RuntimeError as error:
            errors.append(error)

    watched = Watched(str(path), read_only=False)
    monkeypatch.setattr(handle, "_HANDLES", {watched})
    second = threading.Thread(target=fork, args=(take,))
    fork(second.start)
    over.set()
    second.join(10)
    assert errors == []
    assert watched._lock.acquire(blocking=False)


def test_a_child_uses_the_cache_of_its_parent(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(5))
        child = os.fork()
        if child == 0:
            fill(cache, range(5, 10))
            os._exit(0 if right(cache, range(10)) == set(range(10)) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert right(cache, range(10)) == set(range(10))


def test_threads_of_one_process_and_another_process_together(path):
    other = start("for at in range(2000, 3000, 25): fill(cache, range(at, at + 25))", path)
    with SQLiteCache(path) as cache:
        threads = [
            threading.Thread(target=lambda n=n: fill(cache, range(n * 500, n * 500 + 500)))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outputs([other])
        assert right(cache, range(3000)) == set(range(3000))


def test_an_interpreter_that_ends_without_closing_leaves_a_whole_file(path):
    done = run(HEAD + "fill(cache, range(100))", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
