"""The web app in headless Chromium. It skips without the extra `app`, Selenium, Chromium or its driver."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

import av
import pytest

from pipeline.app.jobs import COMMENT
from pipeline.app.server import running_app
from pipeline.app.settings import AppAddress, AppLimits
from pipeline.core.layout import Layout
from tests.support.tiny_generator import make_checkout

pytestmark = pytest.mark.slow
WAIT_S = 240
FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1180,1400")
RESOURCES = "return performance.getEntriesByType('resource').map(entry => new URL(entry.name).host)"


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads):
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium or no chromedriver is installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    for flag in FLAGS:
        options.add_argument(flag)
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield window
    window.quit()


@contextmanager
def _app(layout: Layout, **access: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = AppAddress(port=probe.getsockname()[1], **access)
    before = dict(os.environ)
    try:
        with running_app(layout, address, AppLimits(max_seconds=5), label="generated", device="cpu") as url:
            yield url
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a running app with an untrained generator."""
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    layout = make_checkout(tmp_path_factory.mktemp("checkout"))
    with _app(layout) as url:
        yield url
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


def _downloaded(folder: Path) -> Path:
    """The video in a folder of downloads, once it is complete."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if found := list(folder.glob("*.mp4")):
            return found[0]
        time.sleep(0.1)
    raise AssertionError(f"no download: {list(folder.iterdir())}")


def test_upload_dub_play_score_and_download(browser, downloads, address, wait, make_face, make_voice):
    browser.get(address)
    assert "Consent is needed" in wait("#consent").text
    wait("#model input", "return arguments[0].value == 'lstm_cbam: 96 px'")
    _upload(wait, "face", make_face(num_faces=2, num_frames=45))
    _upload(wait, "voice", make_voice(1.8))
    wait("#sheet img", "return arguments[0].naturalWidth > 300")
    assert len(browser.find_elements("css selector", "#who label")) == 3
    browser.find_elements("css selector", "#who label")[2].click()
    wait("#voice [data-testid*=waveform], #voice audio, #voice .waveform-container")
    wait("#agree input").click()
    browser.execute_script("arguments[0].click()", wait("#dub-button"))
    report = wait("#report", "return arguments[0].textContent.includes('LSE-C')").text
    assert "a mouth was generated in 45 of 45 frames" in report
    video = wait("#after video", "return arguments[0].readyState > 0")
    browser.execute_script("arguments[0].muted = true; arguments[0].play()", video)
    wait("#after video", "return arguments[0].currentTime > 0.1 || arguments[0].ended")
    assert browser.execute_script("return arguments[0].duration", video) == pytest.approx(1.8, abs=0.1)
    wait("#before video", "return arguments[0].videoWidth == 320")
    browser.execute_script("arguments[0].click()", wait("#download"))
    with av.open(str(_downloaded(downloads))) as container:
        assert container.metadata["comment"] == COMMENT
    assert set(browser.execute_script(RESOURCES)) == {address.removeprefix("http://")}


def test_a_file_that_is_no_video_and_a_silent_voice_are_refused_when_they_are_uploaded(
    browser, address, wait, tmp_path, make_face, make_voice
):
    (tmp_path / "notes.mp4").write_text("These are notes and no video.\n" * 40)
    browser.get(address)
    _upload(wait, "face", tmp_path / "notes.mp4")
    for place in (".toast-wrap", "#report"):
        shown = wait(place, "return arguments[0].textContent.includes('notes.mp4')").get_attribute("textContent")
        assert (
            "notes.mp4 cannot be used as the face" in shown and str(tmp_path) not in shown and ".scratch" not in shown
        )
    _upload(wait, "voice", make_voice(loudness=0, name="mute.wav"))
    refused = "mute.wav cannot be used as the voice: its sound is silent"
    wait("#report", f"return arguments[0].textContent.includes('{refused}')")
    wait("input[data-testid$='upload-button']").send_keys(str(make_face("said.mp4", 20)))
    wait("#voice", "return arguments[0].textContent.includes('0:01')")
    wait("#report", "return arguments[0].textContent.includes('Choose a face')")


def test_an_address_in_place_of_a_file_is_refused(address):
    """A client could otherwise let the server fetch it."""
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


def test_the_app_serves_an_ipv6_address_at_the_url_that_it_states(tmp_path):
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    with socket.socket(socket.AF_INET6) as probe:
        if probe.connect_ex(("::1", 9)) == errno.EADDRNOTAVAIL:
            pytest.skip("the machine has no IPv6")
    with _app(make_checkout(tmp_path / "checkout"), host="::1") as url:
        assert url.startswith("http://[::1]:")
        assert json.load(build_opener(ProxyHandler({})).open(f"{url}/config"))["components"]


def test_a_password_is_required_if_there_is_a_user(tmp_path, monkeypatch):
    pytest.importorskip("gradio", reason="the extra `app` is not installed")
    monkeypatch.setenv("LIPSMITH_APP_PASSWORD", "right")
    opener = build_opener(ProxyHandler({}), HTTPCookieProcessor())
    with _app(make_checkout(tmp_path / "checkout"), user="ann") as url:

        def log_in(password: str) -> None:
            opener.open(f"{url}/login", urlencode({"username": "ann", "password": password}).encode()).close()

        for refused in (lambda: opener.open(f"{url}/config"), lambda: log_in("wrong")):
            with pytest.raises(HTTPError) as error:
                refused()
            assert error.value.code in (400, 401)
        log_in("right")
        assert json.load(opener.open(f"{url}/config"))["components"]
