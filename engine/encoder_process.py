"""The process that reads words and pictures for a released preset and ends, so that nothing of its encoders stays.

    python -m engine.encoder_process FOLDER        (FOLDER holds request.json, it leaves features.safetensors there)

It loads one encoder after the other from the user's download, in safetensors alone, and reaches no hub. Everything an
encoder is given is made here: texts as they are tokenised upstream (SPEC 10), pictures as SigLIP wants them. Shape
letters: S tokens, E width of an encoder.
"""

from __future__ import annotations

import contextlib
import html
import json
import math
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.errors import WanderError
from engine.images import fit_image

REQUEST, PICTURE, FEATURES = "request.json", "picture.png", "features.safetensors"
REFUSED = 3
"""Exit status of a request that could not be carried out; its sentence is on standard output."""
ROWS_5B = 512
"""Rows that the 5B reads: tokens, then zeros."""
LONGEST_8B, HEADER_8B, LONGEST_QUOTED = 1000, 108, 256
"""Most text tokens of the 8B, those of the system message before them, and most bytes of quoted text."""
ASPECTS = (
    "You are a helpful assistant. Describe the video by detailing the following aspects:",
    "1. The main content and theme of the video.",
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects.",
    "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects.",
    "4. background environment, light, style and atmosphere.",
    "5. camera angles, movements, and transitions used in the video.",
)
SYSTEM = (" " + 8 * " ").join(ASPECTS)
"""The system message that the 8B was trained with, its runs of spaces included."""
SIGLIP_SIDE, CROP_SIDE = 384, 640
LOOKED_AT = (SIGLIP_SIDE // 14) ** 2
"""SigLIP's tokens of a picture: one for each 14 by 14 pixels."""
_QUOTED = re.compile('"(.*?)"|\u201c(.*?)\u201d')

Features = dict[str, Tensor]
Picture = NDArray[np.uint8]


def cleaned(text: str) -> str:
    """A prompt as the 5B's is cleaned: broken Unicode mended, HTML entities and runs of white space resolved."""
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


def chat(text: str) -> str:
    """A prompt as the 8B's language model is asked; no words at all are one space."""
    return (f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{text or ' '}<|im_end|>\n"
            "<|im_start|>assistant\n")  # fmt: skip


def quoted(text: str) -> str:
    """What stands in double quotes, each once, as the 8B's byte encoder reads it; empty if nothing does."""
    found = dict.fromkeys(one or other for one, other in _QUOTED.findall(text))
    return "".join(f'Text "{words}". ' for words in found)


def byte_tokens(text: str) -> list[int]:
    """ByT5's tokens: bytes plus three, then the end, at most 256 in all; none for no text."""
    return [byte + 3 for byte in text.encode()][: LONGEST_QUOTED - 1] + [1] if text else []


def siglip_pixels(picture: Picture) -> Tensor:
    """A picture `[H, W, 3]` as SigLIP wants it, `[1, 3, 384, 384]`: first cut to an area near 640x640 in its shape."""
    rows, columns = picture.shape[:2]
    shape = math.sqrt(rows / columns)
    height, width = (max(16, round(CROP_SIDE * side / 16) * 16) for side in (shape, 1 / shape))
    cut = Image.fromarray(fit_image(picture, width, height))
    pixels = np.asarray(cut.resize((SIGLIP_SIDE, SIGLIP_SIDE), Image.Resampling.BICUBIC), dtype=np.float32)
    return torch.from_numpy(pixels / 127.5 - 1).movedim(-1, 0)[None]


def place_for(folder: Path) -> tuple[torch.device, torch.dtype]:
    """Where an encoder is run: on the GPU if its files fit into what is free there, else on the CPU."""
    needed = 1.2 * sum(path.stat().st_size for path in folder.glob("*.safetensors")) + 1e9
    if torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > needed:
        return torch.device("cuda", 0), torch.float16
    return torch.device("cpu"), torch.bfloat16


def load(name: str, folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """A network of `transformers` by its class, strictly from this folder. Raises `WanderError`."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        network, info = getattr(transformers, name).from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise WanderError(f"{folder} can't be read as {name} ({words[0][:200]}); download it again") from None
    missing = sorted(info["missing_keys"])
    if missing:
        raise WanderError(f"{folder} is not a whole {name}: {missing[0]} is missing, 1 of {len(missing)}; "
                          "download it again")  # fmt: skip
    return network.eval().requires_grad_(False).to(device)


def tokens_of(folder: Path, texts: Sequence[str], longest: int, *, special: bool) -> list[list[int]]:
    """Tokens of texts by the folder's `tokenizer.json`, at most `longest`. Raises `WanderError` without that file."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise WanderError(f"there is no {path.name} in {folder}; download the tokenizer's files beside the weights")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return [tokenizer.encode(text, add_special_tokens=special).ids for text in texts]


def encode_5b(home: Path, texts: Sequence[str], _picture: Picture | None) -> list[Features]:
    """UMT5's last states `[512, E]` of each text, rows after its tokens zero."""
    folder = home / "text" / "text_encoder"
    tokens = tokens_of(home / "text" / "tokenizer", [cleaned(text) for text in texts], ROWS_5B, special=True)
    device, dtype = place_for(folder)
    network = load("UMT5EncoderModel", folder, device, torch.bfloat16 if dtype == torch.float16 else dtype)
    found = []
    for ids in tokens:
        states = network(input_ids=torch.tensor([ids], device=device)).last_hidden_state[0].float().cpu()
        found.append({"text": torch.cat([states, states.new_zeros(ROWS_5B - len(ids), states.shape[1])])})
    return found


def encode_8b(home: Path, texts: Sequence[str], picture: Picture | None) -> list[Features]:
    """States of each text: `text` of Qwen2.5-VL, `quoted` of ByT5 and `image` of SigLIP, without padding."""
    found = [{"text": states} for states in _language_states(home / "text", texts)]
    quotes = [byte_tokens(quoted(text)) for text in texts]
    byte_states = _run(home / "quotes", "T5EncoderModel", [torch.tensor([ids]) for ids in quotes if ids], "input_ids")
    width = json.loads((home / "quotes" / "config.json").read_text())["d_model"]
    for features, ids in zip(found, quotes, strict=True):
        features["quoted"] = byte_states.pop(0) if ids else torch.zeros(0, width)
    width = _image_width(home / "image")
    pixels = [] if picture is None else [siglip_pixels(picture)]
    seen = _run(home / "image", "SiglipVisionModel", pixels, "pixel_values")
    for features in found:
        features["image"] = seen[0] if seen else torch.zeros(0, width)
    return found


def _language_states(folder: Path, texts: Sequence[str]) -> list[Tensor]:
    """States `[S, E]` of Qwen2.5-VL's text model before its last two layers, of the words and what follows them."""
    tokens = tokens_of(folder, [chat(text) for text in texts], HEADER_8B + LONGEST_8B, special=False)
    device, dtype = place_for(folder)
    kinds = json.loads((folder / "config.json").read_text()).get("architectures") or []
    if "Qwen2_5_VLTextModel" in kinds:
        network = load("Qwen2_5_VLTextModel", folder, device, dtype)
    else:
        network = load("Qwen2_5_VLForConditionalGeneration", folder, device, dtype).model.language_model
    found = []
    for ids in tokens:
        states = network(input_ids=torch.tensor([ids], device=device), output_hidden_states=True, use_cache=False)
        found.append(states.hidden_states[-3][0, HEADER_8B:].float().cpu())
    return found


def _run(folder: Path, name: str, inputs: Sequence[Tensor], argument: str) -> list[Tensor]:
    """Last states `[S, E]` of each input; the encoder is loaded only if there is one."""
    if not inputs:
        return []
    device, dtype = place_for(folder)
    network = load(name, folder, device, dtype)
    whole = (x.to(device, dtype if x.is_floating_point() else x.dtype) for x in inputs)
    return [network(**{argument: x}).last_hidden_state[0].float().cpu() for x in whole]


def _image_width(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_text())
    return int(config.get("vision_config", config)["hidden_size"])


ENCODERS: dict[str, Callable[[Path, Sequence[str], Picture | None], list[Features]]] = {
    "worldplay-5b": encode_5b,
    "worldplay-8b": encode_8b,
}


def carry_out(folder: Path) -> None:
    """Read the request in `folder` and leave the features there. Raises `WanderError`."""
    from safetensors.torch import save_file

    request = json.loads((folder / REQUEST).read_text())
    picture = None
    if (folder / PICTURE).exists():
        picture = np.asarray(Image.open(folder / PICTURE).convert("RGB"))
    with torch.inference_mode():
        found = ENCODERS[request["preset"]](Path(request["home"]), request["texts"], picture)
    named = {f"{i}.{name}": x.clone().contiguous() for i, features in enumerate(found) for name, x in features.items()}
    save_file(named, folder / FEATURES)


def _end_with_parent() -> None:
    """End at once when whoever asked has gone: its end of standard input closes."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                continue
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def main(folder: Path) -> int:
    """One request; a sentence on standard output if it can't be carried out."""
    _end_with_parent()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    try:
        carry_out(folder)
    except WanderError as error:
        os.write(1, json.dumps(str(error)).encode() + b"\n")
        return REFUSED
    except FileNotFoundError as error:
        os.write(1, json.dumps(f"{error.filename} is missing; download the whole folder again").encode() + b"\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
