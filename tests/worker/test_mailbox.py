"""The mailbox: nothing that a person does is lost, nothing counts twice."""

import math

from hypothesis import given
from hypothesis import strategies as st

from worker.mailbox import LookLimit, Mailbox, merge
from worker.protocol import Control

W, S, RIGHT = 1, 2, 16
LIMIT = LookLimit()

keys = st.integers(0, 255)
looks = st.floats(-2, 2)
moves = st.lists(st.tuples(keys, keys, looks, looks), max_size=20)


def mailbox(*controls: Control) -> Mailbox:
    box = Mailbox()
    for control in controls:
        box = box.receive(control, generation=1)
    return box


def control(seq: int, **fields: int | float) -> Control:
    return Control(seq=seq, generation=1, **fields)


def test_a_held_key_goes_to_every_latent():
    steps, _ = mailbox(control(1, keys=W)).take(4)
    assert [step.keys for step in steps] == [W] * 4


def test_a_key_that_was_tapped_between_two_chunks_goes_to_the_first_latent_alone():
    steps, rest = mailbox(control(1, keys=W), control(2, keys=0)).take(4)
    assert [step.keys for step in steps] == [W, 0, 0, 0]
    assert [step.keys for step in rest.take(4)[0]] == [0] * 4


def test_a_tap_inside_one_control_is_kept():
    steps, _ = mailbox(control(1, taps=RIGHT)).take(2)
    assert [step.keys for step in steps] == [RIGHT, 0]


def test_a_key_held_since_an_earlier_chunk_and_released_before_this_one_does_not_move_again():
    _, box = mailbox(control(1, keys=W)).take(4)
    steps, _ = box.receive(control(2, keys=0), generation=1).take(4)
    assert [step.keys for step in steps] == [0] * 4


def test_what_is_done_before_the_first_picture_waits_for_the_first_latent_that_moves():
    steps, rest = mailbox(control(1, taps=W, yaw=0.01)).take(1, still=1)
    assert steps[0].keys == 0
    assert rest.take(1)[0][0].keys == W
    steps, _ = mailbox(control(1, taps=W, keys=S)).take(4, still=1)
    assert [step.keys for step in steps] == [0, W | S, S, S]


@given(moves, st.sampled_from([1, 2, 4]))
def test_mouse_look_is_neither_lost_nor_faster_than_the_limit(moves, latents):
    box, spent = Mailbox(), 0.0
    for seq, (held, taps, yaw, pitch) in enumerate(moves, 1):
        box = box.receive(control(seq, keys=held, taps=taps, yaw=yaw, pitch=pitch), generation=1)
        steps, box = box.take(latents)
        assert all(abs(step.yaw) <= LIMIT.per_latent + 1e-12 for step in steps)
        spent += sum(step.yaw for step in steps)
    assert math.isclose(spent + box.yaw, sum(move[2] for move in moves), abs_tol=1e-9)


def test_a_quick_turn_goes_on_in_the_chunks_after_it_until_it_is_done():
    box, angles = mailbox(control(1, yaw=math.radians(50))), []
    for _ in range(3):
        steps, box = box.take(4)
        angles.append(round(math.degrees(sum(step.yaw for step in steps)), 6))
    assert angles == [35.2, 14.8, 0.0]


@given(moves, st.lists(st.integers(0, 40), max_size=10))
def test_controls_that_come_twice_or_out_of_order_change_nothing(moves, repeats):
    stream = [control(seq, keys=k, taps=t, yaw=y, pitch=p) for seq, (k, t, y, p) in enumerate(moves, 1)]
    noisy = list(stream)
    for place in repeats:
        if stream:
            noisy.insert(place % len(noisy) + 1, noisy[place % len(noisy)])
    clean, dirty = mailbox(*stream), mailbox(*noisy)
    assert dirty.ignored == len(noisy) - len(stream)
    assert (dirty.keys, dirty.pressed, dirty.yaw, dirty.pitch) == (clean.keys, clean.pressed, clean.yaw, clean.pitch)


def test_movement_meant_for_an_older_world_is_thrown_away_but_held_keys_are_known():
    box = Mailbox().receive(Control(seq=1, generation=1, keys=W, taps=S, yaw=1.0), generation=2)
    assert (box.keys, box.pressed, box.yaw) == (W, 0, 0.0)


@given(moves.filter(lambda moves: len(moves) >= 2))
def test_controls_merged_by_the_sender_say_what_they_said_one_by_one(moves):
    stream, held = [], 0
    for seq, (k, t, y, p) in enumerate(moves, 1):
        stream.append(control(seq, keys=k, taps=t | (k & ~held), yaw=y, pitch=p))
        held = k
    merged = stream[0]
    for later in stream[1:]:
        merged = merge(merged, later)
    one, many = mailbox(merged), mailbox(*stream)
    assert (one.seq, one.keys, one.keys | one.pressed) == (many.seq, many.keys, many.keys | many.pressed)
    assert math.isclose(one.yaw, many.yaw, abs_tol=1e-9)


def test_whether_walls_stop_the_walk_is_written_into_every_step_that_moves():
    box = mailbox(control(1, keys=W, walls=True))
    assert [step.walls for step in box.take(3, still=1)[0]] == [False, True, True]
    assert not any(step.walls for step in box.receive(control(2, keys=W), generation=1).take(2)[0])
