"""The comparison's page: whole in one file, and alive in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
import pytest

from pipeline.compare.page import page, read_takes, reject_table, split_table
from pipeline.compare.plots import colours
from pipeline.compare.table import comparison, read_result
from pipeline.media.writer import VideoWriter
from pipeline.report.plot_style import DARK, LIGHT
from pipeline.shards.index import IndexRow, Reject

NAMES = ("real", "lstm_cbam", "no_lstm", "copy_input")
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
PROBE = """
<script>
const faults = [];
addEventListener("error", (event) => faults.push(event.message));
addEventListener("unhandledrejection", (event) => faults.push(String(event.reason)));
addEventListener("load", async () => {
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const table = document.querySelector("#scores table");
  const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.split(" ")[0]);
  const head = table.tHead.rows[0].cells[1].querySelector("button");
  head.click(); const rising = names(); head.click(); const falling = names();
  const take = document.querySelector(".take"), videos = [...take.querySelectorAll("video")];
  while (videos.some((video) => video.readyState < 1)) await pause(50);
  take.querySelector("button").click();
  await pause(700);
  const times = videos.map((v) => v.currentTime);
  take.querySelectorAll("figure")[0].click();
  const shortest = videos.reduce((a, b) => (b.duration < a.duration ? b : a)), slider = take.querySelector("input");
  while (!shortest.ended && take.querySelector("button").textContent === "Pause") await pause(20);
  const drag = async (value) => {
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
    await pause(150);
    return videos.map((v) => !v.paused && !v.ended);
  };
  const back = await drag(100), beyond = await drag(700);
  const found = {
    faults, rising, falling, times, back, beyond,
    muted: videos.map((v) => v.muted),
    sizes: videos.map((v) => v.videoWidth),
    overflow: document.documentElement.scrollWidth - innerWidth,
  };
  navigator.sendBeacon("/found", JSON.stringify(found));
});
</script>
"""


def index_row(clip_id: str, split: str, speaker: str) -> IndexRow:
    sizes = {"num_frames": 75, "num_samples": 48000, "num_bytes": 1}
    return IndexRow(clip_id=clip_id, key=clip_id, speaker=speaker, split=split, shard="x.tar", fps=25.0, **sizes)


REJECT = Reject(clip_id="s1/z", speaker="s1", split="test", path="z.mp4", reason="no_face", detail="no <face>")


@pytest.fixture
def write_takes() -> Callable[[Path, str, int], None]:
    def write(folder: Path, caption: str, num_frames: int) -> None:
        (folder / "takes").mkdir()
        sound = 0.1 * np.sin(np.arange(640 * num_frames) / 20).astype(np.float32)
        with VideoWriter(folder / "takes" / "00-c0.mp4", 25, (64, 64), sound, audio_rate_hz=16_000) as writer:
            for frame in range(num_frames):
                writer.write(np.full((64, 64, 3), 2 * frame, np.uint8))
        listed = [{"file": "00-c0.mp4", "clip_id": "c0", "audio_clip_id": "x", "caption": caption}]
        (folder / "takes" / "takes.json").write_text(json.dumps({"takes": listed}))

    return write


def page_of(
    write_result: Callable[..., Path], write_takes: Callable[[Path, str, int], None], within_one_frame: float
) -> str:
    folders = {
        name: write_result(name, lse_d=(6.0 + k, 7.0, 8.0) * 3, within_one_frame=within_one_frame)
        for k, name in enumerate(NAMES)
    }
    for name, folder in folders.items():
        write_takes(
            folder, "its own voice" if name == "real" else "voice of c1: <so> & so", 25 if name == "copy_input" else 75
        )
    results = {name: read_result(folder) for name, folder in folders.items()}
    return page(
        comparison(list(results.values()), 0.95, 100, seed=1),
        list(results.values()),
        read_takes(folders, results),
        {"lstm_cbam": {"l1": [(k, 1 / (k + 1)) for k in range(500)]}, "no_lstm": {"l1": [(0, 0.5)]}},
        {"l1": "L1, training", "sync": "sync loss"},
        [index_row("a", "train", "s1"), index_row("b", "train", "s2"), index_row("c0", "test", "s2")],
        [REJECT],
        "grid",
        "git clone <this project>\ndvc repro",
    )


@pytest.fixture
def html(write_result: Callable[..., Path], write_takes: Callable[[Path, str, int], None]) -> str:
    return page_of(write_result, write_takes, within_one_frame=1.0)


def test_the_page_has_the_answers_first_then_the_caveats_the_scores_and_the_videos(html: str) -> None:
    marks = ['<p class="fitness">The evaluator', "Clearly better than the unchanged video", "Best on ", "<aside>"]
    marks += ["sortable", 'class="take', '<svg viewBox="0 0 400']
    places = [html.index(mark, html.index("<main>")) for mark in marks]
    assert places == sorted(places)


def test_a_page_of_an_evaluator_that_cannot_judge_has_no_score_of_it(
    write_result: Callable[..., Path], write_takes: Callable[[Path, str, int], None]
) -> None:
    html = page_of(write_result, write_takes, within_one_frame=0.5)
    body = html[html.index("<body>") : html.index("<script>")]
    fitness = re.search(r'<p class="fitness unfit">(.*?)</p>', body)
    assert fitness is not None
    assert "cannot judge these clips: it places only 50.0% of the real videos" in fitness[1]
    assert "LSE" not in body.replace(fitness[0], "") and "offset" not in body
    assert "<h3>FID " in body and body.count("data-mp4=") == len(NAMES)


def test_nothing_is_loaded_from_anywhere(html: str) -> None:
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']*""", html)
    assert "@import" not in html and "url(" not in html


