"""A packaged generator dubs the requests of a server."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
from torch import nn

from pipeline.dubbing.mlflow_model import VideoDubber, _load_pyfunc
from tests.support.tiny_generator import save_tiny_generator

CONFIG = {"detector_score": 0.6, "detector_max_px": 640, "max_gap_frames": 5, "smooth_frames": 5, "cut_change": 0.35}


def test_requests_from_several_threads_run_one_after_another(monkeypatch):
    running, most = threading.Semaphore(0), []

    def dub_file(face, speech, out, generate, detectors_for, settings):
        running.release()
        time.sleep(0.05)
        most.append(running._value)
        out.write_bytes(face.read_bytes() + speech.read_bytes())
        running.acquire()

    monkeypatch.setattr("pipeline.dubbing.dub.dub_file", dub_file)
    dubber = VideoDubber(lambda *_: None, CONFIG)
    tables = [pd.DataFrame({"face": [b"face%d" % k], "audio": [b"-a"]}) for k in range(3)]
    with ThreadPoolExecutor(3) as pool:
        videos = [table["video"][0] for table in pool.map(dubber.predict, tables)]
    assert videos == [b"face0-a", b"face1-a", b"face2-a"]
    assert most == [1, 1, 1]


def test_the_served_generator_is_as_fast_as_that_of_the_command(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr("pipeline.inference.device.set_threads", lambda num: None)
    monkeypatch.setattr("pipeline.dubbing.mlflow_model.VideoDubber", lambda generate, config: loaded.append(generate))
    save_tiny_generator(tmp_path)
    _load_pyfunc(str(tmp_path), {**CONFIG, "device": "cpu", "num_threads": 0})
    assert not any(isinstance(module, nn.BatchNorm2d) for module in loaded[0].network.modules())
