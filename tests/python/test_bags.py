"""Bags: rows with one label, pooled before they are scored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import transferability as tx
from transferability._data.bags import BAG_POOLS, BagPooler, read_bag_ids
from transferability._data.item_labels import read_item_labels
from transferability._data.read import read_data
from transferability.errors import DataError, DtypeError

N, D = 97, 5


def naive(rows: NDArray[Any], pool: str) -> NDArray[np.float64]:
    """The formulas in the header of bags.py, one bag at a time."""
    x = np.asarray(rows, np.float64)
    mean, largest = x.mean(axis=0), x.max(axis=0)
    std = np.sqrt(((x - mean) ** 2).mean(axis=0))
    return {
        "mean": mean,
        "max": largest,
        "mean_std": np.r_[mean, std],
        "mean_max": np.r_[mean, largest],
        "logsumexp": np.log(np.exp(x).mean(axis=0)),
    }[pool]


@pytest.fixture(scope="module")
def features() -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(N, D))


@pytest.fixture(scope="module")
def bags() -> list[str]:
    """23 bags of 1 to 12 rows, not adjacent."""
    return [f"bag {i}" for i in np.random.default_rng(1).integers(0, 23, size=N)]


@pytest.mark.parametrize("pool", BAG_POOLS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64"])
def test_pooled_rows_are_those_of_the_formulas(
    features: Any, bags: list[str], pool: str, dtype: str
) -> None:
    x = (features * 4).astype(dtype)
    found = tx.pool_bags(x, bags, pool)
    assert found.ids == list(dict.fromkeys(bags))  # in the order of their first rows
    assert found.features.dtype == np.float64
    assert found.labels is None
    for bag, row in zip(found.ids, found.features, strict=True):
        own = x[[i for i, other in enumerate(bags) if other == bag]]
        np.testing.assert_allclose(row, naive(own, pool), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pool", BAG_POOLS)
@pytest.mark.parametrize("size", [1, 2, 7, 40])
@pytest.mark.parametrize("n_features", [1, D])
def test_bits_do_not_depend_on_batches(
    features: Any, bags: list[str], pool: str, size: int, n_features: int
) -> None:
    x = features[:, :n_features]
    pooler = BagPooler(pool)
    for start in range(0, N, size):
        pooler.add(bags[start : start + size], x[start : start + size])
    whole = tx.pool_bags(x, bags, pool)
    parts = pooler.close()
    assert parts.ids == whole.ids
    assert np.array_equal(parts.features, whole.features)


@pytest.mark.parametrize("pool", BAG_POOLS)
@pytest.mark.parametrize("size", [1, 3, 50])
def test_adjacent_bags_close_one_after_the_other(
    features: Any, bags: list[str], pool: str, size: int
) -> None:
    order = sorted(range(N), key=lambda i: list(dict.fromkeys(bags)).index(bags[i]))
    ids, x = [bags[i] for i in order], features[order]
    pooler, found = BagPooler(pool, adjacent=True), []
    for start in range(0, N, size):
        pooler.add(ids[start : start + size], x[start : start + size])
        found.append(pooler.take())
        assert pooler.n_open == 1
    found.append(pooler.close())
    whole = tx.pool_bags(features, bags, pool)
    assert [bag for part in found for bag in part.ids] == whole.ids
    np.testing.assert_array_equal(np.vstack([p.features for p in found if p.ids]), whole.features)
    with pytest.raises(DataError, match=r"'bag .*' has a row after rows of another one"):
        pooler.add(ids[:1], x[:1])


def test_a_closed_bag_takes_no_more_rows(features: Any, bags: list[str]) -> None:
    pooler = BagPooler("mean")
    pooler.add(bags, features)
    assert pooler.take().ids == []
    pooler.close()
    with pytest.raises(DataError, match="read results after the last batch"):
        pooler.add(bags[:1], features[:1])


def test_features_that_overflow_are_refused() -> None:
    huge = [[1.0], [1e308], [-1e308]]
    for pool in ("mean", "mean_std", "mean_max"):
        with pytest.raises(
            DataError, match=f"the features of bag 1 are so large that pool='{pool}"
        ):
            tx.pool_bags(huge, [0, 1, 1], pool)
    for pool in ("max", "logsumexp"):
        assert np.isfinite(tx.pool_bags(huge, [0, 1, 1], pool).features).all()


def test_numbers_that_count_up_take_no_memory() -> None:
    pooler = BagPooler("mean", adjacent=True)
    for bag in range(1000):
        pooler.add([bag], np.ones((1, 2)))
        pooler.take()
    assert not pooler._closed._others
    assert len(pooler._counts) < 10
    pooler.add([2000, 1500], np.ones((2, 2)))
    pooler.take()
    for closed in (0, 998, 2000):
        with pytest.raises(DataError, match=f"bag {closed} has a row after rows of another one"):
            pooler.add([closed], np.ones((1, 2)))
    pooler.add([1600], np.ones((1, 2)))


def test_offsets_and_constants_keep_their_digits() -> None:
    """Sums are of differences: a constant is exact, and 1e8 beside 1 costs no digits."""
    x = np.random.default_rng(2).normal(size=(60, 2))
    bags = np.arange(60) % 7
    plain = tx.pool_bags(x, bags, "mean_std").features
    moved = tx.pool_bags(np.c_[x + 1e8, np.full(60, 0.1)], bags, "mean_std").features
    # x + 1e8 is rounded to 1.5e-8.
    np.testing.assert_allclose(moved[:, :2] - 1e8, plain[:, :2], atol=3e-8)
    np.testing.assert_allclose(moved[:, 3:5], plain[:, 2:], atol=3e-8)
    assert np.array_equal(moved[:, 2], np.full(7, 0.1))
    assert np.array_equal(moved[:, 5], np.zeros(7))
    large = tx.pool_bags([[1000.0], [1001.0]], [0, 0], "logsumexp").features
    assert float(large[0, 0]) == pytest.approx(1001 + np.log((1 + np.exp(-1)) / 2), rel=1e-14)


@pytest.mark.parametrize(
    "labels", [[3, 1, 3], ["x", "y", "x"], [1.5, 0.0, 1.5], [[1, 2], [0, 1], [1, 2]], [1, 0, 1]]
)
def test_labels_of_bags(labels: list[Any]) -> None:
    found = tx.pool_bags(np.eye(3), [7, 5, 7], labels=labels)
    assert found.labels is not None
    assert found.ids == [7, 5]
    assert found.labels.tolist() == labels[:2]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 1], "bag 'b' has the label 0 in row 0 and 1 in row 2"),
        (["x", "x", "y"], "'x' in row 0 and 'y' in row 2; the rows of a bag need one label"),
        ([[0, 1], [0, 1], [0, 2]], r"\[0, 1\] in row 0 and \[0, 2\] in row 2"),
        ([0, 1], "labels has 2 entries but features has 3 rows"),
    ],
)
def test_labels_that_differ_in_a_bag_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tx.pool_bags(np.eye(3), ["b", "a", "b"], labels=labels)


def test_labels_that_differ_between_batches_are_refused() -> None:
    pooler = BagPooler("mean")
    pooler.add(["a"], np.eye(1), np.array([1]))
    with pytest.raises(DataError, match="bag 'a' has the label 1 in an earlier batch and 2 here"):
        pooler.add(["a"], np.eye(1), np.array([2]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(pool="median"), DataError, "pool is 'median' .*; choose from 'mean', 'max'"),
        (dict(bags=["a", "b"]), DataError, r"bags has shape \(2,\) for 3 rows"),
        (dict(bags=["a", None, "b"]), DataError, "bags"),
        (dict(bags=["a", "", "b"]), DataError, r"bags\[1\] is empty"),
        (dict(bags=[1.0, 1.5, 2.0]), DataError, r"bags\[1\] is 1.5; ids of bags"),
        (dict(bags=[1.0, np.nan, 2.0]), DataError, "bags"),
        (dict(bags=np.eye(3)), DataError, r"bags has shape \(3, 3\)"),
        (dict(features=np.full((3, 2), np.nan)), DataError, r"features\[0, 0\] is NaN"),
        (dict(features=np.ones(3)), DataError, "features must be 2-D"),
        (dict(features=np.array([["a"]] * 3)), DtypeError, "features"),
    ],
)
def test_wrong_arguments_are_named(arguments: Any, error: type[Exception], message: str) -> None:
    given = {"features": np.eye(3), "bags": ["a", "b", "a"], **arguments}
    with pytest.raises(error, match=message):
        tx.pool_bags(**given)


def test_ids_come_in_any_container() -> None:
    pd = pytest.importorskip("pandas")
    for ids in ([3, 1, 3], (3, 1, 3), np.array([3, 1, 3]), np.array([3.0, 1.0, 3.0]),
                pd.Series([3, 1, 3], index=[9, 8, 7])):  # fmt: skip
        assert read_bag_ids(ids, 3) == [3, 1, 3]
    for texts in (
        ["s3", "s1", "s3"],
        pd.Series(["s3", "s1", "s3"]),
        pd.Categorical(["s3", "s1", "s3"]),
    ):
        assert tx.pool_bags(np.eye(3), texts).ids == ["s3", "s1"]


def test_raw_data_have_the_rows_of_each_bag_together() -> None:
    table = {
        "text": list("uvwxyz"),
        "label": [0, 1, 0, 1, 0, 1],
        "slide": ["b", "a", "b", "a", "b", "c"],
    }
    data = read_data(table, bag="slide")
    assert [data.items[i] for i in range(6)] == list("uwyvxz")
    assert data.bags == list("bbbaac")
    assert data.n_rows == 3
    assert [data.original_row(row) for row in range(6)] == [0, 2, 4, 1, 3, 5]
    found = read_item_labels(data, "classification", "strip", ())
    assert found.n_rows == 3
    assert found.target.n_samples == 3
    assert list(found.data.labels) == [0, 0, 0, 1, 1, 1]
    drawn = data.sample(2, seed=0)
    assert drawn.n_rows == 2
    assert len(set(drawn.bags)) == 2
    assert all(data.bags.count(bag) == drawn.bags.count(bag) for bag in set(drawn.bags))
    assert data.digest() != read_data(table | {"slide": list("babacc")}, bag="slide").digest()
    renamed = table | {"slide": ["1" if bag == "b" else bag for bag in table["slide"]]}
    assert data.digest() == read_data(renamed, bag="slide").digest()


def test_the_column_of_bags_is_no_text() -> None:
    """Without it there is one column beside the label, and that is the text."""
    table = {"body": list("uvw"), "y": [0, 1, 0], "slide": ["b", "a", "b"]}
    data = read_data(table, label="y", bag="slide")
    assert [data.items[i] for i in range(3)] == list("uwv")


def test_bags_of_files_and_frames(tmp_path: Any) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"text": list("uvw"), "label": [0, 1, 0], "doc": ["b", "a", "b"]})
    frame.to_csv(tmp_path / "data.csv", index=False)
    for data in (frame, frame[::-1][::-1], tmp_path / "data.csv"):
        assert read_data(data, bag="doc").bags == ["b", "b", "a"]
    assert read_data(frame, bag=frame["doc"]).bags == ["b", "b", "a"]  # the column and an array
    frame.loc[1, "doc"] = ""
    frame.to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(DataError, match="column doc"):
        read_data(tmp_path / "data.csv", bag="doc")


@pytest.mark.parametrize(
    ("data", "bag", "message"),
    [
        ((list("uvw"), [0, 1, 0]), "slide", "bag names a column of a table, and these data have"),
        ((list("uvw"), [0, 1, 0]), [1, 2], r"bag has shape \(2,\) for 3 rows"),
        ({"text": list("uvw"), "label": [0, 1, 0]}, "slide", "data has no column 'slide'; it has"),
        ({"text": list("uv"), "label": [0, 1], "s": ["a", None]}, "s", "data, column s"),
    ],
)
def test_wrong_bags_of_raw_data_are_named(data: Any, bag: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_data(data, bag=bag)


def test_raw_labels_that_differ_in_a_bag_name_rows_of_the_data() -> None:
    data = read_data((list("uvwx"), [0, 1, 2, 1]), bag=["b", "a", "b", "a"])
    with pytest.raises(DataError, match="bag 'b' has the label 0 in row 0 and 2 in row 2"):
        read_item_labels(data, "auto", "strip", ())


def test_words_and_pixels_have_no_bags() -> None:
    words = read_data(([["a", "b"], ["c"]], [["x", "y"], ["x"]]), bag=[0, 0])
    for task in ("auto", "token"):
        with pytest.raises(DataError, match="here each word has a label; drop bag"):
            read_item_labels(words, task, "strip", ())
    maps = read_data((np.zeros((2, 3)), [np.eye(2), np.eye(2)]), bag=[0, 0])
    with pytest.raises(DataError, match="here each pixel has a label; drop bag"):
        read_item_labels(maps, "segmentation", "strip", ())
