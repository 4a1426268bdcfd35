"""Decoders whose rows are shared by ranks: real gloo processes on the loopback device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.actions import KEY_RIGHT, KEY_W, Step
from engine.errors import WanderError
from engine.meeting import in_file
from engine.parallel import LOOPBACK, RankLost, Ranks
from engine.recorded import RecordedWorld
from engine.released_world import ReleasedWorld
from engine.spatial import Strip, strip_of
from engine.streamer import PocketWorld
from engine.vae import Vae, VaeConfig
from engine.vae_hunyuan import HunyuanVae
from engine.vae_wan import WanVae
from engine.world import WorldSpec
from tests.engine.tiny import one_thread, tiny_weights, wake
from tests.engine.tiny_released import SIZES_HUNYUAN, SIZES_WAN, tiny_released

ROOT = Path(__file__).resolve().parents[2]
DECODERS: dict[str, Callable[[], Any]] = {
    "pocket": lambda: Vae(VaeConfig(latent_channels=4, encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8))),
    "wan": lambda: WanVae(SIZES_WAN),
    "hunyuan": lambda: HunyuanVae(SIZES_HUNYUAN),
}
ROWS, COLUMNS, LATENTS, KILLED = 5, 3, 3, 9
"""Neither two nor three ranks divide the rows."""
WALKED = (1 + 5 * 4) * 32 * 64 * 3
"""Bytes of the pictures of `walk`."""
EXCHANGES = {"pocket": 13, "wan": 20, "hunyuan": 25}
"""3x3 convolutions of a decoder after what it computes whole."""


def decoder(name: str) -> Any:
    """The same one at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = DECODERS[name]()
    if name == "pocket":
        wake(vae)
    return vae.eval().requires_grad_(False)


def decoded(vae: Any, rows: int, strip: Strip | None) -> list[torch.Tensor | None]:
    """Frames of some latents, each with the state after the one before."""
    latents = torch.randn(LATENTS, 1, 4, rows, COLUMNS, generator=torch.Generator().manual_seed(3))
    state, shown = (None if isinstance(vae, Vae) else ()), []
    with torch.inference_mode():
        for latent in latents:
            frames, state = vae.decode(latent, state, strip)
            shown.append(frames if strip is None else strip.join(frames))
    return shown


def shared(ranks: Ranks, name: str, rows: int) -> dict[str, Any]:
    """How far the frames that the ranks decode together are from those decoded whole, and what that took."""
    vae, before = decoder(name), (ranks.traffic.collectives, ranks.traffic.received, ranks.traffic.moved)
    together, alone = decoded(vae, rows, Strip(ranks, rows)), decoded(vae, rows, None)
    after = (ranks.traffic.collectives, ranks.traffic.received, ranks.traffic.moved)
    apart = [float((a - b).abs().max()) for a, b in zip(together, alone, strict=True) if a is not None]
    spread = min(float(frames.std()) for frames in alone)
    return {"apart": apart, "spread": spread, "traffic": [b - a for a, b in zip(before, after, strict=True)]}


def world(kind: str, ranks: Ranks | None = None) -> RecordedWorld[Any]:
    """A tiny world of a preset, which starts from a picture."""
    image = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    spec = WorldSpec(seed=7, prompt="a village at dusk", image=image, chunk=2)
    if kind == "pocket":
        return PocketWorld(tiny_weights(), spec, ranks=ranks)
    return ReleasedWorld(tiny_released(kind), spec, ranks=ranks)


def walk(kind: str, ranks: Ranks | None = None) -> list[int]:
    """Pictures of a walk in which a chunk is undone, so that decoding begins anew from what came before."""
    walked, shown = world(kind, ranks), []
    for undo in (False, True, False):
        for frames in walked.step([Step(keys=KEY_W | KEY_RIGHT)] * 2):
            shown += frames.ravel().tolist()
        walked.commit()
        if undo:
            walked.rewind(1)
    return shown


def lose(ranks: Ranks) -> str:
    """The sentence of those who are left when rank 1 dies between two convolutions."""
    vae, strip = decoder("pocket"), Strip(ranks, ROWS)
    if ranks.rank == 1:
        vae.decoder.up_fine.register_forward_hook(lambda *_: os._exit(KILLED))
    try:
        decoded(vae, ROWS, strip)
    except RankLost as error:
        return str(error)
    return ""


def part(ranks: Ranks) -> dict[str, Any]:
    """What one rank tells of its work."""
    told: dict[str, Any] = {name: shared(ranks, name, ROWS) for name in DECODERS}
    if ranks.size == 3:
        told |= {f"{name} of 2 rows": shared(ranks, name, 2) for name in DECODERS}
        return told | {"lost": lose(ranks)}
    return told | {f"walk {kind}": walk(kind, ranks) for kind in ("pocket", "worldplay-5b", "worldplay-8b")}


