"""The web app in headless Chromium. It skips without the extra `app`, Selenium, Chromium or its driver."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from pipeline.app.server import running_app
from pipeline.app.settings import AppAddress, AppLimits
from tests.support.tiny_generator import make_checkout

pytestmark = pytest.mark.slow
WAIT_S = 240
FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1180,1400")
RESOURCES = "return performance.getEntriesByType('resource').map(entry => new URL(entry.name).host)"


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium or no chromedriver is installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield window
    window.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a running app with an untrained generator."""
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    layout = make_checkout(tmp_path_factory.mktemp("checkout"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = dict(os.environ)
    with running_app(layout, AppAddress(port=port), AppLimits(max_seconds=5), label="generated", device="cpu") as url:
        yield url
    os.environ.clear()
    os.environ.update(before)
    assert not (layout.scratch_dir / "app").exists()


@pytest.fixture
def wait(browser):
    from selenium.webdriver.support.ui import WebDriverWait

    def until(selector: str, script: str = "return true"):
        """The first element that matches, once ``script``, with the element as its argument, returns true."""

        def found(window):
            elements = window.find_elements("css selector", selector)
            return elements[0] if elements and window.execute_script(script, elements[0]) else None

        return WebDriverWait(browser, WAIT_S, ignored_exceptions=[Exception]).until(found, f"{selector}: {script}")

    return until


def _upload(wait, field: str, path: Path) -> None:
    wait(f"#{field} input[type=file]").send_keys(str(path))


def test_upload_dub_play_and_score(browser, address, wait, make_face, make_voice):
    browser.get(address)
    assert "Consent is needed" in wait("#consent").text
    _upload(wait, "face", make_face(num_faces=2, num_frames=45))
    _upload(wait, "voice", make_voice(1.8))
    wait("#sheet img", "return arguments[0].naturalWidth > 300")
    assert len(browser.find_elements("css selector", "#who label")) == 3
    browser.find_elements("css selector", "#who label")[2].click()
    wait("#agree input").click()
    wait("#voice [data-testid*=waveform], #voice audio, #voice .waveform-container")
    browser.execute_script("arguments[0].click()", wait("#dub-button"))
    report = wait("#report", "return arguments[0].textContent.includes('LSE-C')").text
    assert "a mouth was generated in 45 of 45 frames" in report
    video = wait("#after video", "return arguments[0].readyState > 0")
    browser.execute_script("arguments[0].muted = true; arguments[0].play()", video)
    wait("#after video", "return arguments[0].currentTime > 0.1 || arguments[0].ended")
    assert browser.execute_script("return arguments[0].duration", video) == pytest.approx(1.8, abs=0.1)
    wait("#before video", "return arguments[0].videoWidth == 320")
    assert ".mp4" in wait("a#download, #download a, #download").get_attribute("outerHTML")
    assert set(browser.execute_script(RESOURCES)) == {address.removeprefix("http://")}


def test_a_file_that_is_no_video_is_refused(browser, address, wait, tmp_path):
    (tmp_path / "notes.mp4").write_text("These are notes and no video.\n" * 40)
    browser.get(address)
    _upload(wait, "face", tmp_path / "notes.mp4")
    shown = wait(".toast-wrap", "return arguments[0].textContent.includes('notes.mp4')").text
    assert "notes.mp4 cannot be used as the face" in shown and str(tmp_path) not in shown and ".scratch" not in shown


def test_an_address_in_place_of_a_file_is_refused(address):
    """A client could otherwise let the server fetch it."""
    import json
    from urllib.request import ProxyHandler, Request, build_opener

    opener = build_opener(ProxyHandler({}))
    with opener.open(f"{address}/config") as answer:
        config = json.load(answer)
        assert "default-src 'self'" in answer.headers["content-security-policy"]
    face = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "face")
    event = next(entry for entry in config["dependencies"] if entry["inputs"] == [face])
    file = {"path": "http://127.0.0.1:9/secret.mp4", "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [file], "fn_index": event["id"], "session_hash": "s", "event_data": None})
    request = Request(f"{address}/gradio_api/queue/join", body.encode(), {"content-type": "application/json"})
    opener.open(request).close()
    with opener.open(f"{address}/gradio_api/queue/data?session_hash=s", timeout=WAIT_S) as events:
        lines = [json.loads(line[6:]) for line in events if line.startswith(b"data: ")]
    final = next(line for line in lines if line["msg"] == "process_completed")
    assert not final["success"] and "Addresses are not accepted" in json.dumps(final)
