"""The words that captions are made of, in English and Chinese."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Wordings:
    """Ways to say that an event begins, that it ends, and beginnings that training never reads."""

    begins: tuple[str, ...]
    ends: tuple[str, ...]
    heldout: tuple[str, ...]


PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    "meadow": {
        "en": (
            "a meadow",
            "a green meadow among hills",
            "a flowery meadow",
            "open grassland with trees",
            "rolling country with a path",
        ),
        "zh": ("草地", "群山间的绿色草地", "开满鲜花的草地", "有树的草原", "有小路的田野"),
    },
    "village": {
        "en": (
            "a village",
            "a small village of cottages",
            "a country village with pitched roofs",
            "a village street",
            "a hamlet among trees",
        ),
        "zh": ("村庄", "有小屋的村子", "尖屋顶的乡村", "村里的小街", "树丛中的小村庄"),
    },
    "forest": {
        "en": ("a forest", "a deep forest", "woods with old trees", "a forest trail", "a clearing in the woods"),
        "zh": ("森林", "茂密的森林", "老树林", "林间小路", "林中空地"),
    },
    "desert": {
        "en": (
            "a desert",
            "a sandy desert with dunes",
            "a desert with cacti",
            "an oasis in the sand",
            "a dry sandy land",
        ),
        "zh": ("沙漠", "有沙丘的沙漠", "长着仙人掌的沙漠", "沙漠绿洲", "干旱的沙地"),
    },
    "snow": {
        "en": (
            "a snowy land",
            "a snowfield with pines",
            "a winter landscape",
            "snow-covered mountains",
            "a frozen valley",
        ),
        "zh": ("雪地", "有松树的雪原", "冬天的风景", "白雪覆盖的群山", "冰封的山谷"),
    },
    "coast": {
        "en": ("a coast", "a sandy beach by the sea", "a seaside with palm trees", "a bay with boats", "the seashore"),
        "zh": ("海岸", "海边的沙滩", "有棕榈树的海边", "停着小船的海湾", "海滨"),
    },
    "town": {
        "en": ("a town", "an old town with narrow houses", "a town square", "paved streets of a town", "a market town"),
        "zh": ("小镇", "房屋紧挨的老城", "小镇广场", "镇上的石板街", "集市小镇"),
    },
    "canyon": {
        "en": ("a canyon", "a canyon of red rock", "a valley of rock pillars", "a dry gorge", "red rocky badlands"),
        "zh": ("峡谷", "红色岩石的峡谷", "石柱林立的山谷", "干涸的峡谷", "红色荒原"),
    },
    "city": {
        "en": (
            "a city",
            "a modern city with tall buildings",
            "city streets",
            "downtown with neon signs",
            "a street between high-rises",
        ),
        "zh": ("城市", "高楼林立的现代城市", "城市街道", "霓虹闪烁的市中心", "高楼之间的街道"),
    },
}

MOODS: dict[str, dict[str, tuple[str, ...]]] = {
    "noon": {
        "en": ("at noon", "on a clear day", "in bright sunshine", "under a blue sky"),
        "zh": ("正午", "晴朗的白天", "阳光明媚", "蓝天下"),
    },
    "dawn": {
        "en": ("at dawn", "early in the morning", "at sunrise", "in soft morning light"),
        "zh": ("黎明", "清晨", "日出时分", "晨光里"),
    },
    "dusk": {
        "en": ("at dusk", "at sunset", "in the evening light", "in golden hour"),
        "zh": ("黄昏", "日落时分", "傍晚", "夕阳下"),
    },
    "overcast": {
        "en": ("on an overcast day", "under grey clouds", "on a cloudy day", "in dull light"),
        "zh": ("阴天", "灰云下", "多云的日子", "光线暗淡"),
    },
    "night": {
        "en": ("at night", "under the stars", "by moonlight", "late at night"),
        "zh": ("夜晚", "星空下", "月光下", "深夜"),
    },
}

LANDMARKS_ZH = {
    "tower": "高塔",
    "windmill": "风车",
    "church": "教堂",
    "great tree": "一棵巨树",
    "obelisk": "方尖碑",
    "statue": "雕像",
    "arch": "石拱门",
    "lighthouse": "灯塔",
    "fountain": "喷泉",
    "clock tower": "钟楼",
    "pyramid": "金字塔",
    "standing stones": "巨石阵",
    "ice spire": "冰柱",
    "rock arch": "天然石拱",
    "mesa": "平顶山",
}
HEROES_ZH = {
    "traveller in a red coat": "穿红外套的旅人",
    "child in a yellow raincoat": "穿黄雨衣的孩子",
    "wizard in a blue robe": "穿蓝袍的巫师",
    "hiker in a green jacket": "穿绿夹克的徒步者",
    "fox": "一只狐狸",
    "white dog": "一只白狗",
    "black cat": "一只黑猫",
}
VISITORS_ZH = {
    "deer": "一只鹿",
    "sheep": "一只羊",
    "horse": "一匹马",
    "fox": "一只狐狸",
    "child in a red coat": "一个穿红外套的孩子",
    "farmer in a straw hat": "一个戴草帽的农夫",
}
HOUSE_ZH, TREE_ZH = "房子", "树"

EVENTS: dict[str, dict[str, Wordings]] = {
    "rain": {
        "en": Wordings(
            begins=(
                "it starts to rain",
                "rain begins to fall",
                "it begins to rain",
                "a rain shower",
                "make it rain",
                "rain",
            ),
            ends=("the rain stops", "it stops raining", "no more rain", "the sky clears after the rain"),
            heldout=("raindrops come down", "let it pour a little"),
        ),
        "zh": Wordings(
            begins=("开始下雨", "下起雨来", "天下雨了", "下雨", "一阵雨落下"),
            ends=("雨停了", "不再下雨", "雨过天晴"),
            heldout=("雨点落了下来",),
        ),
    },
    "snow": {
        "en": Wordings(
            begins=(
                "it starts to snow",
                "snow begins to fall",
                "it begins to snow",
                "snowflakes fall and cover the ground",
                "snow",
            ),
            ends=("the snow stops", "it stops snowing", "the snow melts", "no more snow"),
            heldout=("winter arrives with snowfall", "let it snow"),
        ),
        "zh": Wordings(
            begins=("开始下雪", "下起雪来", "天下雪了", "下雪", "雪花飘落,大地变白"),
            ends=("雪停了", "不再下雪", "雪化了"),
            heldout=("大雪纷飞",),
        ),
    },
    "fog": {
        "en": Wordings(
            begins=("fog rolls in", "it becomes foggy", "a thick fog comes up", "mist covers everything", "fog"),
            ends=("the fog lifts", "the fog clears", "the mist is gone", "no more fog"),
            heldout=("everything disappears in haze", "a dense mist gathers"),
        ),
        "zh": Wordings(
            begins=("起雾了", "大雾弥漫", "雾越来越浓", "雾气笼罩一切", "雾"),
            ends=("雾散了", "雾消失了", "不再有雾"),
            heldout=("浓雾升起",),
        ),
    },
    "storm": {
        "en": Wordings(
            begins=(
                "a thunderstorm breaks out",
                "a storm with lightning",
                "lightning flashes and it pours",
                "a storm begins",
                "thunder and lightning",
            ),
            ends=("the storm passes", "the thunderstorm is over", "the storm stops"),
            heldout=("dark clouds and thunderbolts", "a violent tempest arrives"),
        ),
        "zh": Wordings(
            begins=("雷雨来了", "电闪雷鸣", "暴风雨开始了", "闪电划过,大雨倾盆", "暴风雨"),
            ends=("暴风雨过去了", "雷雨停了"),
            heldout=("乌云密布,雷电交加",),
        ),
    },
    "nightfall": {
        "en": Wordings(
            begins=(
                "night falls",
                "it gets dark",
                "it becomes night",
                "the sun goes down and the lamps light up",
                "night",
            ),
            ends=("day breaks", "it becomes day again", "the night is over"),
            heldout=("darkness comes", "switch to night time"),
        ),
        "zh": Wordings(
            begins=("夜幕降临", "天黑了", "变成夜晚", "太阳落山,灯亮了", "夜晚"),
            ends=("天亮了", "又到了白天", "黑夜过去了"),
            heldout=("天色暗了下来",),
        ),
    },
    "fire": {
        "en": Wordings(
            begins=(
                "the {thing} catches fire",
                "the {thing} is on fire",
                "a {thing} burns",
                "flames and smoke rise from the {thing}",
                "set the {thing} on fire",
            ),
            ends=("the fire goes out", "the fire is put out", "the {thing} stops burning"),
            heldout=("the {thing} bursts into flames", "a blaze breaks out at the {thing}"),
        ),
        "zh": Wordings(
            begins=("{thing}着火了", "{thing}在燃烧", "{thing}起火,冒出浓烟", "点燃{thing}"),
            ends=("火灭了", "火被扑灭了", "{thing}不再燃烧"),
            heldout=("{thing}突然燃起大火",),
        ),
    },
    "flood": {
        "en": Wordings(
            begins=("water floods the ground", "a flood comes", "the water rises", "the place is flooded", "flood"),
            ends=("the water recedes", "the flood is over", "the ground dries"),
            heldout=("everything is under water", "a river bursts its banks"),
        ),
        "zh": Wordings(
            begins=("洪水来了", "水淹没了地面", "水位上涨", "这里被水淹了", "洪水"),
            ends=("洪水退了", "水退了", "地面干了"),
            heldout=("河水漫了上来",),
        ),
    },
    "autumn": {
        "en": Wordings(
            begins=(
                "autumn comes",
                "the leaves turn red and gold",
                "it becomes autumn",
                "the trees turn orange",
                "autumn",
            ),
            ends=("the leaves are green again", "summer returns", "autumn is over"),
            heldout=("fall colours spread over the trees", "the season changes to fall"),
        ),
        "zh": Wordings(
            begins=("秋天来了", "树叶变红变黄", "变成秋天", "树木染上橙色", "秋天"),
            ends=("树叶又绿了", "夏天回来了", "秋天过去了"),
            heldout=("满树金黄",),
        ),
    },
    "visitor": {
        "en": Wordings(
            begins=("{one} appears", "{one} comes along", "{one} walks by", "there is {one}", "{one}"),
            ends=("{the} disappears", "{the} is gone", "{the} leaves"),
            heldout=("suddenly {one} shows up", "look, {one}"),
        ),
        "zh": Wordings(
            begins=("出现了{one}", "{one}走来", "{one}路过", "有{one}", "{one}"),
            ends=("{one}消失了", "{one}走了"),
            heldout=("突然来了{one}",),
        ),
    },
    "dusk": {
        "en": Wordings(
            begins=("dusk falls", "the sun sets", "evening comes", "the sky turns orange at sunset", "sunset"),
            ends=("dusk is over", "the evening light is gone", "the sunset is over"),
            heldout=("the sky glows red in the evening", "golden hour begins"),
        ),
        "zh": Wordings(
            begins=("黄昏来临", "夕阳西下", "傍晚到了", "日落时天空变成橙色", "日落"),
            ends=("黄昏过去了", "晚霞消失了"),
            heldout=("天边泛起晚霞",),
        ),
    },
    "dawn": {
        "en": Wordings(
            begins=("dawn breaks", "the sun rises", "morning comes", "soft morning light fills the sky", "sunrise"),
            ends=("dawn is over", "the morning is over", "the sunrise is over"),
            heldout=("the first light of the day appears", "a new day begins with pink light"),
        ),
        "zh": Wordings(
            begins=("黎明到来", "太阳升起来了", "早晨来了", "天空泛起柔和的晨光", "日出"),
            ends=("黎明过去了", "早晨过去了"),
            heldout=("清晨的第一缕光出现了",),
        ),
    },
}
