"""A Ray cluster of three nodes: its nodes die, and share no files with the run that they work for."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline
from pipeline.core.ray_cluster import WorkerError, kill_below
from pipeline.corpora.manifest import ClipRecord
from pipeline.preprocess import build as build_module
from pipeline.preprocess.build import UnseenClipsError
from pipeline.preprocess.plan import ShardResult, ShardTask, plan_shards
from pipeline.preprocess.shard import PackedShard, process_shard
from pipeline.preprocess.workers import run_tasks
from tests.support.builds import build, contents
from tests.support.loopback import serving

pytestmark = pytest.mark.slow

STORE_BYTES = 80_000_000
HEALTH_CHECKS = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500}
"""Settings with which Ray notices the death of a node after three seconds instead of fifteen."""


@contextmanager
def ray_cluster(num_head_cpus: int) -> Iterator[Any]:
    """A head node that work can be sent to."""
    from ray import cloudpickle
    from ray.cluster_utils import Cluster

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # nodes do not find the tests

    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # socket paths must be short
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_TMPDIR", folder)
        head: dict[str, Any] = {
            "num_cpus": num_head_cpus,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
        }
        head["_system_config"] = HEALTH_CHECKS
        try:
            cluster = Cluster(initialize_head=True, head_node_args=head)
        except Exception:  # such as a start that exceeds Ray's time limit, which leaves its processes
            kill_below(Path(folder))
            raise
        try:
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="class")
def cluster() -> Iterator[Any]:
    """Three nodes of one core; the run is connected to the first. Each test removes one of the others."""
    with ray_cluster(num_head_cpus=1) as cluster:
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        yield cluster


def wait_for(marker: Path) -> None:
    while not marker.exists():
        time.sleep(0.05)


@contextmanager
def when(marker: Path, act) -> Iterator[None]:
    """Do something beside the block as soon as a file is there."""

    def wait() -> None:
        wait_for(marker)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()


class TestNodesThatDie:
    """One after the other in one cluster, whose start takes seconds."""

    def test_a_node_that_dies_in_mid_run_changes_no_byte(
        self, cluster, make_clip, params, tmp_path, monkeypatch
    ) -> None:
        clips = [make_clip(f"s1/{name}", num_frames=26) for name in "abcdefgh"]
        clips += [
            make_clip("s2/a", num_frames=26, split="val"),
            ClipRecord("s2/gone", "s2", "val", "gone.mp4", 0, "", ""),
        ]
        one_each = params.model_copy(update={"clips_per_shard": 1})
        build(clips, one_each, tmp_path, "serial")
        doomed = cluster.worker_nodes.copy().pop()
        doomed_id, first, last = doomed.node_id, tmp_path / "first", tmp_path / "last"

        def hangs_on_its_second(task: ShardTask, params, root: Path, crop_px: int) -> PackedShard:
            import ray

            if ray.get_runtime_context().get_node_id() == doomed_id:
                if first.exists():
                    last.touch()
                    time.sleep(600)
                first.write_text(pipeline.__file__)
            else:
                wait_for(last)
            return process_shard(task, params, root, crop_px)

        monkeypatch.setattr(build_module, "process_shard", hangs_on_its_second)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        with when(last, lambda: cluster.remove_node(doomed, allow_graceful=False)):
            build(clips, one_each, tmp_path, "cluster")
        assert contents(tmp_path / "cluster") == contents(tmp_path / "serial")
        assert len(list((tmp_path / "serial").rglob("*.tar"))) == 9
        assert "working_dir" in first.read_text()  # the code came with the run

    def test_a_shard_that_is_lost_with_its_node_is_made_again(self, cluster, tmp_path, monkeypatch) -> None:
        """It was finished, and nobody had asked for it."""
        doomed = cluster.worker_nodes.copy().pop()
        doomed_id, started, go, made = doomed.node_id, tmp_path / "started", tmp_path / "go", tmp_path / "made"

        def process(task: ShardTask) -> PackedShard:
            import ray

            number = int(task.name[-9:-4])
            if ray.get_runtime_context().get_node_id() == doomed_id:
                started.touch()
                wait_for(go)
                with made.open("a") as file:
                    file.write(f"{number}\n")
            else:
                wait_for(started)
            return PackedShard(ShardResult(task.name, (), ()), np.full(1_000_000, number, np.uint8))

        tasks = plan_shards([ClipRecord(f"s/{k}", "s", "train", "", 0, "", "") for k in range(12)], 1, seed=0)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        found: dict[str, set[int]] = {}
        for packed in run_tasks(tasks, process, 1):
            assert packed.tar is not None
            found[packed.result.name] = set(packed.tar.tolist())
            if len(found) == 1:
                go.touch()
                wait_for(made)
                time.sleep(1)  # until Ray has what was made
                lost = [int(line) for line in made.read_text().split()]
                assert not {tasks[number].name for number in lost} & set(found)
                cluster.remove_node(doomed, allow_graceful=False)
        assert found == {task.name: {number} for number, task in enumerate(tasks)}
        assert lost


def can_hide_files() -> bool:
    tried = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True)
    return tried.returncode == 0


@pytest.fixture(scope="module")
def blind_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes with cores that see neither the tests' files nor the checkout's code, and a head that only calls."""
    if not shutil.which("unshare") or not can_hide_files():
        pytest.skip("hiding files from a process takes Linux and root")
    hidden = [tmp_path_factory.getbasetemp(), Path(pipeline.__file__).parent]
    hide = " && ".join(f"mount -t tmpfs none {shlex.quote(str(folder))}" for folder in hidden)
    with ray_cluster(num_head_cpus=0) as cluster:
        join = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={cluster.address}", "--block"]
        join += ["--num-cpus=1", f"--object-store-memory={STORE_BYTES}"]
        join += ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]  # any that are free
        script = f"{hide} && exec {shlex.join(join)}"
        nodes: list[subprocess.Popen[bytes]] = []
        try:
            for _ in range(2):  # one after the other: they choose the names of their sockets in one folder
                nodes.append(subprocess.Popen(["unshare", "--mount", "sh", "-c", script], cwd="/"))
                deadline = time.monotonic() + 180
                while sum(node["Alive"] for node in cluster.global_state.node_table()) < 1 + len(nodes):
                    assert nodes[-1].poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.2)
            yield cluster
        finally:
            for node in nodes:
                node.terminate()
                node.wait(60)


