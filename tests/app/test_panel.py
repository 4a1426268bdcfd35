"""The panel under real clicks: words and their history, the keys 1 to 9, the timeline, what the model reads."""

import pygame
import pytest

from app.settings import QUICK_EVENTS
from worker import protocol as wire

SIZE = (1000, 1000)
RAIN = wire.Happening(text="it starts to rain", chunk=2, latent=8, active=True)
SNOW = wire.Happening(text="snow begins to fall", chunk=5, latent=20, active=False)
STOP = wire.Happening(text="it stops", chunk=7, latent=28, active=False, ended="snow begins to fall")
BRANCHES = (
    wire.Branch(number=0, name="the dry one", seed=7, latents=12, shared=8, made=1, chunks=3),
    wire.Branch(number=1, seed=7, latents=40, shared=40, made=1, chunks=10),
)


@pytest.fixture
def panel(look_at, link, eyes):
    """Hands in a walk of ten chunks on which it rained and snowed, the panel open."""
    hands = look_at()
    hands.press(pygame.K_RETURN)
    told = {"prompt": "a village\nit starts to rain", "happenings": (RAIN, SNOW, STOP), "branches": BRANCHES}
    link.world(chunks=10, branch=1, **told)
    link.pictures(4, chunk=9, last=True, grey=120)
    hands.press(pygame.K_TAB)
    hands.wait()
    return hands


def said(link):
    return [request.text for request in link.asked(wire.SetPrompt)]


def test_up_and_down_in_the_box_walk_through_what_was_asked_for_before(panel, link):
    panel.press(pygame.K_RETURN)
    for words in ("rain", "雪"):
        panel.type(words)
        panel.press(pygame.K_RETURN)
        panel.press(pygame.K_RETURN)
    found = []
    for key in (pygame.K_UP, pygame.K_UP, pygame.K_UP, pygame.K_DOWN, pygame.K_DOWN):
        panel.press(key)
        found.append(panel.ui.event)
    assert found == ["雪", "rain", "rain", "雪", ""]
    panel.press(pygame.K_UP)
    panel.press(pygame.K_RETURN)
    assert said(link) == ["rain", "雪", "雪"]


def test_a_quick_event_is_a_click_as_well_as_a_key(panel, link, eyes):
    for number in (1, 5, 9):
        panel.click(*eyes.centre(f"##quick{number}"))
    assert said(link) == [QUICK_EVENTS[number - 1].words for number in (1, 5, 9)]


def test_a_person_edits_what_a_key_says_and_it_is_kept(panel, link, eyes):
    panel.click(*eyes.centre("##link Edit 1 - 9"))
    panel.click(*eyes.centre("##words2"))
    panel.press(pygame.K_a, pygame.KMOD_LCTRL)
    panel.type("a dragon lands")
    panel.click(*eyes.centre("##label2"))
    panel.press(pygame.K_a, pygame.KMOD_LCTRL)
    panel.type("Dragon")
    panel.click(*eyes.centre("##link Done"))
    kept = panel.explorer.settings_to_keep().quick_events
    assert (kept[1].label, kept[1].words) == ("Dragon", "a dragon lands")
    assert kept[:1] + kept[2:] == QUICK_EVENTS[:1] + QUICK_EVENTS[2:]
    panel.press(pygame.K_2)
    assert said(link) == ["a dragon lands"]


def test_the_whole_text_that_the_model_reads_is_shown_and_what_waits_for_its_answer(panel, eyes):
    panel.press(pygame.K_4)
    assert {"a village", "it starts to rain", f"asked for: {QUICK_EVENTS[3].words}"} <= set(eyes.words)


def test_one_event_among_those_that_are_read_is_ended_by_its_cross(panel, link, eyes):
    link.world(chunks=10, branch=1, prompt="a village\nrain\nfog", branches=BRANCHES)
    panel.wait()
    panel.click(*eyes.centre("##end0"))
    assert said(link) == ["a village\nfog"]
    assert not panel.explorer.state.settings.prompt_history


def test_every_event_stands_in_the_timeline_with_its_chunk_and_what_it_has_ended(panel, eyes):
    lines = [words for words in eyes.words if "from chunk" in words]
    assert [line.split("  ")[0] for line in lines] == [
        "ended: snow begins to fall",
        "snow begins to fall",
        "it starts to rain",
    ]
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["7", "5", "2"]


def test_undoing_an_event_goes_back_to_the_chunk_before_it(panel, link, eyes):
    for happening in (RAIN, SNOW, STOP):
        panel.click(*eyes.centre(f"##back{happening.chunk} "))
        assert link.asked(wire.Rewind)[-1].chunks == happening.chunk


def test_a_click_on_the_bar_of_time_goes_back_to_that_moment_and_one_at_its_end_stays_there(panel, link, eyes):
    left, top, right, bottom = eyes.places["##timeline"]
    inset = panel.explorer.screen.gui.theme.px(7)
    for chunks in (0, 4, 9, 10):
        panel.click(left + inset + (right - left - 2 * inset) * chunks / 10, (top + bottom) / 2)
    assert [request.chunks for request in link.asked(wire.Rewind)] == [0, 4, 9]


def test_a_branch_gets_the_name_that_is_typed_and_another_one_is_gone_on_from(panel, link, eyes):
    panel.click(*eyes.centre("##branch", exact=True))
    panel.type("雨")
    panel.press(pygame.K_RETURN)
    assert link.asked(wire.Keep)[-1].name == "雨"
    panel.click(*eyes.centre("the dry one"))
    assert link.asked(wire.Switch)[-1].branch == 0


def test_with_the_panel_closed_an_answered_prompt_tells_its_chunk_over_the_picture(panel, link):
    panel.press(pygame.K_TAB)
    panel.press(pygame.K_3)
    fog = wire.Happening(text=QUICK_EVENTS[2].words, chunk=11, latent=44, active=True)
    link.world(chunks=11, branch=1, happenings=(RAIN, fog), branches=BRANCHES)
    link.reply(chunk=11, generation=1)
    panel.wait()
    assert panel.ui.toasts[-1].sentence.endswith("from chunk 11")
