"""What the released presets need on disk, what of it is there, and where: plain facts, standard library alone.

Nothing is ever downloaded. The licences are the weights' own: what stands here says what to look for, the text in the
repository counts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine.errors import WanderError

VARIABLE = "WANDER_MODELS"
"""Environment variable that names the folder of the presets' folders."""
TENCENT = "Tencent's community licence: not granted in the European Union, the United Kingdom and South Korea"
APACHE = "Apache-2.0"
COMMUNITY = "hunyuanvideo-community/HunyuanVideo-1.5-480p_i2v"


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """One folder of a preset.

    Sizes are of the numbers in 16 bits, from parameter counts where this program has the network, else as published.
    """

    folder: str
    repository: str
    files: str
    gigabytes: float
    licence: str
    note: str = ""
    inside: tuple[str, ...] = (".",)
    """Folders in it that must hold safetensors."""
    besides: tuple[str, ...] = ()
    """Other files that must be there."""


DOWNLOADS = {
    "worldplay-5b": (
        Download(folder="transformer", repository="tencent/HY-WorldPlay", files="wan_distilled_model/model.pt",
                 gigabytes=10.6, licence=TENCENT, note="a pickle: launch.py models convert worldplay-5b model.pt"),
        Download(folder="vae", repository="Wan-AI/Wan2.2-TI2V-5B-Diffusers", files="vae/ with config.json",
                 gigabytes=1.4, licence=APACHE, besides=("config.json",)),
        Download(folder="text", repository="Wan-AI/Wan2.2-TI2V-5B-Diffusers",
                 files="text_encoder/, tokenizer/ (UMT5-XXL)", gigabytes=11.4, licence=APACHE,
                 inside=("text_encoder",), besides=("text_encoder/config.json", "tokenizer/tokenizer.json")),
    ),
    "worldplay-8b": (
        Download(folder="transformer", repository="tencent/HY-WorldPlay",
                 files="ar_distilled_action_model/model.safetensors", gigabytes=17.1, licence=TENCENT),
        Download(folder="vae", repository="tencent/HunyuanVideo-1.5", files="vae/", gigabytes=2.5, licence=TENCENT),
        Download(folder="text", repository="Qwen/Qwen2.5-VL-7B-Instruct", files="all", gigabytes=16.6, licence=APACHE,
                 besides=("config.json", "tokenizer.json")),
        Download(folder="quotes", repository=COMMUNITY, files="text_encoder_2/ (byt5-small with Glyph-SDXL-v2)",
                 gigabytes=0.4, licence="byt5-small Apache-2.0; read Glyph-SDXL-v2's own", besides=("config.json",)),
        Download(folder="image", repository=COMMUNITY, files="image_encoder/ (SigLIP so400m 384/14)", gigabytes=0.9,
                 licence="that of the repository it is taken from; read it", besides=("config.json",)),
    ),
}  # fmt: skip


def models_folder() -> Path:
    """Where the presets' folders are: what WANDER_MODELS names, else a folder among the user's data."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    return Path(os.environ.get(VARIABLE) or data / "wander/models").expanduser()


def downloads_of(preset: str) -> tuple[Download, ...]:
    """What a preset needs. Raises `WanderError` for an unknown one."""
    if preset not in DOWNLOADS:
        raise WanderError(f"there are no weights for {preset!r}; the {len(DOWNLOADS)} presets are "
                          f"{', '.join(DOWNLOADS)}")  # fmt: skip
    return DOWNLOADS[preset]


def absent(preset: str, folder: Path | None = None) -> list[Download]:
    """Those parts of a preset that are not there, or not whole as far as a look at file names tells."""
    home = (folder or models_folder()) / preset
    return [part for part in downloads_of(preset) if not _there(home / part.folder, part)]


def _there(place: Path, part: Download) -> bool:
    weights = all(any((place / inside).glob("*.safetensors")) for inside in part.inside)
    return weights and all((place / name).is_file() for name in part.besides)


def lacking(preset: str, folder: Path | None = None) -> str:
    """One sentence on what of a preset is missing and where it goes; empty if all is there."""
    home, missing = (folder or models_folder()) / preset, absent(preset, folder)
    if not missing:
        return ""
    what = "; ".join(f"{part.folder}/ from {part.repository}: {part.files}" for part in missing)
    return (f"{preset} needs {len(missing)} of {len(downloads_of(preset))} downloads more, "
            f"{sum(part.gigabytes for part in missing):.1f} GB, in {home} ({what}); see 'launch.py models'")


def ready(folder: Path | None = None) -> tuple[str, ...]:
    """The released presets that can be opened here."""
    return tuple(preset for preset in DOWNLOADS if not absent(preset, folder))
