"""The end of a video file becomes a clip of a world's frames, whatever the file's rate, size and length."""

import av
import numpy as np
import pytest
from PIL import Image

from app.clip import ClipReader, evenly, is_video, read_clip
from app.errors import AppError
from worker.pictures import decode_clip


def video(path, frames, *, rate=24, size=(64, 48)):
    """A video whose frames grow brighter, 2 grey levels a frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            pixels = np.full((size[1], size[0], 3), 20 + 2 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def greys(clip):
    """The middle of each frame."""
    return [int(frame[frame.shape[0] // 2, frame.shape[1] // 2, 0]) for frame in decode_clip(clip)]


def test_the_last_61_frames_of_a_video_are_taken_in_their_order(tmp_path):
    told = greys(read_clip(video(tmp_path / "a.mp4", 100)))
    assert len(told) == 61
    assert told[-1] == pytest.approx(20 + 2 * 99, abs=3)
    assert np.diff(told) == pytest.approx(2, abs=2)


def test_a_short_video_is_taken_whole(tmp_path):
    assert len(greys(read_clip(video(tmp_path / "a.mkv", 7)))) == 7


@pytest.mark.parametrize("rate", [12, 30, 60])
def test_a_video_of_another_rate_keeps_its_pace(tmp_path, rate):
    told = greys(read_clip(video(tmp_path / "a.mp4", 2 * rate if rate < 60 else 110, rate=rate)))
    assert np.mean(np.diff(told)) == pytest.approx(2 * rate / 24, rel=0.12)


def test_a_large_frame_is_shrunk_until_it_just_covers_a_picture_of_a_world(tmp_path):
    frames = decode_clip(read_clip(video(tmp_path / "a.mp4", 3, size=(1920, 1080))))
    assert frames.shape[1:3] == (384, 682)


def test_frames_of_uneven_times_are_chosen_by_time():
    timed = [(0.0, np.zeros(1)), (0.5, np.ones(1)), (1.0, np.full(1, 2.0))]
    chosen = [int(frame[0]) for frame in evenly(timed)]
    assert len(chosen) == 25 and (chosen.count(0), chosen.count(1), chosen.count(2)) == (12, 12, 1)


@pytest.mark.parametrize(
    ("name", "data", "words"), [("a.mp4", b"no video", "cannot be read"), ("b.mp4", None, "no video")]
)
def test_a_file_that_is_no_video_is_one_sentence(tmp_path, name, data, words):
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(AppError, match=words):
        read_clip(path)


def test_a_sound_file_is_refused_as_one(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(AppError, match="sound but no picture"):
        read_clip(path)


def test_a_reader_gives_its_clip_once_and_its_error_as_an_error(tmp_path):
    reader = ClipReader(lambda path: path.name.encode())
    reader.begin(tmp_path / "a.mp4")
    reader._thread.join()
    assert (reader.poll(), reader.poll()) == (b"a.mp4", None)
    reader = ClipReader()
    reader.begin(tmp_path / "none.mp4")
    reader._thread.join()
    with pytest.raises(AppError, match="no video"):
        reader.poll()
    assert not reader.busy


def test_videos_are_told_from_pictures_by_their_names(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert is_video(tmp_path / "A.MOV") and not is_video(tmp_path / "a.png")
