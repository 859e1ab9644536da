"""LRS2 from a password-protected server through the real stages. The password must not appear in any file or log."""

from __future__ import annotations

import io
import re
import secrets
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.core.layout import Layout
from pipeline.corpora.demo.render import DemoSpec, render_corpus
from tests.support.checkouts import copy_checkout, run, start
from tests.support.loopback import Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SHARE = (sys.executable, "-m", "pipeline", "share")
PASSWORD = secrets.token_hex(12)  # random, so that it is in no file before the test
SPEC = DemoSpec(
    num_speakers=4,
    num_clips_per_speaker=2,
    clip_seconds=1.2,
    split_by="speaker",
    val_fraction=0.25,
    test_fraction=0.25,
    seed=5,
)


def _publish(server: Server, corpus: Path) -> list[str]:
    """Serve the corpus in LRS2's published form, with the archive in two parts. Returns the names of the parts."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(corpus / "mvlrs_v1", "mvlrs_v1")
    content = packed.getvalue()
    parts = {"lrs2_v1_partaa": content[:300_000], "lrs2_v1_partab": content[300_000:]}
    lists = {name: (corpus / name).read_bytes() for name in ("train.txt", "val.txt", "test.txt")}
    server.files = {f"/{name}": blob for name, blob in {**parts, **lists, "pretrain.txt": b""}.items()}
    server.password_of = {"anna": PASSWORD}
    return list(parts)


@contextmanager
def _watching() -> Iterator[list[str]]:
    """Yield a list that collects places with the password: argument lists of all processes, and the logs of Ray.

    Those are the logs in folders of Ray that are made meanwhile.
    """
    places: list[str] = []
    stop = threading.Event()
    others = set(Path("/tmp").glob("ray*"))

    def watch() -> None:
        while not stop.wait(0.5):
            places.extend(_holding(Path("/proc").glob("[0-9]*/cmdline")))
            for folder in set(Path("/tmp").glob("ray*")) - others:
                places.extend(_holding(path for path in folder.rglob("*") if path.suffix in (".log", ".out", ".err")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield places
    finally:
        stop.set()
        watcher.join()


def _holding(paths: Iterator[Path]) -> Iterator[str]:
    for path in paths:
        try:
            if path.is_file() and PASSWORD.encode() in path.read_bytes():
                yield str(path)
        except OSError:  # removed meanwhile
            continue


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Iterator[tuple[Layout, str, list[str], Server]]:
    corpus = tmp_path_factory.mktemp("corpus")
    render_corpus(SPEC, corpus, num_workers=1)
    layout = Layout(copy_checkout(repo_root, tmp_path_factory.mktemp("lrs2") / "lipsmith"))
    with serving() as server:
        params = yaml.safe_load(layout.params_path.read_text())
        params["dataset"]["source"] = "lrs2"
        params["dataset"]["lrs2"] |= {"url": server.url, "archives": _publish(server, corpus)}
        params["preprocess"]["clips_per_shard"] = 1
        params["runtime"]["num_workers"] = 2
        layout.params_path.write_text(yaml.safe_dump(params, sort_keys=False))
        assert "clips of lrs2: `dvc push` does not send data/manifest.parquet" in run(layout.root, *SHARE)
        environment = {"LIPSMITH_LRS2_USER": "anna", "LIPSMITH_LRS2_PASSWORD": PASSWORD, "LIPSMITH_LOG_LEVEL": "DEBUG"}
        server.break_after = [5000]
        with _watching() as places:
            output = run(layout.root, "dvc", "repro", "--verbose", "preprocess", environment=environment)
        yield layout, output, places, server


def test_the_clips_arrive_in_shards(done: tuple[Layout, str, list[str], Server]) -> None:
    layout, output, _, server = done
    assert Counter(pq.read_table(layout.shards_dir / "index.parquet")["split"].to_pylist()) == {
        "train": 4,
        "val": 2,
        "test": 2,
    }
    assert (layout.raw_dir / "lrs2" / "mvlrs_v1" / "main").is_dir()
    assert re.search(r"lrs2: unpacked \d+ files, .*; 0 of them already existed", output)
    assert all(server.authorizations)  # every request had a password


def test_the_password_is_in_no_file_or_log(done: tuple[Layout, str, list[str], Server]) -> None:
    layout, output, places, _ = done
    assert places == []
    assert PASSWORD not in output
    files = list(layout.root.rglob("*"))
    assert layout.mlflow_db_path in files
    assert any(".dvc/cache" in path.as_posix() for path in files)
    assert list(_holding(iter(files))) == []


def test_the_error_for_a_wrong_password_names_the_remedy(done: tuple[Layout, str, list[str], Server]) -> None:
    layout = done[0]
    for path in (layout.raw_dir / "lrs2").glob("*.txt"):
        path.unlink()
    environment = {"LIPSMITH_LRS2_USER": "anna", "LIPSMITH_LRS2_PASSWORD": "wrong-one"}
    process = start(layout.root, "python", "-m", "pipeline.stages.download", environment=environment)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "did not accept the user name and password" in output and "LIPSMITH_LRS2_USER" in output
    assert "wrong-one" not in output


def test_verify_reports_differences_from_the_published_corpus(done: tuple[Layout, str, list[str], Server]) -> None:
    layout, _, _, server = done
    for name in ("train.txt", "val.txt", "test.txt", "pretrain.txt"):
        (layout.raw_dir / "lrs2" / name).write_bytes(server.files[f"/{name}"])
    process = start(layout.root, "python", "-m", "pipeline", "verify")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.search(r"train +4 +0 +0 +45,839 +DIFFERS", output)