def spawn(folder: Path, size: int) -> dict[int, tuple[int, dict[str, Any]]]:
    """Exit status of each of `size` ranks, and what it tells."""
    command = [sys.executable, "-m", "tests.engine.test_spatial", str(folder), str(size)]
    surroundings = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=surroundings, stdout=subprocess.PIPE, check=True)
    statuses = json.loads(done.stdout)
    files = {rank: folder / f"{rank}.json" for rank in range(size)}
    return {
        rank: (statuses[rank], json.loads(path.read_text()) if path.exists() else {}) for rank, path in files.items()
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> dict[int, tuple[int, dict[str, Any]]]:
    return spawn(tmp_path_factory.mktemp("pair"), 2)


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> dict[int, tuple[int, dict[str, Any]]]:
    return spawn(tmp_path_factory.mktemp("three"), 3)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("group", ["pair", "three"])
def test_frames_that_ranks_decode_in_strips_are_those_of_one_rank(name, group, request):
    told = request.getfixturevalue(group)[0][1][name]
    assert len(told["apart"]) == LATENTS and max(told["apart"]) <= 1e-5 < 0.01 < told["spread"]


@pytest.mark.parametrize("name", DECODERS)
def test_a_rank_without_rows_takes_part_and_changes_nothing(name, three):
    told = three[0][1][f"{name} of 2 rows"]
    assert len(told["apart"]) == LATENTS and max(told["apart"]) <= 1e-5
    assert three[2][1][f"{name} of 2 rows"]["traffic"][1] == 0


@pytest.mark.parametrize("name", DECODERS)
def test_every_convolution_costs_one_exchange_and_every_latent_one_more(name, pair, three):
    for group in (pair, three):
        counts = [told[name]["traffic"] for _, told in group.values() if told]
        assert all(each[0] == (EXCHANGES[name] + 1) * LATENTS for each in counts)
        assert len({each[2] for each in counts}) == 1
    received = [told[name]["traffic"] for _, told in pair.values()]
    assert received[0][1] + received[1][1] == received[0][2]


def test_pockets_ranks_exchange_a_row_with_each_neighbour_and_pictures_with_rank_0(pair):
    row = sum(8 * count * (COLUMNS * scale + 2) for count, scale in ((4, 1), (4, 2), (5, 4))) * 4
    pictures = 4 * 3 * (2 * 16) * (COLUMNS * 16) * 4
    assert pair[1][1]["pocket"]["traffic"][1] == LATENTS * row
    assert pair[0][1]["pocket"]["traffic"][1] == LATENTS * (row + pictures)


@pytest.mark.parametrize("kind", ["pocket", "worldplay-5b", "worldplay-8b"])
def test_a_world_shows_the_same_pictures_through_an_undo_when_its_ranks_share_the_decoding(kind, pair):
    with one_thread():
        alone = walk(kind)
    together, follower = (np.array(told[f"walk {kind}"]) for _, told in pair.values())
    apart = np.abs(together - alone)
    assert len(alone) == WALKED and follower.size == 0 and np.std(alone) > 5
    assert apart.max() <= 1 and apart.mean() < 1e-3  # a number between two bytes may be rounded to either


def test_a_rank_that_dies_while_others_decode_fails_them_with_a_sentence(three):
    assert [status for status, _ in three.values()] == [0, KILLED, 0]
    for rank in (0, 2):
        assert three[rank][1]["lost"] == f"one of 3 ranks does not answer rank {rank}; the group starts again"


@pytest.mark.parametrize(("size", "rows"), [(2, 5), (3, 5), (3, 2), (4, 44), (1, 6)])
def test_strips_are_all_rows_in_order_without_overlap(size, rows):
    whole = torch.arange(rows).float().view(1, 1, rows, 1).expand(1, 2, rows, 3)
    parts = [Strip(Ranks(rank, size), rows).cut(whole) for rank in range(size)]
    assert torch.equal(torch.cat([each for each in parts if len(each)], 2), whole)
    assert [len(each) for each in parts] == [1] * min(size, rows) + [0] * (size - min(size, rows))


def test_only_a_whole_picture_alone_is_cut():
    with pytest.raises(ValueError, match="a strip is cut from 1 picture of 5 rows, got 2 of 5"):
        Strip(Ranks(0, 2), 5).cut(torch.zeros(2, 4, 5, 3))


def test_decoding_is_shared_only_where_it_was_asked_for_and_there_are_others():
    assert strip_of(Ranks(1, 2, strips=True), 6) == Strip(Ranks(1, 2, strips=True), 6)
    assert strip_of(Ranks(1, 2), 6) is None and strip_of(Ranks(strips=True), 6) is None


def fork(folder: Path, rank: int, size: int) -> int:
    """Make a process of this rank; its number."""
    if child := os.fork():
        return child
    status = 1
    try:
        ranks = in_file(folder / "meeting", rank, size, interface=LOOPBACK, strips=rank == 0)
        (folder / f"{rank}.json").write_text(json.dumps(part(ranks)))
        status = 0
    except WanderError as error:
        sys.stderr.write(str(error))
    finally:
        os._exit(status)


def main(folder: str, size: str) -> None:
    """Ranks as processes that share what this one has imported; prints their exit statuses."""
    torch.set_num_threads(1)
    children = [fork(Path(folder), rank, int(size)) for rank in range(int(size))]
    sys.stdout.write(json.dumps([os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in children]))


if __name__ == "__main__":
    main(*sys.argv[1:])
