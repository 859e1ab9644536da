"""Ray on this machine: results, retries, memory, and what a killed run leaves."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.core.errors import exit_code_of
from pipeline.core.ray_cluster import WorkerError, open_ray
from pipeline.core.ray_tasks import ONE_THREAD, TASKS_PER_CORE
from pipeline.corpora.manifest import ClipRecord, record_of, write_manifest
from pipeline.corpora.storage import OutageError
from pipeline.preprocess import build as build_module
from pipeline.preprocess import shard, workers
from pipeline.preprocess.plan import ShardResult, ShardTask, plan_shards
from pipeline.preprocess.shard import PackedShard, process_shard
from pipeline.preprocess.workers import run_tasks
from tests.support.builds import build, contents

pytestmark = pytest.mark.slow


def tasks_of(num_tasks: int) -> list[ShardTask]:
    return plan_shards([ClipRecord(f"s/{k:03d}", "s", "train", "", 0, "", "") for k in range(num_tasks)], 1, seed=0)


def packed(task: ShardTask, num_bytes: int = 0) -> PackedShard:
    return PackedShard(ShardResult(task.name, (), ()), np.full(num_bytes, int(task.name[-5]), np.uint8))


@pytest.fixture(scope="module")
def two_cores() -> Iterator[None]:
    """Ray with the smallest store that there is, 100 MB."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not find the tests
    with open_ray(2, 1, ONE_THREAD):
        yield


def test_the_store_holds_no_more_than_what_is_in_flight(two_cores, tmp_path) -> None:
    """30 shards of 10 MB: three times what fits into the store."""
    import ray

    def process(task: ShardTask) -> PackedShard:
        (tmp_path / task.name.replace("/", "_")).touch()
        return packed(task, 10_000_000)

    tasks, done = tasks_of(30), []
    used_mb: dict[int, float] = {}
    for result in run_tasks(tasks, process, 2):
        done.append(result.result.name)
        assert result.tar is not None
        assert len(result.tar) == 10_000_000
        if len(done) in (1, 10, 30):
            time.sleep(1.5)  # time enough for all the others, if they were started, and for Ray to tell
            in_store = "object_store_memory"
            used_mb[len(done)] = (ray.cluster_resources()[in_store] - ray.available_resources()[in_store]) / 1e6
        assert len(list(tmp_path.iterdir())) <= len(done) - 1 + 2 * TASKS_PER_CORE
        del result
    assert sorted(done) == [task.name for task in tasks]
    in_flight = 10 * (2 * TASKS_PER_CORE - 1)  # without the one in hand
    assert used_mb == {k: pytest.approx(mb, abs=1) for k, mb in {1: in_flight, 10: in_flight, 30: 0}.items()}


def test_shards_larger_than_the_store_come_through(two_cores) -> None:
    num_bytes = 150_000_000
    sizes = {result.result.name: result.tar.nbytes for result in run_tasks(tasks_of(3), big_of(num_bytes), 2)}
    assert list(sizes.values()) == [num_bytes] * 3


def big_of(num_bytes: int):
    def process(task: ShardTask) -> PackedShard:
        return packed(task, num_bytes)

    return process


def test_a_worker_that_dies_is_replaced_but_not_for_ever(tmp_path, two_cores, monkeypatch) -> None:
    monkeypatch.setattr(workers, "MAX_RETRIES", 1)
    tasks = tasks_of(4)
    marker = tmp_path / "died"

    def dies_once(task: ShardTask) -> PackedShard:
        if task.name == tasks[2].name and not marker.exists():
            marker.touch()
            os._exit(1)
        return packed(task)

    done = {shard.result.name for shard in run_tasks(tasks, dies_once, 2)}
    assert marker.exists()
    assert done == {task.name for task in tasks}

    def always_dies(task: ShardTask) -> PackedShard:
        os._exit(1)

    with pytest.raises(WorkerError, match=r"train-00000.* failed 2 times \(WorkerCrashedError.*its clips are s/"):
        list(run_tasks(tasks[:2], always_dies, 2))


def test_trouble_of_the_machine_is_tried_again_and_faults_of_the_program_are_not(two_cores, tmp_path) -> None:
    def fails(task: ShardTask, num_times: int, error: type[Exception]) -> None:
        tries = tmp_path / f"{error.__name__}-{task.name[-5]}"
        with tries.open("a") as file:
            file.write("x")
        if tries.stat().st_size <= num_times:
            raise error("told so")

    def full_disk(task: ShardTask) -> PackedShard:
        fails(task, 3, OSError)
        return packed(task)

    assert len(list(run_tasks(tasks_of(2), full_disk, 2))) == 2

    def outage(task: ShardTask) -> PackedShard:
        fails(task, 100, OutageError)
        return packed(task)

    with pytest.raises(OutageError, match=r"^told so$") as caught:
        list(run_tasks(tasks_of(2), outage, 2))
    assert type(caught.value) is OutageError
    assert max(path.stat().st_size for path in tmp_path.glob("OutageError*")) == 1 + workers.MAX_RETRIES

    def no_room(task: ShardTask) -> PackedShard:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError) as full:
        list(run_tasks(tasks_of(2), no_room, 2))
    assert exit_code_of(full.value) == 2

    def fault(task: ShardTask) -> PackedShard:
        fails(task, 1, ZeroDivisionError)
        return packed(task)

    with pytest.raises(ZeroDivisionError, match="told so") as bug:
        list(run_tasks(tasks_of(2), fault, 2))
    assert "in fault" in str(bug.value) and "in fails" in str(bug.value)  # the worker's traceback
    assert {path.stat().st_size for path in tmp_path.glob("ZeroDivisionError*")} == {1}