def test_what_users_wrote_is_shown_as_text(html: str) -> None:
    assert "voice of c1: &lt;so&gt; &amp; so" in html
    assert "no &lt;face&gt;" in html
    assert "<so>" not in html and "<face>" not in html
    assert "<code>real</code>" in html  # and ours as it was meant


def test_every_row_has_its_video_and_the_figure_of_that_clip(html: str) -> None:
    for number, name in enumerate(NAMES):
        assert f'aria-label="hear {name}"' in html
        assert f"<b>{name}</b><span>LSE-C 3.00</span>" in html
        assert f'<g style="--colour:var(--series-{number})"><title>{name}: ' in html
    assert html.count("data-mp4=") == len(NAMES)


def test_a_row_has_the_colour_of_the_plots_and_its_counterpart_on_a_dark_page(html: str) -> None:
    light, dark = html.split("@media (prefers-color-scheme: dark) { :root { --ink", 1)
    for part, theme in ((light, LIGHT), (dark, DARK)):
        for number, colour in enumerate(colours(NAMES, theme=theme).values()):
            assert f"--series-{number}: {colour}; " in part


def test_clips_are_counted_by_split_and_rejects_by_reason() -> None:
    kept = [index_row("a", "train", "s1"), index_row("b", "train", "s2"), index_row("c", "test", "s2")]
    assert split_table(kept, [REJECT]).cells == [
        ["train", "2", "2", "0.1", "0"],
        ["val", "0", "0", "0.0", "0"],
        ["test", "1", "1", "0.1", "1"],
    ]
    assert reject_table([REJECT, REJECT]).cells == [["`no_face`", "s1/z: no <face>", "2"]]


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_videos_play_tables_sort_and_nothing_fails(html: str, width: int, tmp_path: Path) -> None:
    found = probed(html, width, tmp_path)
    assert found["faults"] == []
    assert found["rising"] == ["real", "lstm_cbam", "no_lstm", "copy_input"]
    assert found["falling"] == found["rising"][::-1]
    assert found["sizes"] == [64] * len(NAMES)
    assert min(found["times"]) > 0.1 and max(found["times"]) - min(found["times"]) < 0.3
    assert found["muted"] == [False, True, True, True]
    assert found["back"] == [True, True, True, True]  # the last one had ended at 1 s of 3
    assert found["beyond"] == [True, True, True, False]
    assert found["overflow"] <= 0


def probed(html: str, width: int, tmp_path: Path) -> dict[str, Any]:
    """What the page did in headless Chromium, as it tells the server it came from."""
    found: Queue[bytes] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(html.replace("<head>", f"<head>{PROBE}", 1).encode())

        def do_POST(self) -> None:
            found.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: the test's own output is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    address = f"http://127.0.0.1:{server.server_port}/"
    command = [CHROMIUM, *switches, *quiet, profile, f"--window-size={width},900", "--remote-debugging-port=0", address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
        try:
            said: dict[str, Any] = json.loads(found.get(timeout=60))
        finally:
            browser.terminate()
            server.shutdown()
            server.server_close()
    return said
