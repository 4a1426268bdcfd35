"""The journal: whatever stopped the program, what was committed is there, and nothing that was not."""

import errno
import os
import struct
import zlib
from pathlib import Path

import msgpack
import msgspec
import pytest

from tests.worker.chunks import chunk_of
from worker.archive import Archive
from worker.codec import pack
from worker.entries import ChunkEntry, ChunkSizeEntry, Header, PromptEntry, ResetEntry, RewindEntry
from worker.errors import JournalError
from worker.history import replay
from worker.journal import MAGIC, Journal, encode, read
from worker.protocol import WorldSpec

SPEC = WorldSpec(preset="fake", seed=7, prompt="a village", chunk=2)
HEADER = Header(spec=SPEC)


def chunk(index: int, prompt: str = "a village") -> ChunkEntry:
    return chunk_of(index, prompt)


def written(path: Path, *entries: ChunkEntry | PromptEntry) -> bytes:
    """A journal with these entries at `path`; its bytes."""
    journal = Journal.create(path, HEADER)
    for entry in entries:
        journal.append(entry)
    journal.close()
    return path.read_bytes()


def test_what_was_written_is_read_back(tmp_path):
    written(tmp_path / "a.wander", chunk(0), PromptEntry(text="rain"), chunk(1, "a village\nrain"))
    contents = read(tmp_path / "a.wander")
    assert contents.history.spec == SPEC
    assert contents.history.chunks == (chunk(0), chunk(1, "a village\nrain"))
    assert (contents.torn_bytes, contents.damaged) == (0, False)


def test_a_journal_cut_anywhere_gives_the_whole_chunks_before_the_cut_and_says_what_it_dropped(tmp_path):
    path = tmp_path / "a.wander"
    data = written(path, chunk(0), chunk(1))
    ends = [len(MAGIC + encode(HEADER))]
    ends += [ends[0] + len(encode(chunk(0))), len(data)]
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        if cut < ends[0]:
            with pytest.raises(JournalError):
                read(path)
            continue
        contents = read(path)
        whole = sum(cut >= end for end in ends) - 1
        assert contents.history.chunks == (chunk(0), chunk(1))[:whole]
        assert (contents.torn_bytes, contents.damaged) == (cut - ends[whole], False)


def test_a_torn_journal_is_gone_on_with_after_its_last_whole_chunk(tmp_path):
    path = tmp_path / "a.wander"
    data = written(path, chunk(0), chunk(1))
    path.write_bytes(data[:-3])
    journal, contents = Journal.resume(path)
    journal.append(chunk(1))
    journal.close()
    assert contents.torn_bytes > 0
    assert path.read_bytes() == data


def test_a_flipped_byte_anywhere_after_the_header_is_noticed_and_nothing_of_the_file_is_lost(tmp_path):
    path = tmp_path / "a.wander"
    data = written(path, chunk(0), chunk(1))
    first = len(MAGIC + encode(HEADER))
    for place in range(first, first + len(encode(chunk(0))), 7):
        broken = bytearray(data)
        broken[place] ^= 0x10
        path.write_bytes(broken)
        journal, contents = Journal.resume(path)
        journal.close()
        assert contents.history.chunks == ()
        assert contents.damaged or broken[first : first + 4] != data[first : first + 4]
        assert path.read_bytes() + (tmp_path / "a.wander.dropped").read_bytes() == bytes(broken)


def test_two_windows_cannot_write_one_session(tmp_path):
    journal = Journal.create(tmp_path / "a.wander", HEADER)
    with pytest.raises(JournalError, match="already open in another window"):
        Journal.resume(tmp_path / "a.wander")
    journal.close()
    Journal.resume(tmp_path / "a.wander")[0].close()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not a session"),
        (b"PK\x03\x04 some other file", "not a session"),
        (MAGIC, "breaks off in its header"),
        (MAGIC + b"\xff" * 40, "breaks off in its header"),
    ],
)
def test_a_file_that_is_no_session_is_refused_in_a_sentence(tmp_path, data, sentence):
    (tmp_path / "a.wander").write_bytes(data)
    with pytest.raises(JournalError, match=sentence):
        read(tmp_path / "a.wander")


def test_a_session_of_a_later_format_is_refused_with_both_numbers(tmp_path):
    payload = msgpack.packb({"type": "header", "format": 9, "novelty": [1, 2]})
    record = struct.pack("<II", len(payload), zlib.crc32(payload)) + payload
    (tmp_path / "a.wander").write_bytes(MAGIC + record)
    with pytest.raises(JournalError, match="format 9, this program reads 3"):
        read(tmp_path / "a.wander")


def test_undo_reset_and_prompts_are_told_as_they_happened():
    told = replay(HEADER, [chunk(0), PromptEntry(text="rain"), chunk(1, "a village\nrain"), RewindEntry(chunks=1)])
    assert (told.branch.prompt, told.branch.pending, len(told.chunks)) == ("a village", (), 1)
    told = told.then(PromptEntry(text="snow")).then(PromptEntry(text="night"))
    assert told.branch.pending == ("snow", "night")
    told = told.then(ChunkSizeEntry(chunk=4)).then(ResetEntry(seed=8))
    assert (told.chunks, told.branch.reads, told.spec.seed, told.spec.chunk) == ((), "a village", 8, 4)
    assert told.branch.pending == ()


def test_a_chunk_whose_arrays_do_not_fit_their_shape_is_no_sound_chunk():
    with pytest.raises(JournalError, match="no sound chunk 0"):
        replay(HEADER, [msgspec.structs.replace(chunk(0), latents=b"123")])


def test_a_full_disk_leaves_the_file_as_it_was_and_the_world_unsaved(tmp_path, monkeypatch):
    archive = Archive(folder=tmp_path)
    journal = archive.create(SPEC)
    archive.adopt(journal)
    archive.record(chunk(0))
    before = journal.path.read_bytes()

    def short_write(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 10:
            return original(descriptor, data[:10], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    original = os.pwrite
    monkeypatch.setattr(os, "pwrite", short_write)
    archive.record(chunk(1))
    monkeypatch.undo()
    assert "No space left on device" in archive.unsaved
    archive.record(chunk(2))
    assert journal.path.read_bytes() == before
    archive.record(ResetEntry(seed=1))
    assert archive.unsaved == ""
    archive.close()


def test_a_saved_copy_is_whole_and_never_overwrites(tmp_path):
    archive = Archive(folder=tmp_path)
    archive.adopt(archive.create(SPEC))
    archive.record(chunk(0))
    copy = archive.save("harbour")
    assert (copy.name, len(read(copy).history.chunks)) == ("harbour.wander", 1)
    with pytest.raises(JournalError, match="exists already"):
        archive.save("harbour")
    archive.close()


def test_a_window_on_another_machine_can_only_name_sessions_of_the_folder(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out.wander"
    written(outside)
    written(inside / "mine.wander")
    far, near = Archive(folder=inside, confined=True), Archive(folder=inside)
    assert near.find(str(outside)) == outside
    assert far.find("mine") == far.find("mine.wander") == inside / "mine.wander"
    for text in (str(outside), "../out.wander", "../out", "/etc/passwd", "nothing"):
        with pytest.raises(JournalError, match="There is no session"):
            far.find(text)


def test_records_are_what_the_format_says(tmp_path):
    data = written(tmp_path / "a.wander")
    payload = pack(HEADER)
    assert data == MAGIC + struct.pack("<II", len(payload), zlib.crc32(payload)) + payload