def test_a_worker_killed_in_mid_run_changes_no_byte(clips, params, tmp_path, two_cores, monkeypatch) -> None:
    build(clips, params, tmp_path, "serial")
    marker = tmp_path / "killed"

    def killed_once(task: ShardTask, params, root: Path, crop_px: int) -> PackedShard:
        made = process_shard(task, params, root, crop_px)
        if task.name == "train/train-00001.tar" and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    monkeypatch.setattr(build_module, "process_shard", killed_once)
    build(clips, params, tmp_path, "ray", num_workers=2)
    assert marker.exists()
    assert contents(tmp_path / "ray") == contents(tmp_path / "serial")


def test_real_clips_give_the_same_bytes(shared_data, params, tmp_path, two_cores) -> None:
    paths = sorted((shared_data / "grid" / "s26").glob("*.mpg"))[:4]
    records = [record_of(f"s26/{path.stem}", "s26", "train", path, "") for path in paths]
    rows, rejects = build(records, params, tmp_path, "serial")
    assert (len(rows), len(rejects)) == (4, 0)
    build(records, params, tmp_path, "ray", num_workers=2)
    assert contents(tmp_path / "ray") == contents(tmp_path / "serial")


KILLED_RUN = """
import json, sys, time
from pathlib import Path

from tests.support.builds import build
from pipeline.core.ray_cluster import WorkerError
from pipeline.corpora.manifest import read_manifest
from pipeline.params import PreprocessParams
from pipeline.preprocess import build as build_module

process_shard = build_module.process_shard


def held(task, params, root, crop_px):
    while task.split == "val":
        time.sleep(1)
    return process_shard(task, params, root, crop_px)


build_module.process_shard = held
folder = Path(sys.argv[1])
build(read_manifest(folder / "manifest.parquet"), PreprocessParams(**json.loads(sys.argv[2])), folder, "out", 2)
"""


FREE_RUN = """
import json, sys
from pathlib import Path

from tests.support.builds import build
from pipeline.core.ray_cluster import WorkerError
from pipeline.corpora.manifest import read_manifest
from pipeline.params import PreprocessParams

folder = Path(sys.argv[1])
build(read_manifest(folder / "manifest.parquet"), PreprocessParams(**json.loads(sys.argv[2])), folder, "free")
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: BLAS has one thread anyway")
def test_one_worker_with_all_threads_of_blas_gives_the_same_bytes(clips, params, tmp_path) -> None:
    """Tests, as Ray's workers, give BLAS one thread; who runs the pipeline does not."""
    write_manifest(tmp_path / "manifest.parquet", clips)
    build(clips, params, tmp_path, "serial")
    root = Path(workers.__file__).parents[2]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment["PYTHONPATH"] = f"{root}:{Path(__file__).parent}"
    command = [sys.executable, "-c", FREE_RUN, str(tmp_path), params.model_dump_json()]
    subprocess.run(command, cwd=root, env=environment, check=True)
    assert contents(tmp_path / "free") == contents(tmp_path / "serial")


def test_a_run_killed_as_a_whole_redoes_only_what_is_missing(clips, params, tmp_path, monkeypatch) -> None:
    write_manifest(tmp_path / "manifest.parquet", clips)
    script = tmp_path / "run.py"
    script.write_text(KILLED_RUN)
    root = Path(workers.__file__).parents[2]
    command = [sys.executable, str(script), str(tmp_path), params.model_dump_json()]
    environment = os.environ | {"PYTHONPATH": f"{root}:{Path(__file__).parent}"}
    work_dir = tmp_path / "out-work"
    with subprocess.Popen(command, cwd=root, env=environment) as run:
        deadline = time.monotonic() + 120
        while len(list(work_dir.rglob("*.json"))) < 2:
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        started = psutil.Process(run.pid).children(recursive=True)
        folders = {
            found[0]
            for process in started
            for found in [re.search(r"/tmp/ray\w+", " ".join(process.cmdline()))]
            if found
        }
        agents = [process for process in started if process.name().endswith("Agent")]
        run.kill()
    _, alive = psutil.wait_procs(set(started) - set(agents), timeout=30)
    for agent in agents:
        agent.kill()  # they would look for their node for another minute
    assert len(started) > len(agents)
    assert not alive
    assert len(folders) == 1  # of this run, not of what other tests do meanwhile
    shutil.rmtree(folders.pop())

    redone: list[str] = []
    real = shard.process_clip

    def counting(record: ClipRecord, *rest):
        redone.append(record.clip_id)
        return real(record, *rest)

    monkeypatch.setattr(shard, "process_clip", counting)
    build(clips, params, tmp_path, "out")
    assert redone == ["s2/a", "s2/gone"]
    build(clips, params, tmp_path, "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
