"""`weights fetch NAME` from a loopback server: mirrors, resumed downloads, wrong files, printed next steps."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml

from models.lse_syncnet import LseSyncNet
from pipeline.cli.weights import FETCHERS, WeightsName, fetch_example, fetch_syncnet
from pipeline.core.layout import Layout
from pipeline.fetch import http
from pipeline.inference.pretrained import WeightsError
from pipeline.media.writer import VideoWriter
from pipeline.params import WeightsParams
from tests.support.loopback import Server, serving

PAGE = b"<html><body>Sign in to go on</body></html>"
Configure = Callable[..., None]


@pytest.fixture(scope="module")
def evaluator() -> bytes:
    """A file in the published form: torch's legacy format, without BatchNorm's counters of batches."""
    state = {key: value for key, value in LseSyncNet(1.0).state_dict().items() if "num_batches" not in key}
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.fixture
def server(evaluator: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(http, "RETRY_WAIT_S", 0.0)
    with serving() as server:
        server.files |= {"/good": evaluator, "/page": PAGE}
        yield server


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv("LIPSMITH_WEIGHTS_DIR", raising=False)
    return Layout(tmp_path)


@pytest.fixture
def configure(server: Server, layout: Layout, repo_root: Path) -> Configure:
    """A function that writes params.yaml with other values in the section weights. ``paths`` are URLs on the server."""

    def write(key: str, *paths: str, **known: Any) -> None:
        content = yaml.safe_load((repo_root / "params.yaml").read_text())
        urls = [f"{server.url}{path}" for path in paths]
        content["weights"][key] = {"urls": urls, "size_bytes": None, "sha256": None, **known}
        layout.params_path.write_text(yaml.safe_dump(content))

    return write


def fetched(layout: Layout) -> list[str]:
    return sorted(path.name for path in layout.weights_dir.iterdir() if not path.name.endswith(".lock"))


def test_the_command_accepts_the_names_that_can_be_fetched() -> None:
    assert set(FETCHERS) == set(get_args(WeightsName)) == {"inception", "face_mesh", *WeightsParams.model_fields}


def test_the_next_mirror_is_tried(server: Server, layout: Layout, configure: Configure, evaluator: bytes) -> None:
    sha256 = hashlib.sha256(evaluator).hexdigest()
    configure("syncnet_v2", "/none", "/good", size_bytes=len(evaluator), sha256=sha256)
    path = layout.weights_dir / "syncnet_v2.model"
    next_step = "next: set evaluate.lse.weights in params.yaml to weights/syncnet_v2.model, then run `dvc repro`"
    assert fetch_syncnet(layout) == [f"{path}: ready", next_step]
    assert path.read_bytes() == evaluator
    assert server.requests == [("/none", None), ("/good", None)]
    assert fetch_syncnet(layout) == [f"{path}: ready", next_step]
    assert len(server.requests) == 2


def test_an_interrupted_download_resumes(
    server: Server, layout: Layout, configure: Configure, evaluator: bytes
) -> None:
    configure("syncnet_v2", "/good")
    server.break_after = [http.CHUNK_BYTES]
    fetch_syncnet(layout)
    assert (layout.weights_dir / "syncnet_v2.model").read_bytes() == evaluator
    assert server.requests == [("/good", None), ("/good", f"bytes={http.CHUNK_BYTES}-")]


def test_an_unknown_hash_is_printed_and_verified_once_it_is_set(
    layout: Layout, configure: Configure, evaluator: bytes
) -> None:
    sha256 = hashlib.sha256(evaluator).hexdigest()
    configure("syncnet_v2", "/good")
    assert fetch_syncnet(layout)[:2] == [
        f"{layout.weights_dir / 'syncnet_v2.model'}: ready, but its hash was not verified",
        f"to verify the next download, set weights.syncnet_v2.sha256 in params.yaml to {sha256}",
    ]
    configure("syncnet_v2", "/good", sha256="0" * 64)
    with pytest.raises(WeightsError, match=f"has sha256 {sha256}, not 0000"):
        fetch_syncnet(layout)


def test_a_web_page_is_rejected_even_without_a_hash(layout: Layout, configure: Configure, evaluator: bytes) -> None:
    configure("syncnet_v2", "/page")
    with pytest.raises(WeightsError, match="/page is not syncnet_v2: it is not a file of tensors"):
        fetch_syncnet(layout)
    assert fetched(layout) == []
    configure("syncnet_v2", "/page", "/good")
    fetch_syncnet(layout)
    assert (layout.weights_dir / "syncnet_v2.model").read_bytes() == evaluator


def test_another_network_and_another_hash_are_rejected(server: Server, layout: Layout, configure: Configure) -> None:
    buffer = io.BytesIO()
    torch.save({"conv.weight": torch.zeros(1)}, buffer)
    server.files["/other"] = buffer.getvalue()
    configure("syncnet_v2", "/other")
    with pytest.raises(WeightsError, match="/other is not syncnet_v2: it holds tensors that do not fit the evaluator"):
        fetch_syncnet(layout)
    configure("syncnet_v2", "/good", sha256="0" * 64)
    with pytest.raises(WeightsError, match="/good has sha256"):
        fetch_syncnet(layout)
    assert fetched(layout) == []


def test_another_file_of_the_same_name_is_kept(server: Server, layout: Layout, configure: Configure) -> None:
    configure("syncnet_v2", "/good")
    path = layout.weights_dir / "syncnet_v2.model"
    path.parent.mkdir()
    path.write_bytes(PAGE)
    with pytest.raises(WeightsError, match=r"syncnet_v2\.model is not syncnet_v2: .*; remove it"):
        fetch_syncnet(layout)
    assert path.read_bytes() == PAGE
    assert server.requests == []


def test_without_a_network_the_error_lists_the_addresses_and_the_target_path(
    server: Server, layout: Layout, configure: Configure
) -> None:
    urls = ["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"]
    configure("syncnet_v2", urls=urls, sha256="0" * 64)
    with pytest.raises(WeightsError) as caught:
        fetch_syncnet(layout)
    first, *tried, last = str(caught.value).splitlines()
    assert first == "syncnet_v2.model could not be downloaded:"
    assert [line.split(": ")[0].strip() for line in tried] == urls
    assert all("Connection refused" in line for line in tried)
    assert (
        last
        == f"Put the file (sha256 {'0' * 64}) at {layout.weights_dir / 'syncnet_v2.model'} and run the command again."
    )


def test_a_shared_weights_folder_is_printed_with_its_full_path(
    layout: Layout, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "checkout")
    layout.root.mkdir()
    configure("syncnet_v2", "/good")
    (tmp_path / "params.yaml").rename(layout.params_path)
    monkeypatch.setenv("LIPSMITH_WEIGHTS_DIR", str(tmp_path / "shared"))
    assert (
        f"evaluate.lse.weights in params.yaml to {tmp_path / 'shared' / 'syncnet_v2.model'}, then"
        in fetch_syncnet(layout)[-1]
    )


def test_the_example_must_be_a_video(server: Server, layout: Layout, configure: Configure, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, 25, (32, 32)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    server.files["/clip"] = clip.read_bytes()
    configure("syncnet_example", "/page", "/clip")
    assert "test_official_weights.py" in fetch_example(layout)[-1]
    assert (layout.weights_dir / "example.avi").read_bytes() == clip.read_bytes()
    assert [path for path, _ in server.requests] == ["/page", "/clip"]
