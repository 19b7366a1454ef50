"""Which shard goes with which file of labels: decided by names, or refused, never wrong."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from transferability.errors import DataError
from transferability.io._pairing import check_order, pair_files

SEED, DRAWS = 20240611, 10_000
WORDS = [
    *("cat", "dog", "ant", "bee", "train", "val", "test", "new_york", "paris", "rio-de-janeiro"),
    *("jan", "feb", "mar", "north", "south", "max", "fox", "ab", "a", "b", "aa", "Ox", "été"),
]
DISTRACTORS = ["v2", "768", "final", "seed-3", "layer_4", "2023", "fp16", "0", "1", "all"]


def files(names: list[str]) -> list[tuple[Path, str | None]]:
    return [(Path("/data", name), None) for name in names]


def pair(features: list[str], labels: list[str], in_order: bool = False) -> list[int]:
    return pair_files(files(features), files(labels), in_order=in_order)


@dataclass(frozen=True)
class Part:
    """What tells shards apart: a kind, and a word in front of it or none."""

    kind: str
    label: str

    def draw(self, rng: random.Random, n: int) -> list[object]:
        if self.kind == "number":
            start, step = rng.choice([0, 0, 1, 7, 95, 1000]), rng.choice([1, 1, 1, 2, 100])
            return [start + step * i for i in range(n)]
        if self.kind == "word":
            return rng.sample(WORDS, n)
        if self.kind == "hash":
            length = rng.choice([4, 8, 12, 40])
            return ["".join(rng.choices("0123456789abcdef", k=length)) for _ in range(n)]
        month, day = rng.randrange(1, 12), rng.randrange(1, 27 - n)
        return [(2000 + rng.randrange(30), month, day + i) for i in range(n)]

    def write(self, value: object, style: dict[str, str]) -> str:
        if isinstance(value, int):
            text = f"{value:0{style['width']}d}"
        elif isinstance(value, tuple):
            text = style["date"].format(*value)
        else:
            text = str(value)
        glue = "" if style["glue"] == "" and self.kind == "number" else style["glue"] or "_"
        return f"{self.label}{glue}{text}" if self.label else text


@dataclass(frozen=True)
class Scheme:
    """How one side writes its names."""

    order: list[int]
    role: str
    before: list[str]
    after: list[str]
    folders: int
    suffix: str
    style: dict[str, str]

    def name(self, parts: list[Part], item: tuple[object, ...]) -> str:
        written = [parts[i].write(item[i], self.style) for i in self.order]
        folders, rest = written[: self.folders], written[self.folders :]
        stem = self.style["join"].join([*self.before, *rest, *self.after]) or "data"
        return "/".join([self.role, *folders, stem]) + self.suffix


def draw_scheme(rng: random.Random, parts: list[Part], side: str) -> Scheme:
    order = list(range(len(parts)))
    if len(parts) > 1 and rng.random() < 0.15:
        order.remove(rng.choice(order))
    kinds = Counter((part.kind, part.label) for part in parts)
    if max(kinds.values()) == 1 and rng.random() < 0.3:  # else nobody could tell
        rng.shuffle(order)
    roles = {"x": ["features", "x", "emb", ""], "y": ["labels", "y", "target", ""]}[side]
    in_name = {"x": ["x", "feat", "emb", "X"], "y": ["y", "label", "target", "Y"]}[side]
    before = rng.sample(DISTRACTORS, rng.choice([0, 0, 1])) + rng.sample(
        in_name, rng.choice([0, 1])
    )
    after = rng.sample(DISTRACTORS, rng.choice([0, 0, 0, 1])) if before else in_name[:1]
    style = {
        "width": rng.choice(["", "", "2", "5"]),
        "date": rng.choice(["{}-{:02}-{:02}", "{}{:02}{:02}", "{}_{:02}_{:02}", "{}.{}.{}"]),
        "glue": rng.choice(["", "_", "-"]),
        "join": rng.choice(["_", "-", "."]),
    }
    suffix = rng.choice([".npy", ".npz", ".parquet"] if side == "x" else [".npy", ".csv", ".txt"])
    folders = rng.choice([0, 0, 0, 1, len(parts)])
    return Scheme(order, rng.choice(roles), before, after, folders, suffix, style)


def draw_items(rng: random.Random, parts: list[Part]) -> list[tuple[object, ...]]:
    """Draw distinct shards: a grid of the values of all parts, or some of it."""
    n = rng.randrange(2, 5)
    columns = [part.draw(rng, n) for part in parts]
    if len(parts) > 1 and parts[0].kind == parts[1].kind == "number" and rng.random() < 0.4:
        bounds = parts[0].draw(rng, n + 1)  # ranges of rows
        columns[:2] = [bounds[:-1], bounds[1:]]
        return list(zip(*columns, strict=True))
    if rng.random() < 0.5:
        return list(zip(*columns, strict=True))
    grid: list[tuple[object, ...]] = [()]
    for column in columns:
        grid = [(*item, value) for item in grid for value in column]
    return grid if len(grid) <= 8 else rng.sample(grid, rng.randrange(2, 9))


def fresh(
    rng: random.Random, parts: list[Part], items: list[tuple[object, ...]]
) -> tuple[object, ...]:
    """Return a shard that is not among the items but differs from one of them in one part."""
    while True:
        item = list(rng.choice(items))
        place = rng.randrange(len(parts))
        other = rng.choice(items)[place]
        item[place] = rng.choice([other, *parts[place].draw(rng, 3)])
        if isinstance(item[place], int) and rng.random() < 0.5:
            item[place] = max(i[place] for i in items) + 1
        if tuple(item) not in items:
            return tuple(item)


def draw(rng: random.Random) -> tuple[list[str], list[str], list[int] | None, bool]:
    """Return names of features and of labels, and the right pairing, or None if there is none.

    The last value says whether both sides write all that tells shards apart.
    """
    labels = rng.sample(["run", "part", "fold", "epoch"], 3)
    parts = [
        Part(
            rng.choice(["number", "number", "word", "hash", "date"]),
            label if rng.random() < 0.4 else "",
        )
        for label in labels[: rng.choice([1, 1, 2, 3])]
    ]
    items = draw_items(rng, parts)
    own, other = list(items), list(items)
    damage = rng.choice(["none", "none", "renamed", "each lacks one", "other", "unrelated"])
    if damage == "renamed":
        other[rng.randrange(len(other))] = fresh(rng, parts, items)
    elif damage == "each lacks one" and len(items) > 2:
        i, j = rng.sample(range(len(items)), 2)
        own, other = items[:i] + items[i + 1 :], items[:j] + items[j + 1 :]
    elif damage == "other":
        i = rng.randrange(len(own))
        own[i] = fresh(rng, parts, items)
    elif damage == "unrelated":
        more = draw_items(rng, parts)
        own, other = own[: len(more)], more[: len(own)]
    rng.shuffle(other)
    schemes = [draw_scheme(rng, parts, side) for side in "xy"]
    names = [
        [scheme.name(parts, item) for item in side]
        for scheme, side in zip(schemes, (own, other), strict=True)
    ]
    shared = [i for i in range(len(parts)) if all(i in scheme.order for scheme in schemes)]
    if not shared:  # the sides write different things, which nobody could tell
        return draw(rng)
    keys = [[tuple(item[i] for i in shared) for item in side] for side in (own, other)]
    if set(keys[0]) != set(keys[1]) or any(len(set(side)) < len(side) for side in keys):
        return names[0], names[1], None, False
    right = [keys[1].index(key) for key in keys[0]]
    return names[0], names[1], right, len(shared) == len(parts)


def test_random_names_are_paired_rightly_or_refused() -> None:
    """10,000 schemes: never a wrong pairing, and seldom a refusal where there is a right one."""
    rng = random.Random(SEED)
    outcomes: Counter[str] = Counter()
    for _ in range(DRAWS):
        features, labels, right, is_whole = draw(rng)
        if len({*features}) < len(features) or len({*labels}) < len(labels):
            continue
        try:
            found = pair(features, labels)
        except DataError:
            outcomes["rightly refused" if not right else "refused" if is_whole else "cautious"] += 1
            continue
        assert found == right, (features, labels, found)
        outcomes["right"] += 1
    assert outcomes["rightly refused"] > DRAWS / 4, outcomes
    assert outcomes["right"] > 0.95 * (outcomes["right"] + outcomes["refused"]), outcomes


#: Names of features and of labels that go together in this order.
COMMON = {
    "numbers": ("x_0 x_1 x_2 x_10", "y_0 y_1 y_2 y_10"),
    "padded on one side": ("x_1 x_2 x_10", "y_01 y_02 y_10"),
    "a version": ("v2_x_001 v2_x_002", "y_001 y_002"),
    "a size and a version": ("x_768_0 x_768_1", "v1_y_0 v1_y_1"),
    "a small constant": ("x_4_0 x_4_1 x_4_4", "y_0 y_1 y_4"),
    "another place": ("v2_x_001 v2_x_002", "001_y_v1 002_y_v1"),
    "folders for roles": ("features/part-0 features/part-1", "labels/part-0 labels/part-1"),
    "folders for shards": ("a/x b/x", "a/y b/y"),
    "folders with numbers": ("run0/x run2/x run10/x", "run0/y run2/y run10/y"),
    "folders twice": ("s_0/x_0 s_1/x_1", "y_0 y_1"),
    "ranges": ("x_0_100 x_100_200 x_300_400", "y_0_100 y_100_200 y_300_400"),
    "of how many": ("part-00000-of-00002 part-00001-of-00002", "y-0-of-2 y-1-of-2"),
    "dates": ("x_2024-01-31 x_2024-02-01", "y_20240131 y_20240201"),
    "days first": ("x_31.01.2024 x_01.02.2024", "y_31-01-2024 y_01-02-2024"),
    "months": ("x_2024-01 x_2024-02", "2024_01_y 2024_02_y"),
    "times": ("x_2024-01-31T10-30 x_2024-01-31T11-00", "y_20240131_10-30 y_20240131_11-00"),
    "words": ("train val test", "train_labels val_labels test_labels"),
    "words with roles": ("trainX valX", "trainY valY"),
    "several words": ("new_york paris rio-de-janeiro", "y/new_york y/paris y/rio-de-janeiro"),
    "words in folders": ("new_york/x_0 new_york/x_1 paris/x_0", "new_york_0 new_york_1 paris_0"),
    "case": ("Cat Dog", "y/cat y/dog"),
    "only case": ("a A", "y/a y/A"),
    "hashes": ("3fa9c1d2 77b1e0f4", "y/3fa9c1d2 y/77b1e0f4"),
    "uuids": (
        "0a1b2c3d-0000-4a3b-8c1d-001122334455 0a1b2c3d-0000-4a3b-8c1d-001122334456",
        "0a1b2c3d-0000-4a3b-8c1d-001122334455_y 0a1b2c3d-0000-4a3b-8c1d-001122334456_y",
    ),
    "two numbers": ("x_0_0 x_0_1 x_1_0 x_1_1", "y_0_0 y_0_1 y_1_0 y_1_1"),
    "named numbers in another order": (
        "run0/part0 run0/part1 run1/part0 run1/part1",
        "part0_run0 part1_run0 part0_run1 part1_run1",
    ),
    "date and number in another order": (
        "2024-01-01_1 2024-01-01_2 2024-01-02_1 2024-01-02_2",
        "1_20240101 2_20240101 1_20240102 2_20240102",
    ),
    "abbreviated": (
        "subject-01_session-01 subject-01_session-02 subject-02_session-01",
        "sub-01_ses-01 sub-01_ses-02 sub-02_ses-01",
    ),
    "years in front": ("x_2023_1 x_2023_2 x_2023_10", "y_1 y_2 y_10"),
    "mnist": (
        "train-images-idx3-ubyte t10k-images-idx3-ubyte",
        "train-labels-idx1 t10k-labels-idx1",
    ),
    "wordnet": ("n01440764 n02084071", "labels/n01440764 labels/n02084071"),
    "chromosomes": ("chr1 chr2 chrX", "y_chr01 y_chr02 y_chrX"),
    "learning rates": ("x_1e-3 x_1e-4", "y_1e-3 y_1e-4"),
    "a hash of each job": ("part-0-3f2a1c part-1-3f2a1c", "part-0-99ab77 part-1-99ab77"),
    "word and number": ("cat_0 dog_0 cat_1", "0_cat 0_dog 1_cat"),
    "negative numbers": ("x_-1 x_0 x_2", "y_-1 y_0 y_2"),
    "fractions": ("x_0.05 x_0.5", "y_0.05 y_0.5"),
    "numbers behind a date": ("2024-01-31-10 2024-01-31-11", "y_20240131_10 y_20240131_11"),
    "signs behind words": ("c++ c c#", "y_c++ y_c y_c#"),
    "a sign for number": ("x#1 x#2", "y_1 y_2"),
    "accents in two ways": ("e\u0301_x b_x", "y_\u00e9 y_b"),
    "one split": ("val/x_0 val/x_1", "validation/y_0 validation/y_1"),
    "one fold": ("fold2/x_0 fold2/x_1", "y_fold-2_0 y_fold-2_1"),
    "other sizes": ("x_768_0 x_768_1", "y_10_0 y_10_1"),
    "two versions": ("x_v2_0 x_v2_1", "y_v1_0 y_v1_1"),
    "the split a model was trained on": ("train/val_0 train/val_1", "y_val_0 y_val_1"),
    "one of each": ("x_3", "unlike"),
}
#: Names that are no bijection, and the first pair that does not match.
UNLIKE = {
    "other ranges": ("x_0_100 x_100_200 x_300_400", "y_0_100 y_200_300 y_300_400", 1),
    "each lacks one": ("x_0 x_1 x_3 x_4", "y_0 y_1 y_2 y_4", 2),
    "the first and the last are missing": ("x_0 x_1 x_2", "y_1 y_2 y_3", 0),
    "far apart": ("x_0 x_1 x_2", "y_100 y_101 y_102", 0),
    "other dates": ("x_2024-01-31 x_2024-02-01", "y_2024-01-31 y_2024-03-01", 1),
    "other words": ("cat dog", "y_cat y_dot", 1),
    "translated": ("cat dog", "chat_y chien_y", 0),
    "other hashes": ("3fa9c1d2 77b1e0f4", "y/0e12aa00 y/88ccfe11", 0),
    "one hash is another": ("3fa9c1d2 77b1e0f4", "y/3fa9c1d2 y/77b1e0f5", 1),
    "other folders": ("a/x b/x", "a/y c/y", 1),
    "other parts of a grid": ("x_0_0 x_0_1", "y_0_0 y_1_0", 1),
    "starts of ranges, or ends": ("x_0_100 x_100_200", "y_0 y_100", 0),
    "one for two": ("x_0 x_1", "y_0 y_0", 0),
    "numbers and words": ("x_0 x_1", "y_a y_b", 0),
    "numbers and dates": ("x_0 x_1", "y_2024-01-01 y_2024-01-02", 0),
    "hashes beside numbers": ("x_0_3f2a1c x_1_4f2a1d", "y_0_99ab77 y_1_98ab78", 0),
    "a letter behind one": ("x_0 x_1 x_2", "y_0 y_1 y_1b", 2),
    "another fold": ("fold0_x_0 fold0_x_1", "fold0_y_0 fold1_y_0", 1),
    "padded and not, of two": ("x_1 x_01", "y_1 y_2", 0),
    "a number more, as of rows": ("x_0_1523 x_1_1488", "y_0 y_1", 0),
    "a hash without letters more": ("9249-fold_1 3428-fold_101", "fold01 fold101", 0),
    "a number more beside words": ("a_1 b_2", "y_a y_b", 0),
    "signs": ("x_-1 x_0 x_2", "y_0 y_1 y_2", 0),
    "fractions that are no numbers": ("x_0.1 x_0.2", "y_0.01 y_0.02", 0),
    "languages": ("c++ java", "y_c y_java", 0),
    "accents": ("\u00e9 b", "y/e y/b", 0),
    "two splits": ("train/x_0 train/x_1", "test/y_0 test/y_1", 0),
    "two splits in names": ("X_train_0 X_train_1", "y_val_0 y_val_1", 0),
    "two folds": ("fold1_part1 fold1_part2", "fold2_part1 fold2_part2", 0),
    "two years": ("2023/x_0 2023/x_1", "2024/y_0 2024/y_1", 0),
    "two days": ("2024-01-05/x_0 2024-01-05/x_1", "20240106/y_0 20240106/y_1", 0),
    "other rows of a grid": ("x_3_3 x_3_2", "y_1_2 y_1_3", 0),
    "of other many": ("x-0-of-2 x-1-of-2", "y-0-of-3 y-1-of-3", 0),
    "unclear which number": ("run0_0 run0_1 run1_0 run1_1", "0_r0 1_r0 0_r1 1_r1", 1),
}


def listed(names: str, suffix: str = ".npy") -> list[str]:
    return [f"{name}{suffix}" for name in names.split()]


@pytest.mark.parametrize("case", COMMON)
@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_common_schemes_are_paired(case: str, suffix: str) -> None:
    features, labels = listed(COMMON[case][0]), listed(COMMON[case][1], suffix)
    expected = list(range(len(features)))
    assert pair(features, labels, in_order=True) == expected
    assert pair(features, labels[::-1]) == expected[::-1]
    assert pair(features[::-1], labels) == expected[::-1]


@pytest.mark.parametrize("case", UNLIKE)
def test_names_that_are_no_bijection_are_refused(case: str) -> None:
    features, labels = listed(UNLIKE[case][0]), listed(UNLIKE[case][1])
    for in_order in (True, False):
        with pytest.raises(DataError, match=r"\[\(x, y\), \.\.\.\]") as refused:
            pair(features, labels, in_order=in_order)
        i = UNLIKE[case][2]
        assert f"{labels[i]} would be the labels of {features[i]}" in str(refused.value)


@pytest.mark.parametrize("case", COMMON)
def test_lists_whose_names_contradict_their_order_are_refused(case: str) -> None:
    features, labels = listed(COMMON[case][0]), listed(COMMON[case][1])
    if len(features) == 1:
        return
    labels[:2] = labels[1::-1]
    with pytest.raises(DataError) as refused:
        pair(features, labels, in_order=True)
    message = f"{labels[0]} would be the labels of {features[0]} by its place in the list, but by"
    assert f"{message} its name {labels[1]} is" in str(refused.value)


def test_the_rows_that_names_say_are_shown() -> None:
    for features, labels, message in (
        ("train_0 train_1", "test_0 test_1", "these are of train, and the labels of test"),
        ("2023/x_0 2023/x_1", "2024/y_0 2024/y_1", "these are of 2023, and the labels of 2024"),
        ("s_fold1_0 s_fold1_1", "y_fold2_0 y_fold2_1", "of fold 1, and the labels of fold 2"),
    ):
        with pytest.raises(DataError, match=message):
            pair(listed(features), listed(labels))


def test_counts_from_0_and_from_1_need_lists_in_one_order() -> None:
    """Uneven gaps alone may be chance: of 0 to 4, each list may miss two files."""
    features, labels = listed("x_0 x_1 x_3"), listed("y_1 y_2 y_4")
    assert pair(features, labels, in_order=True) == [0, 1, 2]
    for own, other, in_order in (
        (features, labels, False),
        (features, labels[::-1], True),
        (features[::-1], labels, True),
        (listed("x_0 x_1 x_2"), listed("y_1 y_2 y_3"), True),
        (listed("x_2 x_3 x_5"), listed("y_3 y_4 y_6"), True),
        (listed("fold1/x_0 fold1/x_1 fold1/x_3"), listed("fold2/y_1 fold2/y_2 fold2/y_4"), True),
    ):
        with pytest.raises(DataError):
            pair(own, other, in_order=in_order)


def test_keys_and_folders_above_are_parts_of_names() -> None:
    shards = [(Path("all.npz"), f"x_{i}") for i in (0, 1)]
    labels = [(Path("all.npz"), f"y_{i}") for i in (1, 0)]
    assert pair_files(shards, labels, in_order=False) == [1, 0]
    own = [(Path(f"2024/run-1/{i}.npy"), None) for i in (0, 1)]
    other = [(Path(f"2024/run-1/../labels/{i}.npy"), None) for i in (0, 1)]
    assert pair_files(own, other) == [0, 1]
    here = [(Path(f"y_{i}.npy").absolute(), None) for i in (0, 1)]
    assert pair_files([(Path(f"x_{i}.npy"), None) for i in (0, 1)], here) == [0, 1]


@pytest.mark.parametrize(
    ("names", "first"),
    [
        ("x_1 x_10 x_11 x_12 x_2 x_3", "x_12.npy comes before x_2.npy"),  # a shell
        ("x_3 x_1 x_2", "x_3.npy comes before x_1.npy"),  # glob without sorted
        ("x_2 x_1 x_0", "x_2.npy comes before x_1.npy"),
        ("run_1/x run_10/x run_2/x", "run_10/x.npy comes before run_2/x.npy"),
        ("x_0_0 x_0_10 x_0_2 x_1_0", "x_0_10.npy comes before x_0_2.npy"),
        ("test_1 train_1 train_10 train_2", "train_10.npy comes before train_2.npy"),
        ("layer1x layer10x layer2x", "layer10x.npy comes before layer2x.npy"),
        ("x_2024-1-10 x_2024-1-9", "x_2024-1-10.npy comes before x_2024-1-9.npy"),
    ],
)
def test_numbers_out_of_order_are_refused_with_labels_for_all_rows(names: str, first: str) -> None:
    with pytest.raises(DataError, match="pass the pattern") as refused:
        check_order(files(listed(names)))
    assert first in str(refused.value)


@pytest.mark.parametrize(
    "names",
    [
        "x_1 x_2 x_10",
        "x_01 x_02 x_10",
        "train val test",  # words are in the order of the caller
        "b_1 b_2 b_10 a_1 a_2",
        "x_31-01-2024 x_01-02-2024",  # by date, and as a pattern gives them
        "x_01-02-2024 x_31-01-2024",
        "12a3bf99 1a23bf99",  # hashes
        "7c00ff12 0b12aa00 3fa9c1d2",
        "x_0.1 x_0.25",
        "one",
    ],
)
def test_lists_in_order_are_accepted_with_labels_for_all_rows(names: str) -> None:
    check_order(files(listed(names)))


def test_keys_count_in_the_order() -> None:
    path = Path("all.npz")
    check_order([(path, "x_2"), (path, "x_10")])
    with pytest.raises(DataError, match=r"all\.npz:x_10 comes before all\.npz:x_2"):
        check_order([(path, "x_10"), (path, "x_2")])
