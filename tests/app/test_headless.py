"""The headless player: a script in, a video and figures out."""

import av
import numpy as np
import pytest

from app.errors import AppError
from app.headless import Clockwork, HeadlessPlayer
from app.recorder import Recorder
from app.script import parse_script
from app.walk import Walk
from worker import protocol as wire


class Worker:
    """Feeds a hand link with a latent every sixth of a second, on a clock that sleeps in no time."""

    def __init__(self, link):
        self.link, self.time, self.sent = link, 0.0, 0

    def sleep(self, seconds):
        self.time += max(seconds, 1e-4)
        while self.sent * 4 / 24 < self.time - 0.5:
            self.link.pictures(4, chunk=self.sent // 4, latent=self.sent % 4, last=self.sent % 4 == 3)
            self.sent += 1


@pytest.fixture
def play(link):
    """A function (script, seconds) -> report."""

    def run(script="", seconds=3.0, recorder=None):
        worker = Worker(link)
        walk = Walk(link)
        walk.open(wire.WorldSpec(preset="fake"))
        link.world()
        clockwork = Clockwork(now=lambda: worker.time, sleep=worker.sleep)
        return HeadlessPlayer(walk, parse_script(script), recorder=recorder, clockwork=clockwork).play(seconds)

    return run


def test_the_report_tells_the_rate_that_was_shown(play):
    report = play(seconds=5.0)
    assert report["fps_shown"] == pytest.approx(24, abs=0.5)
    assert report["frames"] == pytest.approx(120, abs=5)
    assert report["drops"] == 0
    assert report["session"] == "/tmp/walk.wander"
    assert report["rss_mb"] > 20


def test_keys_prompts_and_commands_of_the_script_reach_the_worker_in_time(play, link):
    play('{"t": 1, "keys": ["w", "right"]}\n{"t": 2, "prompt": "snow", "command": "chunk 2"}')
    keys = [control.keys for control in link.controls]
    assert set(keys) == {0, 0b10001}
    assert keys[-1] == 0
    assert [request.text for request in link.asked(wire.SetPrompt)] == ["snow"]
    assert [request.chunk for request in link.asked(wire.SetChunk)] == [2]


def test_frame_intervals_after_a_prompt_are_reported_apart(play):
    report = play('{"t": 1, "prompt": "snow"}', seconds=5.0)
    assert report["prompts"] == 1 and report["prompted_p50_ms"] == pytest.approx(1000 / 24, abs=3)
    assert play()["prompted_p99_ms"] is None


def test_the_mouse_turns_by_its_rate_times_the_time_it_holds(play, link):
    play('{"t": 1, "mouse": [100, 0]}\n{"t": 2}')
    assert sum(control.yaw for control in link.controls) == pytest.approx(100 * 0.0022, rel=0.05)


def test_latency_is_counted_for_what_the_script_does(play):
    report = play('{"t": 1, "keys": ["w"]}\n{"t": 2}')
    assert report["latency_p50_ms"] is not None


def test_every_shown_frame_is_in_the_recording_at_its_time(play, tmp_path):
    path = tmp_path / "walk.mp4"
    report = play(seconds=3.0, recorder=lambda size: Recorder(path, size))
    with av.open(str(path)) as video:
        frames = list(video.decode(video=0))
    assert len(frames) == report["frames"]
    assert frames[-1].time == pytest.approx(3.0, abs=0.15)
    assert (frames[0].width, frames[0].height) == (32, 20)


def test_a_world_that_does_not_open_is_one_error(link):
    walk = Walk(link)
    walk.open(wire.WorldSpec(preset="nonesuch"))
    link.reply("There is no preset nonesuch.")
    with pytest.raises(AppError, match="no preset nonesuch"):
        HeadlessPlayer(walk, ()).play(1.0)


def test_a_recording_cut_short_can_still_be_played(tmp_path):
    path = tmp_path / "walk.mp4"
    recorder = Recorder(path, (64, 48))
    rng = np.random.default_rng(0)
    for number in range(72):
        recorder.write(rng.integers(0, 255, (48, 64, 3), np.uint8), number / 24)
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(path.read_bytes())
    recorder.close()
    with av.open(str(torn)) as video:
        assert sum(1 for _ in video.decode(video=0)) >= 24


def test_a_full_disk_ends_the_recording_with_a_sentence_and_not_the_walk(tmp_path):
    recorder = Recorder(tmp_path / "walk.mp4", (64, 48))

    class Full:
        def mux(self, _):
            raise OSError(28, "No space left on device")

        def close(self):
            raise OSError(28, "No space left on device")

    recorder._container = Full()
    recorder.write(np.zeros((48, 64, 3), np.uint8), 0.0)
    recorder.write(np.zeros((48, 64, 3), np.uint8), 0.1)
    recorder.close()
    assert "No space left on device" in recorder.problem


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(AppError, match="cannot be written"):
        Recorder(tmp_path / "none" / "walk.mp4", (64, 48))
