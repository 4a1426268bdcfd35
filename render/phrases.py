"""The phrasebook of the model: what people may say, and which words that training read mean the same.

A small network hardly understands words that it never read; a sentence encoder knows what they are near to. So a prompt
is read as the nearest learnt one (`engine.phrases`). The wordings that evaluation asks with are not in here.
"""

import json
import sys
from pathlib import Path
from typing import Any

from render.captions import LANGUAGES, subject
from render.characters import VISITORS
from render.events import FAMILIES, Event
from render.vocabulary import EVENTS

PARAPHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    "rain": {
        "en": (
            "it is raining",
            "it rains heavily",
            "pouring rain",
            "a light drizzle",
            "showers of rain",
            "the heavens open",
            "rainy weather",
            "let there be rain",
            "raindrops on the ground",
        ),
        "zh": ("大雨", "下着小雨", "正在下雨", "大雨倾盆而下", "雨天"),
    },
    "snow": {
        "en": (
            "it is snowing",
            "a snowfall",
            "heavy snow",
            "everything turns white with snow",
            "a blizzard",
            "snowy weather",
            "winter comes",
            "let there be snow",
        ),
        "zh": ("正在下雪", "一场大雪", "暴风雪", "冬天来了", "白雪覆盖大地"),
    },
    "fog": {
        "en": (
            "it is foggy",
            "a foggy day",
            "mist",
            "thick mist drifts in",
            "a misty morning",
            "one can hardly see through the fog",
            "let there be fog",
        ),
        "zh": ("有雾", "大雾", "薄雾", "烟雾迷漫,什么也看不清"),
    },
    "storm": {
        "en": (
            "a thunderstorm",
            "it thunders",
            "lightning",
            "a heavy storm",
            "a storm comes up with thunder",
            "stormy weather with flashes of lightning",
            "a hurricane",
        ),
        "zh": ("打雷了", "闪电", "雷雨", "雷暴", "打雷下雨"),
    },
    "nightfall": {
        "en": (
            "it is night",
            "night time",
            "make it night",
            "it is dark now",
            "turn day into night",
            "midnight",
            "the sun is gone and it is dark",
            "nightfall",
        ),
        "zh": ("晚上", "黑夜", "天黑", "半夜", "夜里"),
    },
    "fire": {
        "en": (
            "fire at the {thing}",
            "a burning {thing}",
            "the {thing} goes up in flames",
            "smoke and fire come from the {thing}",
            "burn the {thing}",
            "a fire breaks out",
            "fire",
        ),
        "zh": ("{thing}失火了", "{thing}烧起来了", "燃烧的{thing}", "火灾", "着火"),
    },
    "flood": {
        "en": (
            "the ground is under water",
            "high water",
            "the river overflows",
            "water everywhere",
            "a lake covers the ground",
            "the sea rises",
            "an inundation",
        ),
        "zh": ("发洪水了", "到处是水", "河水泛滥", "水漫过地面", "涨水了"),
    },
    "autumn": {
        "en": (
            "it is autumn",
            "autumn leaves",
            "the leaves change colour",
            "red and yellow leaves",
            "make it autumn",
            "the trees turn red",
        ),
        "zh": ("秋季", "秋叶", "树叶变色了", "红叶", "金色的秋天"),
    },
    "visitor": {
        "en": (
            "here comes {one}",
            "{one} is there",
            "{one} walks past",
            "{one} enters",
            "{one} passes by",
            "a visitor: {one}",
            "show {one}",
            "I see {one}",
        ),
        "zh": ("来了{one}", "{one}出现", "{one}在这里", "看见{one}", "{one}从旁边走过"),
    },
    "dusk": {
        "en": (
            "it is dusk",
            "evening",
            "the sun goes down",
            "the evening sky is red",
            "a sunset",
            "twilight",
            "evening light",
            "the sun sinks to the horizon",
        ),
        "zh": ("傍晚", "黄昏", "夕阳", "太阳下山", "夕阳染红天空", "晚霞", "晚霞满天", "火烧云"),
    },
    "dawn": {
        "en": (
            "it is dawn",
            "morning",
            "a sunrise",
            "the sun comes up",
            "daybreak",
            "early morning light",
            "day breaks",
            "the sky gets light in the morning",
        ),
        "zh": ("黎明", "早晨", "清晨", "朝阳升起", "天快亮了", "天亮了", "晨光", "朝霞"),
    },
}
"""Ways to say that an event begins that no caption uses, by family and language, with a place for its subject."""
SUBJECTS = {"fire": ("house", "tree"), "visitor": tuple(VISITORS)}
"""What can burn, and who can come."""
OTHER = (
    "ships sail by",
    "more trees",
    "a bigger house",
    "turn around",
    "go faster",
    "look to the left",
    "open the window",
    "the sky is green",
    "paint it in another colour",
    "a castle",
    "a train",
    "a plane",
    "a robot",
    "a car",
    "spring",
    "blossoms",
    "music",
    "the moon",
    "clouds",
    "northern lights",
    "a bridge",
    "a tower",
    "a mountain",
    "a river",
    "a road",
    "people",
    "a shop",
    "a table",
    "a town",
    "a monster",
    "a ghost",
    "a building collapses",
    "the ground shakes",
    "wind",
    "hot weather",
    "ice",
    "how are you",
    "what is this",
    "zoom out",
    "run",
    "stand still",
    "birds",
    "insects",
    "a spaceship lands",
    "a dragon",
    "a ship at sea",
    "a palm tree",
    "a boat",
    "a plant",
    "a lamp",
    "gold",
    "glass",
    "向右转",
    "快跑",
    "打开窗户",
    "更多的树",
    "一座塔",
    "一辆汽车",
    "一只船",
    "火车",
    "飞机",
    "机器人",
    "春天",
    "鲜花",
    "音乐",
    "月亮",
    "云",
    "桥",
    "山",
    "人们",
    "你好",
    "绿色的天空",
)
"""What no family means: words that are nearest to one of these are read as they are."""
NEAREST = 0.5
"""Cosine of two sentences below which they don't mean the same."""


def phrasebook() -> dict[str, Any]:
    """The phrasebook as `engine.phrases` reads it: for each family and language the beginnings that captions are made
    of (`learnt`), others that mean the same (`also`), and its ends (`ends`); and what is none of them (`other`)."""
    families = {
        family: {
            language: {
                "learnt": _filled(family, language, EVENTS[family][language].begins),
                "also": _filled(family, language, PARAPHRASES[family][language]),
                "ends": _filled(family, language, EVENTS[family][language].ends),
            }
            for language in LANGUAGES
        }
        for family in FAMILIES
    }
    return {"kind": "pocket-phrases", "nearest": NEAREST, "families": families, "other": list(OTHER)}


def _filled(family: str, language: str, wordings: tuple[str, ...]) -> list[str]:
    """The wordings with each subject of the family, every phrase once."""
    events = [Event(family=family, start=0.0, subject=name) for name in SUBJECTS.get(family, ("",))]
    return list(dict.fromkeys(words.format(**subject(event, language)) for words in wordings for event in events))


def written() -> str:
    """The file `models/pocket/phrases.json`."""
    return json.dumps(phrasebook(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(written(), encoding="utf-8")
