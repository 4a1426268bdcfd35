"""A process that records is killed, or its disk is full: what was written until then can be played (FAULTS 11, 12)."""

import contextlib
import signal
import subprocess
import sys
import time

import av
import pytest

RECORDING = """
import resource, sys
import numpy as np
from app.recorder import Recorder
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
rng, recorder = np.random.default_rng(0), Recorder(sys.argv[1], (64, 48))
for number in range(240 if limit else 10**9):
    recorder.write(rng.integers(0, 255, (48, 64, 3), np.uint8), number / 24)
recorder.close()
sys.exit(recorder.problem)
"""


def frames(path):
    """How many pictures a player finds before the torn end."""
    found = 0
    with av.open(str(path)) as video, contextlib.suppress(av.error.InvalidDataError):
        for _ in video.decode(video=0):
            found += 1
    return found


@pytest.mark.parametrize("size", [250_000, 400_000])
def test_a_recorder_that_is_killed_leaves_a_video_of_all_but_its_last_second(tmp_path, root, size):
    path = tmp_path / "walk.mp4"
    with subprocess.Popen([sys.executable, "-c", RECORDING, str(path), "0"], cwd=root) as recording:
        deadline = time.monotonic() + 60
        while not (path.exists() and path.stat().st_size >= size):
            assert time.monotonic() < deadline and recording.poll() is None
            time.sleep(0.002)
        recording.send_signal(signal.SIGKILL)
    assert frames(path) >= 24


def test_a_recorder_whose_file_may_grow_no_more_says_how_much_it_saved(tmp_path, root):
    path = tmp_path / "walk.mp4"
    done = subprocess.run(
        [sys.executable, "-c", RECORDING, str(path), "300000"], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert "The recording stopped (File too large): saved 00:0" in done.stderr and "Traceback" not in done.stderr
    assert frames(path) >= 24
