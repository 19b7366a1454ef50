"""Tensors and data sets on disk as features: torch's own files, and those of `datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch

import transferability as tx
from transferability.errors import DataError, DtypeError
from transferability.io import open_features, stats_of


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(120, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def y(x: torch.Tensor) -> torch.Tensor:
    return (x[:, 0] > 0).long()


def test_tensors_alone_and_in_dicts(tmp_path: Path, x: Any, y: Any) -> None:
    torch.save(x, tmp_path / "x.pt")
    torch.save({"features": x, "labels": y, "epoch": 3}, tmp_path / "both.pth")
    torch.save(y, tmp_path / "y.pt")
    expected = tx.logme(x, y)
    both = tmp_path / "both.pth"
    assert stats_of(tmp_path / "x.pt", tmp_path / "y.pt").logme() == expected
    assert stats_of(both, label_column="labels").logme() == expected
    assert stats_of(f"{both}:features", f"{both}:labels").logme() == expected
    assert tx.rank({"m": tmp_path / "x.pt"}, y)["m"].logme == expected
    with pytest.raises(DataError, match=r"2 tensors \(features, labels\); name one as"):
        open_features(both)
    with pytest.raises(DataError, match="nothing named 'z'"):
        open_features(tmp_path / "x.pt", key="z")


def test_bfloat16_and_strides(tmp_path: Path, x: Any, y: Any) -> None:
    torch.save(x.bfloat16(), tmp_path / "half.pt")
    torch.save(x.T.contiguous().T, tmp_path / "turned.pt")
    loaded = open_features(tmp_path / "half.pt").load()
    np.testing.assert_array_equal(loaded, x.bfloat16().float().numpy())
    np.testing.assert_array_equal(open_features(tmp_path / "turned.pt").load(), x.numpy())


def test_pickles_are_never_loaded(tmp_path: Path, x: Any, y: Any) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"x": x, "evil": Evil()}, tmp_path / "evil.pt")
    torch.save(x, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    for name in ("evil.pt", "old.pt", "module.pt"):
        with pytest.raises(DataError, match=rf"{name} cannot be read as tensors.* never loaded"):
            open_features(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    torch.save([x], tmp_path / "list.pt")
    with pytest.raises(DtypeError, match="holds a list; save a tensor"):
        open_features(tmp_path / "list.pt")
    data = (tmp_path / "module.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut\.pt cannot be read"):
        open_features(tmp_path / "cut.pt")


def test_data_sets_saved_to_disk(tmp_path: Path, x: Any, y: Any) -> None:
    columns = {"x": x.numpy(), "label": y.numpy(), "text": ["a"] * 120}
    features = datasets.Features(
        x=datasets.Sequence(datasets.Value("float32"), length=5),
        label=datasets.ClassLabel(names=["no", "yes"]),
        text=datasets.Value("string"),
    )
    saved = datasets.Dataset.from_dict(columns, features=features)
    saved.save_to_disk(tmp_path / "fixed", num_shards=3)
    saved.cast_column("x", datasets.Sequence(datasets.Value("float32"))).save_to_disk(
        tmp_path / "open"
    )
    expected = tx.logme(x, y)
    for name, shards in (("fixed", 3), ("open", 1)):
        source = open_features(tmp_path / name, key="x", label_column="label")
        assert len(source.shards) == shards
        np.testing.assert_array_equal(source.load(), x.numpy())
        assert stats_of(source).logme() == pytest.approx(expected, rel=1e-10)


def test_lists_of_tensors(x: torch.Tensor, y: torch.Tensor) -> None:
    """NumPy takes no tensors of bfloat16, and none that require gradients."""
    assert tx.logme(list(x), y) == tx.logme(x, y)
    for rows in (list(x.bfloat16()), list(x.clone().requires_grad_())):
        with pytest.raises(DataError, match=r"pass torch\.stack\(features\)"):
            tx.logme(rows, y)
        assert tx.logme(torch.stack(rows), y) == pytest.approx(float(tx.logme(x, y)), abs=0.05)
