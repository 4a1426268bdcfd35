"""The schema: what is said arrives, and nothing else is ever let in."""

import math
import os
import random
import subprocess
import sys
from pathlib import Path

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.codec import SMALL, UPLOAD, Limits, pack, unpack
from worker.entries import Entry
from worker.errors import WireError
from worker.model_protocol import Job, ModelMessage
from worker.protocol import (
    MAX_IMAGE,
    SCHEMA,
    ClientMessage,
    Control,
    Event,
    Frames,
    Hello,
    Open,
    Reply,
    SetPrompt,
    Step,
    WorldSpec,
)

ROOT = Path(__file__).resolve().parents[2]
FRAMES = Frames(
    generation=1, chunk=2, latent=0, index=5, seq=9, width=320, height=192, count=4, produced_ns=1, gen_ms=2.0
)
SAMPLES = [
    (Control(seq=3, generation=1, keys=5, yaw=-0.25, shown=12), Control),
    (Hello(schema=SCHEMA), ClientMessage),
    (Open(id=1, spec=WorldSpec(preset="fake", prompt="下雪的村庄", image=b"\x89PNG")), ClientMessage),
    (FRAMES, Event),
    (Reply(id=1, data={"chunk": 3, "x": 0.5, "session": "a", "none": None}), Event),
]
SCHEMAS = [Control, ClientMessage, Event, Job, ModelMessage, Entry]


def fields(message: msgspec.Struct) -> dict[str, object]:
    return msgpack.unpackb(pack(message))


@pytest.mark.parametrize(("message", "schema"), SAMPLES, ids=lambda value: type(value).__name__)
def test_a_message_arrives_as_it_was_sent(message, schema):
    assert unpack(pack(message), schema) == message


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"novelty": 1}, "unknown field"),
        ({"keys": 256}, "no such key"),
        ({"keys": "w"}, "keys are a bit set"),
        ({"seq": -1}, "negative"),
        ({"yaw": math.nan}, "not a number"),
        ({"yaw": math.inf}, "not finite"),
        ({"yaw": 100.0}, "more than sixteen half turns"),
        ({"shown": 1 << 63}, "too large"),
        ({"type": "open"}, "another message's name"),
        ({"taps": None}, "null"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_control_out_of_range_is_refused(change, because):
    with pytest.raises(WireError):
        unpack(msgpack.packb({**fields(SAMPLES[0][0]), **change}), Control)


def test_a_missing_field_is_refused():
    with pytest.raises(WireError, match="seq"):
        unpack(msgpack.packb({"type": "control", "generation": 1}), Control)


def test_a_field_that_is_given_twice_is_refused_though_messagepack_allows_it():
    twice = b"\x82" + msgpack.packb("seq") + b"\x01" + msgpack.packb("seq") + b"\x02"
    assert msgpack.unpackb(twice) == {"seq": 2}
    with pytest.raises(WireError, match="given twice"):
        unpack(twice, Control)


def test_extension_types_are_refused():
    with pytest.raises(WireError):
        unpack(msgpack.packb({"type": "control", "seq": msgpack.ExtType(5, b"x")}), Control)
    with pytest.raises(WireError):
        unpack(msgpack.packb(msgpack.Timestamp(1, 2)), Control)


def test_text_where_bytes_belong_is_refused():
    with pytest.raises(WireError):
        unpack(msgpack.packb({"type": "open", "id": 1, "spec": {"type": "spec", "image": "aGk="}}), ClientMessage)


@pytest.mark.parametrize("depth", [10, 400, 2_000, 100_000])
def test_nesting_of_any_depth_is_refused_without_harm(depth):
    with pytest.raises(WireError):
        unpack(b"\x91" * depth + b"\x00", Control)


@pytest.mark.parametrize(
    "header", [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
)
def test_a_length_of_four_thousand_million_costs_nothing(header):
    with pytest.raises(WireError):
        unpack(header + b"\x00" * 16, Control)


def test_a_message_over_its_limit_is_refused_before_it_is_read():
    with pytest.raises(WireError, match="101 bytes arrived where at most 100"):
        unpack(b"\x00" * 101, Control, Limits(message=100))


def test_the_largest_picture_may_be_uploaded_and_one_byte_more_may_not():
    for size, fits in ((MAX_IMAGE, True), (MAX_IMAGE + 1, False)):
        raw = pack(Open(id=1, spec=WorldSpec(image=bytes(size))))
        if fits:
            assert len(unpack(raw, ClientMessage, UPLOAD).spec.image) == size
        else:
            with pytest.raises(WireError):
                unpack(raw, ClientMessage, UPLOAD)
        with pytest.raises(WireError):
            unpack(raw, ClientMessage, SMALL)


def test_a_prompt_of_2000_characters_fits_in_any_script_and_one_of_2001_does_not():
    assert unpack(pack(SetPrompt(id=1, text="雪" * 2_000)), ClientMessage).text == "雪" * 2_000
    with pytest.raises(WireError):
        unpack(pack(SetPrompt(id=1, text="雪" * 2_001)), ClientMessage)


@settings(max_examples=400)
@given(st.binary(max_size=200), st.sampled_from(SCHEMAS))
def test_random_bytes_are_a_message_or_a_wire_error(raw, schema):
    try:
        unpack(raw, schema)
    except WireError:
        pass


@settings(max_examples=300)
@given(
    st.sampled_from([message for message, _ in SAMPLES]),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=6,
    ),
    st.randoms(use_true_random=False),
)
def test_any_value_in_any_field_is_a_message_or_a_wire_error(message, value, chance: random.Random):
    broken = fields(message)
    broken[chance.choice(sorted(broken))] = value
    for schema in SCHEMAS:
        try:
            unpack(msgpack.packb(broken), schema)
        except WireError:
            pass


def test_no_message_of_one_lane_is_taken_for_one_of_another():
    for message, own in SAMPLES:
        for schema in (Control, ClientMessage, Event):
            if schema is not own:
                with pytest.raises(WireError):
                    unpack(pack(message), schema)


def test_messages_cannot_be_changed_after_they_were_made():
    with pytest.raises(AttributeError):
        Step().keys = 3


def test_every_process_computes_the_same_schema_hash():
    code = "import worker.protocol as p, sys; sys.exit(p.SCHEMA != sys.argv[1])"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    assert subprocess.run([sys.executable, "-c", code, SCHEMA], env=environment, cwd=ROOT).returncode == 0
