"""Least recently used things are forgotten, and made again when they are wanted."""

from collections import OrderedDict

from engine.recent import recent


def test_what_was_used_last_is_kept_and_the_rest_is_made_again():
    kept: OrderedDict[str, str] = OrderedDict()
    made: list[str] = []

    def get(key: str) -> str:
        return recent(kept, key, lambda: made.append(key) or key.upper(), 2)

    assert [get(key) for key in "abacaba"] == list("ABACABA")
    assert made == list("abcb"), "a was used between, so it stayed; b and c took turns"
