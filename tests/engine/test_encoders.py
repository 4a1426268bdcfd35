"""Words and pictures for the released presets; networks of random weights where `transformers` is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import encoder_process as reading
from engine.encoders import Encoders
from engine.errors import WanderError

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
LETTERS = 96
"""Tokens of the tests' tokenizer: one for each letter, and the end."""


def test_what_stands_in_quotes_is_read_once_and_as_bytes():
    text = 'a sign "open", a door \u201cclosed\u201d and "open"'
    assert reading.quoted(text) == 'Text "open". Text "closed". '
    assert reading.byte_tokens("ab") == [100, 101, 1] and reading.byte_tokens("") == []
    assert len(reading.byte_tokens(300 * "x")) == 256 and reading.byte_tokens(300 * "x")[-1] == 1


def test_the_system_message_keeps_its_runs_of_spaces():
    assert reading.SYSTEM.count(" " + 8 * " ") == 5 and 10 * " " not in reading.SYSTEM
    assert reading.chat("") == reading.chat(" ")
    assert reading.chat("a pier").endswith("user\na pier<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize("shape", [(60, 100), (100, 60), (700, 700)])
def test_a_picture_fills_siglips_square_whatever_its_shape(shape):
    pixels = reading.siglip_pixels(np.full((*shape, 3), 255, dtype=np.uint8))
    assert pixels.shape == (1, 3, 384, 384) and bool((pixels == 1).all())


def test_a_missing_package_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("engine.encoders.NEEDED", ("no_such_package",))
    with pytest.raises(WanderError, match="no_such_package is missing; start Wander with --preset worldplay-5b"):
        Encoders("worldplay-5b", tmp_path, lambda *_: None)("a pier")


def test_a_process_that_dies_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("engine.encoders.NEEDED", ())
    with pytest.raises(WanderError, match=r"ended with status 1: KeyError: 'nonesuch'; is there memory"):
        Encoders("nonesuch", tmp_path, lambda *_: None)("a pier")


def test_a_missing_tokenizer_is_one_sentence(monkeypatch, tmp_path):
    pytest.importorskip("ftfy")
    with pytest.raises(WanderError, match=r"there is no tokenizer\.json in .*text/tokenizer"):
        Encoders("worldplay-5b", tmp_path, lambda *_: None)("a pier")


def test_words_are_encoded_once_and_again_for_another_picture(monkeypatch, tmp_path):
    asked = []

    def encode(_self, texts, picture=None):
        asked.append((texts, picture))
        return [{"text": torch.zeros(1, 8)} for _ in texts]

    monkeypatch.setattr(Encoders, "encode", encode)
    encoders = Encoders("worldplay-5b", tmp_path, lambda *_: None)
    for picture in (None, PICTURE, PICTURE):
        encoders("a pier", picture)
    assert len(asked) == 2


@pytest.fixture
def transformers():
    return pytest.importorskip("transformers")


def write_tokenizer(folder: Path) -> None:
    """One token a letter, then the end."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    letters = {chr(32 + number): number for number in range(LETTERS - 1)} | {"\x03": LETTERS - 1}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token=" "))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A \x03", pair=None, special_tokens=[("\x03", LETTERS - 1)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def write_5b(transformers, home: Path):
    config = transformers.UMT5Config(vocab_size=LETTERS, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4)
    network = transformers.UMT5EncoderModel(config).eval()
    network.save_pretrained(home / "text" / "text_encoder")
    write_tokenizer(home / "text" / "tokenizer")
    return network


def write_8b(transformers, home: Path):
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    config = transformers.Qwen2_5_VLTextConfig(
        vocab_size=LETTERS, hidden_size=32, intermediate_size=32, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, rope_scaling=rope, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    language = transformers.Qwen2_5_VLTextModel(config).eval()
    language.save_pretrained(home / "text")
    write_tokenizer(home / "text")
    quotes = transformers.T5Config(vocab_size=384, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4,
                                   feed_forward_proj="gated-gelu")  # fmt: skip
    transformers.T5EncoderModel(quotes).save_pretrained(home / "quotes")
    siglip = transformers.SiglipVisionConfig(hidden_size=24, intermediate_size=32, num_hidden_layers=2,
                                             num_attention_heads=4, image_size=384, patch_size=128)  # fmt: skip
    transformers.SiglipVisionModel(siglip).save_pretrained(home / "image")
    return language


@pytest.fixture
def exactly(monkeypatch):
    monkeypatch.setattr(reading, "place_for", lambda _folder: (torch.device("cpu"), torch.float32))


@torch.inference_mode()
def test_the_5b_reads_512_rows_with_zeros_after_the_words(transformers, exactly, tmp_path):
    network = write_5b(transformers, tmp_path)
    (found,) = reading.encode_5b(tmp_path, ["  a   &amp;pier"], None)
    ids = torch.tensor([[ord(letter) - 32 for letter in "a &pier"] + [LETTERS - 1]])
    padded, mask = torch.zeros(1, 512, dtype=torch.long), torch.zeros(1, 512, dtype=torch.long)
    padded[:, :8], mask[:, :8] = ids, 1
    expected = network(input_ids=padded, attention_mask=mask).last_hidden_state[0, :8]
    torch.testing.assert_close(found["text"][:8], expected, atol=1e-5, rtol=0)
    assert found["text"].shape == (512, 16) and not found["text"][8:].any()


@torch.inference_mode()
def test_the_8b_reads_the_language_model_before_its_last_two_layers(transformers, exactly, tmp_path):
    network = write_8b(transformers, tmp_path)
    (found,) = reading.encode_8b(tmp_path, ["a pier"], None)
    seen = []
    network.layers[1].register_forward_hook(lambda *call: seen.append(call[2]))
    ids = [ord(letter) - 32 if letter >= " " else 0 for letter in reading.chat("a pier")]
    network(input_ids=torch.tensor([ids]))
    output = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    expected = output.reshape(-1, 32)[reading.HEADER_8B :]
    torch.testing.assert_close(found["text"], expected, atol=1e-5, rtol=0)
    assert found["quoted"].shape == (0, 16) and found["image"].shape == (0, 24)


def test_the_8b_reads_quotes_and_a_picture_in_a_process_that_has_ended(transformers, tmp_path):
    write_8b(transformers, tmp_path)
    told = []
    encoders = Encoders("worldplay-8b", tmp_path, lambda *news: told.append(news))
    (found,) = encoders.encode(['a sign "open"'], PICTURE)
    assert found["quoted"].shape == (len('Text "open". ') + 1, 16) and found["image"].shape == (9, 24)
    assert found["text"].isfinite().all() and told


def test_a_network_with_missing_tensors_is_refused(transformers, exactly, tmp_path):
    from safetensors.torch import load_file, save_file

    write_5b(transformers, tmp_path)
    path = tmp_path / "text" / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    del tensors["encoder.final_layer_norm.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(WanderError, match=r"is not a whole UMT5EncoderModel: encoder\.final_layer_norm\.weight"):
        reading.encode_5b(tmp_path, ["a pier"], None)


def test_siglips_pixels_are_those_of_its_own_preprocessor(transformers):
    try:
        processor = transformers.SiglipImageProcessor(size={"height": 384, "width": 384}, resample=3)
        square = np.random.default_rng(1).integers(0, 256, (640, 640, 3), dtype=np.uint8)
        expected = torch.as_tensor(np.asarray(processor(images=square, return_tensors="np")["pixel_values"]))
    except ImportError as error:
        pytest.skip(f"the preprocessor needs more packages: {error}")
    torch.testing.assert_close(reading.siglip_pixels(square), expected, atol=0.02, rtol=0)


def test_the_request_and_its_answer_are_files(monkeypatch, tmp_path):
    monkeypatch.setitem(reading.ENCODERS, "worldplay-5b", lambda _home, texts, _picture: [
        {"text": torch.full((2, 3), float(len(text)))} for text in texts
    ])  # fmt: skip
    request = {"preset": "worldplay-5b", "home": str(tmp_path), "texts": ["a", "bcd"]}
    (tmp_path / reading.REQUEST).write_text(json.dumps(request))
    reading.carry_out(tmp_path)
    from engine.encoders import _read

    assert [float(features["text"][0, 0]) for features in _read(tmp_path / reading.FEATURES, 2)] == [1.0, 3.0]
    assert sys.executable