def test_no_files_are_shared(blind_cluster, clips, params, tmp_path, monkeypatch) -> None:
    with serving() as server:
        for clip in clips[:-1]:
            server.files[f"/{clip.clip_id}.mp4"] = Path(clip.path).read_bytes()
        remote = [replace(clip, path=f"{server.url}/{clip.clip_id}.mp4") for clip in clips]
        build(remote, params, tmp_path, "serial")
        monkeypatch.setenv("RAY_ADDRESS", blind_cluster.address)
        rows, rejects = build(remote, params, tmp_path, "cluster")
    assert (len(rows), [reject.reason for reject in rejects]) == (4, ["missing_file"])
    assert contents(tmp_path / "cluster") == contents(tmp_path / "serial")


def test_clips_on_a_disk_that_nodes_do_not_see_are_an_error(
    blind_cluster, clips, params, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", blind_cluster.address)
    with pytest.raises(UnseenClipsError, match="storage that all nodes mount"):
        build(clips, params, tmp_path, "cluster")
    assert not (tmp_path / "cluster").exists()


def test_a_cluster_that_does_not_answer_is_named(monkeypatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(WorkerError, match=r"RAY_ADDRESS is 127\.0\.0\.1:\d+, and no Ray cluster answers"):
            list(run_tasks(plan_shards([ClipRecord("a", "s", "train", "", 0, "", "")], 1, 0), print, 1))
