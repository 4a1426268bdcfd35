"""Key following and camera errors of whole rollouts: R_dist and T_dist from cameras estimated in the frames (paper,
section 4.1), each beside what the same estimator finds in the true frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.actions import heading
from engine.evaluation import following
from engine.evaluation.claims import Json
from engine.evaluation.clips import TrueClip
from engine.evaluation.metrics import Frames, nanmean
from engine.evaluation.motion import Motions, estimate_in_pieces, motions_from_poses, path_errors, poses_from_motions
from engine.evaluation.protocol import Following
from engine.evaluation.rollout import true_depth
from engine.geometry import POCKET_LENS
from engine.vae import FRAMES_PER_LATENT


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """How the cameras of one clip moved: as commanded, and as seen in frames."""

    commanded: Motions
    """`[T - 1, 4]`, between latents."""
    seen: Mapping[str, Motions]
    """Whose frames -> `[T - 1, 4]` estimated in them."""
    errors: Mapping[str, tuple[float, float]]
    """Whose frames -> R_dist in degrees, T_dist as a share of the path."""


def track(clip: TrueClip, rollouts: Mapping[str, Frames]) -> Track:
    """Estimates the cameras in rollouts `[F, H, W, 3]` of a clip, and in its true frames ("truth").

    The estimator sees the frames and the true depth of each view, never a command (`engine.evaluation.motion`).
    """
    latents = slice(None, None, FRAMES_PER_LATENT)
    poses, depths = clip.poses[latents], true_depth(clip)[latents]
    pitches, third_person = heading(poses)[1], clip.about.get("hero") is not None
    seen = {
        whose: estimate_in_pieces(frames[latents], depths, pitches, POCKET_LENS, third_person=third_person)
        for whose, frames in {"truth": clip.frames, **rollouts}.items()
    }
    errors = {whose: path_errors(poses_from_motions(poses[0], motions), poses) for whose, motions in seen.items()}
    return Track(motions_from_poses(poses), seen, errors)


def scorecards(tracks: Sequence[Track], rule: Following) -> dict[str, following.Scorecard]:
    """Whose frames -> key following over all clips."""
    commanded = [each.commanded for each in tracks]
    return {whose: following.score(commanded, [each.seen[whose] for each in tracks], rule) for whose in tracks[0].seen}


def table_of(tracks: Sequence[Track], cards: Mapping[str, following.Scorecard]) -> dict[str, Json]:
    """Whose frames -> following, recall, gain, entries, R_dist and T_dist, means over clips."""
    return {
        whose: {
            "following": card.accuracy,
            "recall": card.recall,
            "gain": card.gain,
            "entries": card.counts,
            "r_dist_degrees": nanmean([each.errors[whose][0] for each in tracks]),
            "t_dist_of_path": nanmean([each.errors[whose][1] for each in tracks]),
        }
        for whose, card in cards.items()
    }
