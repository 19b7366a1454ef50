"""Rows that belong together, through every entry point: paired by name, refused, or in pairs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import transferability as tx
from transferability.cli import main
from transferability.errors import DataError
from transferability.io import open_features, stats_of

#: LogME of the whole data, from the issue that asked for these tests.
WHOLE = -0.73114
PAIRS = r"\[\(x, y\), \.\.\.\]|--pair X Y"


@pytest.fixture
def y() -> Any:
    return np.repeat([0, 1, 2], 20)


@pytest.fixture
def x(y: Any) -> Any:
    x = np.random.default_rng(0).normal(size=(60, 5))
    x[:, 0] += y
    return x


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(names: str, array: Any) -> list[str]:
    """Save consecutive rows under names; return the paths."""
    paths = [f"{name}.npy" for name in names.split()]
    for path, part in zip(paths, np.array_split(array, len(paths)), strict=True):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        np.save(path, part)
    return paths


def run_stats(*arguments: object) -> Result:
    words = ["stats", "-q", *map(str, arguments), "-o", "out.stats"]
    return CliRunner().invoke(main, words)


def on_command_line(paths: Any, labels: Any) -> float:
    """Return LogME as the command line computes it; raise its error."""
    listed = [paths] if isinstance(paths, str) else paths
    beside = [labels] if isinstance(labels, (str, Path)) else labels
    result = run_stats(*listed, "--labels", *beside)
    if result.exit_code:
        assert result.exit_code == 3, result.output
        raise DataError(result.stderr)
    return float(tx.Stats.load("out.stats").score("logme"))


#: LogME from features and labels, either of which are paths.
ENTRIES: dict[str, Callable[[Any, Any], float]] = {
    "open_features": lambda paths, labels: tx.logme(open_features(paths, labels), None),
    "stats_of": lambda paths, labels: stats_of(paths, labels).logme(),
    "rank": lambda paths, labels: _rank(paths, labels),
    "command line": on_command_line,
}


def _rank(paths: Any, labels: Any) -> float:
    (row,) = tx.rank({"m": paths}, labels, progress=False)
    if row.error is not None:
        raise DataError(row.error)
    return row.value("logme")


@pytest.fixture(params=ENTRIES)
def logme(request: pytest.FixtureRequest) -> Callable[[Any, Any], float]:
    return ENTRIES[request.param]


def test_ranges_of_which_each_list_lacks_one_are_refused(x: Any, y: Any, logme: Any) -> None:
    """They have as many files, of as many rows."""
    own = write("x_0_100 x_100_200 x_300_400", x)
    write("y_0_100 y_200_300 y_300_400", y)
    with pytest.raises(DataError, match=PAIRS) as refused:
        logme("x_*.npy", "y_*.npy")
    message = "y_200_300.npy would be the labels of x_100_200.npy"
    assert message in str(refused.value)
    assert "100 200 and 200 300" in str(refused.value)
    write("y_100_200", np.split(y, 3)[1])
    other = [f"y{path[1:]}" for path in own]
    assert logme(own, other) == pytest.approx(WHOLE, abs=1e-5)


@pytest.mark.parametrize(
    ("names", "partners", "patterns"),
    [
        ("f/a_emb f/b_emb f/c_emb", "l/a_y l/b_y l/c_y", ("f", "l")),
        ("f/a_emb f/a_f_emb f/b_emb", "l/a_target l/a_f_target l/b_target", ("f", "l")),
        ("a/x b/x c/x", "a/y b/y c/y", ("*/x.npy", "*/y.npy")),
        ("f/x_1 f/x_2 f/x_10", "l/y_01 l/y_02 l/y_10", ("f", "l")),
        ("f/9cc1 f/a77e f/b0b0", "l/9cc1_y l/a77e_y l/b0b0_y", ("f", "l/*")),
        ("f/1_a f/2_b f/3_c", "l/a_1 l/b_2 l/c_3", ("f", "l")),
        ("f/1_c f/2_b f/3_a", "l/c_1 l/b_2 l/a_3", ("f", "l")),  # in another order than by name
    ],
)
def test_files_are_paired_by_what_varies_in_their_names(
    names: str, partners: str, patterns: tuple[str, str], x: Any, y: Any, logme: Any
) -> None:
    own, other = write(names, x), write(partners, y)
    assert logme(*patterns) == pytest.approx(WHOLE, abs=1e-5)
    assert logme(patterns[0], other[::-1]) == pytest.approx(WHOLE, abs=1e-5)
    assert logme(own[::-1], patterns[1]) == pytest.approx(WHOLE, abs=1e-5)
    assert logme(own, other) == pytest.approx(WHOLE, abs=1e-5)
    with pytest.raises(DataError, match="by its place in the list"):
        logme(own, other[::-1])


SHELL = sorted(f"x_{i}.npy" for i in range(1, 13))


@pytest.mark.parametrize("files", [SHELL, SHELL[::-1], [*SHELL[3:], *SHELL[:3]]])
@pytest.mark.parametrize("kind", ["array", "list", "file", "text"])
def test_labels_for_all_rows_need_shards_in_order(
    kind: str, files: list[str], x: Any, y: Any, logme: Any
) -> None:
    """As sorted(glob(...)) lists 12 shards, or glob(...) in no order at all."""
    own = write(" ".join(f"x_{i}" for i in range(1, 13)), x)
    np.save("all.npy", y)
    Path("all.csv").write_text("\n".join(map(str, y)))
    labels = {"array": y, "list": y.tolist(), "file": "all.npy", "text": "all.csv"}[kind]
    if logme is on_command_line and not isinstance(labels, str):
        labels = Path("all.npy")  # it takes files only
    assert logme("x_*.npy", labels) == pytest.approx(WHOLE, abs=1e-5)
    assert logme(own, labels) == pytest.approx(WHOLE, abs=1e-5)
    with pytest.raises(DataError, match=r"natural order \(2 before 10\)") as refused:
        logme(files, labels)
    first = next(i for i in range(11) if int(files[i][2:-4]) > int(files[i + 1][2:-4]))
    assert f"{files[first]} comes before {files[first + 1]}" in str(refused.value)


def test_sources_remember_the_order_of_their_files(x: Any, y: Any) -> None:
    """Labels for all rows may come after the source was opened."""
    own = write(" ".join(f"x_{i}" for i in range(1, 13)), x)
    source = open_features(SHELL)
    for call in (
        lambda: tx.logme(source, y),
        lambda: tx.score(source, y, ["logme", "parc"]),
        lambda: tx.score(source, y.tolist(), "gbc"),
    ):
        with pytest.raises(DataError, match="natural order"):
            call()
    assert "x_12.npy comes before x_2.npy" in str(tx.rank({"m": source}, y)[0].error)
    tasks = {"t": {"features": source, "labels": y}}
    assert "x_12.npy comes before x_2.npy" in str(tx.compare_tasks(tasks, "logme")[0].error)
    assert tx.logme(open_features(own), y) == pytest.approx(WHOLE, abs=1e-5)


def test_pairs_need_no_names(x: Any, y: Any) -> None:
    own, other = write("cats dogs eels", x), write("l3 l1 l2", y)
    pairs = list(zip(own, other, strict=True))
    with pytest.raises(DataError, match=r"l3\.npy would be the labels of cats\.npy"):
        open_features(own, other)
    assert tx.logme(open_features(pairs), None) == pytest.approx(WHOLE, abs=1e-5)
    assert stats_of(zip(own, other, strict=True)).logme() == pytest.approx(WHOLE, abs=1e-5)
    assert _rank(pairs, None) == pytest.approx(WHOLE, abs=1e-5)
    assert _rank(open_features(pairs), None) == pytest.approx(WHOLE, abs=1e-5)
    lists = [[Path(one), Path(two)] for one, two in pairs[::-1]]
    assert stats_of(lists).logme() == pytest.approx(WHOLE, abs=1e-5)
    arrays = list(zip(own, np.array_split(y, 3), strict=True))
    assert stats_of(arrays).logme() == pytest.approx(WHOLE, abs=1e-5)
    mixed = [pairs[0], *arrays[1:]]
    assert stats_of(mixed).logme() == pytest.approx(WHOLE, abs=1e-5)
    spread = [word for pair in pairs for word in ("--pair", *pair)]
    assert run_stats(*spread).exit_code == 0
    assert tx.Stats.load("out.stats").logme() == pytest.approx(WHOLE, abs=1e-5)


def test_an_order_that_is_meant_is_given_in_pairs(x: Any, y: Any) -> None:
    write(" ".join(f"x_{i}" for i in range(1, 13)), x)
    parts = {f"x_{i + 1}.npy": part for i, part in enumerate(np.array_split(y, 12))}
    pairs = [(path, parts[path]) for path in SHELL]
    assert stats_of(pairs).logme() == pytest.approx(WHOLE, abs=1e-5)
    assert _rank(pairs, None) == pytest.approx(WHOLE, abs=1e-5)


def test_labels_of_two_views_may_be_given_twice(x: Any, y: Any) -> None:
    views, (labels,) = write("view_a view_b", np.concatenate([x, x])), write("labels", y)
    with pytest.raises(DataError, match=PAIRS):
        open_features(views, [labels, labels])
    assert stats_of([(view, labels) for view in views]).n_samples == 120
    with pytest.raises(DataError, match="given twice"):
        open_features([(views[0], labels), (views[0], labels)])


def test_links_are_paired_by_their_own_names(x: Any, y: Any) -> None:
    """As caches link names to files that are named by hash."""
    for kind, array in (("x", x), ("y", y)):
        for i, blob in enumerate(write(f"blob/{kind}7 blob/{kind}3 blob/{kind}5", array)):
            os.symlink(blob, f"{kind}_{i}.npy")
    assert stats_of("x_*.npy", "y_*.npy").logme() == pytest.approx(WHOLE, abs=1e-5)


def test_members_of_one_file_are_paired_by_their_names(x: Any, y: Any) -> None:
    parts = zip(np.array_split(x, 3), np.array_split(y, 3), strict=True)
    arrays = {
        f"{k}_{i}": p for i, both in enumerate(parts) for k, p in zip("xy", both, strict=True)
    }
    np.savez("a.npz", **arrays)
    own, other = ([f"a.npz:{kind}_{i}" for i in range(3)] for kind in "xy")
    assert stats_of(own, other).logme() == pytest.approx(WHOLE, abs=1e-5)
    with pytest.raises(DataError, match=r"a\.npz:y_2 would be the labels of a\.npz:x_0"):
        stats_of(own, other[::-1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, y: open_features(p, y), "pairs, which have their labels; leave out"),
        (lambda p, y: open_features(p, label_column="y"), "pairs, which have their labels"),
        (lambda p, y: open_features([(p[0][0], None), p[1]]), "has no labels: they are None"),
        (lambda p, y: open_features([("x_*.npy", p[0][1]), p[1]]), "2 pairs hold|given twice"),
        (lambda p, y: open_features([(p[0][0], "y_*.npy"), p[1]]), "names 2 files of labels"),
        (lambda p, y: open_features([(p[0][0], y)]).labels(), "60 entries but x_0.npy has 30"),
        (lambda p, y: open_features([(p[0][0], "gone.npy")]).labels(), "no file gone.npy"),
        (lambda p, y: tx.rank({"m": p, "n": "x_*.npy"}), "'n' has no labels of its own"),
        (lambda p, y: tx.rank({"m": p, "n": p[::-1]}), "of 'n' are not those of 'm'"),
    ],
)
def test_wrong_pairs_are_named(call: Any, message: str, x: Any, y: Any) -> None:
    own, other = write("x_0 x_1", x), write("y_0 y_1", y)
    with pytest.raises(DataError, match=message):
        call(list(zip(own, other, strict=True)), y)


def test_the_file_without_a_partner_is_named(x: Any, y: Any, logme: Any) -> None:
    own, other = write("x_0 x_1 x_2", x), write("y_0 y_1 y_2", y)
    if logme is ENTRIES["rank"]:
        return  # models may be cut in other places than the labels
    with pytest.raises(DataError, match=r"2 files of labels for 3 shards; x_1\.npy has none"):
        logme(own, [other[0], other[2]])
    with pytest.raises(DataError, match=r"3 files of labels for 2 shards; y_2\.npy has no shard"):
        logme(own[:2], other)


def test_pair_takes_the_place_of_files_on_the_command_line(x: Any, y: Any) -> None:
    write("x_0 x_1", x)
    write("y_0 y_1", y)
    pair = ("--pair", "x_0.npy", "y_0.npy")
    for more in (("x_1.npy",), ("--labels", "y_1.npy"), ("--label-column", "y")):
        refused = run_stats(*pair, *more)
        assert refused.exit_code == 2
        assert "--pair takes the place of FEATURES" in refused.stderr
    assert "no file or folder gone.npy" in run_stats("--pair", "x_0.npy", "gone.npy").stderr


def test_models_are_ranked_by_labels_in_files(x: Any, y: Any) -> None:
    """Models in different shards share the labels; names decide where there are as many files."""
    own, other = write("good/x_1 good/x_2 good/x_10", x), write("y/y_1 y/y_2 y/y_10", y)
    np.save("whole.npy", x)
    cut = write("cut/x_0 cut/x_1", x)
    np.save("labels.npy", y)
    models = {"good": "good", "listed": own, "whole": "whole.npy", "array": x, "cut": cut}
    for labels in ("y", "y/*.npy", other, "labels.npy", Path("labels.npy"), y):
        ranking = tx.rank(models, labels, progress=False)
        assert not ranking.failed
        for row in ranking:
            assert row.logme == pytest.approx(WHOLE, abs=1e-5)
    shell = sorted(other)
    ranking = tx.rank({**models, "pairs": list(zip(own, other, strict=True))}, shell)
    reasons = {row.name: str(row.error) for row in ranking.failed}
    assert set(reasons) == {"listed", "cut", "pairs", "whole", "array"}
    assert "y_10.npy would be the labels of" in reasons["listed"]
    for name in ("cut", "whole", "array"):
        assert "y_10.npy comes before y_2.npy, and together they are the labels" in reasons[name]
    assert "leave out labels" in reasons["pairs"]


def test_other_arrays_for_all_rows_need_shards_in_order(x: Any, y: Any) -> None:
    """Groups and source predictions are in an order too, where shards have labels of their own."""
    names = range(1, 13)
    write(" ".join(f"x_{i}" for i in names), x)
    write(" ".join(f"y_{i}" for i in names), y)
    shell, own = SHELL, [f"y{path[1:]}" for path in SHELL]
    groups = np.repeat(["a", "b"], 30)
    probs = np.random.default_rng(3).dirichlet([1, 1], 60)
    views = {name: np.random.default_rng(i).normal(size=(60, 2)) for i, name in enumerate("ab")}
    calls: dict[str, Callable[[Any, Any], Any]] = {
        "groups": lambda p, q: tx.score(open_features(p, q), None, groups=groups, aggregate="mean"),
        "groups and reference": lambda p, q: tx.score(
            open_features(p, q), None, groups=groups, aggregate="mean", reference=2
        ),
        "source_probs": lambda p, q: tx.score(
            open_features(p, q), None, "leep", source_probs=probs
        ),
        "source_labels": lambda p, q: tx.score(
            open_features(p, q), None, "nce", source_labels=probs.argmax(axis=1)
        ),
        "label_embeddings": lambda p, q: tx.score(
            open_features(p, q), None, "emms", label_embeddings=views
        ),
    }
    ranked: dict[str, Callable[[Any, Any], Any]] = {
        "groups": lambda p, q: tx.rank({"m": p}, q, groups=groups, aggregate="mean"),
        "source_probs": lambda p, q: tx.rank({"m": p}, q, "leep", source_probs={"m": probs}),
        "label_embeddings": lambda p, q: tx.rank({"m": p}, q, "emms", label_embeddings=views),
    }
    for name, call in calls.items():
        message = f"x_12.npy comes before x_2.npy, and {name.split()[0]} are for all rows"
        with pytest.raises(DataError, match=message) as refused:
            call(shell, own)
        assert "pairs" not in str(refused.value)
        call("x_*.npy", "y_*.npy")
        call("x_*.npy", own)
    for name, call in ranked.items():
        (row,) = call(shell, own)
        assert f"x_12.npy comes before x_2.npy, and {name} are" in str(row.error)
        (row,) = call("x_*.npy", "y_*.npy")
        assert row.error is None
