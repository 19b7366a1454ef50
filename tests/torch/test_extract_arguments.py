"""Extraction with wrong arguments, labels and outputs: named errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from transferability.errors import DataError, DtypeError, TransferabilityWarning
from transferability.torch import extract


def test_a_wrong_name_offers_the_closest(bert: nn.Module) -> None:
    with pytest.raises(
        DataError, match=r"no layer 'encoder.layers.1'; did you mean 'encoder.layer"
    ):
        extract(bert, ["encoder.layers.1"])
    with pytest.raises(DataError, match=r"'Intermediate'; did you mean .*list_layers"):
        extract(bert, "Intermediate")
    with pytest.raises(DataError, match=r"did you mean 'encoder.layer.0.attention.self.query'"):
        extract(bert, "attention.self.query")


def test_rows_and_labels_must_match() -> None:
    with extract(nn.Identity().eval()) as ex:
        with pytest.raises(DataError, match="labels has 3 entries but layer '' gives 8 rows"):
            ex.update(torch.randn(8, 4), [0, 1, 0])
        ex.update(torch.randn(8, 4), [0, 1] * 4)
        with pytest.raises(DataError, match="this batch has 5 features and numbers as labels"):
            ex.update(torch.randn(8, 5), [0, 1] * 4)
        with pytest.raises(DataError, match="strings as labels"):
            ex.update(torch.randn(8, 4), ["a", "b"] * 4)
        with pytest.raises(DataError, match="no labels"):
            ex.update(torch.randn(8, 4))
        with pytest.raises(DataError, match="missing values"):
            ex.update(torch.randn(2, 4), [0.0, float("nan")])
        assert ex.n_samples == 8


def test_it_is_a_context_manager() -> None:
    ex = extract(nn.Identity().eval())
    with pytest.raises(DataError, match="in a with statement"):
        ex.update(torch.randn(8, 4), [0, 1] * 4)
    with ex, pytest.raises(DataError, match="open already"):
        ex.__enter__()
    with pytest.raises(DataError, match="layer '' has no rows yet"):
        ex.compute()


def test_a_forward_pass_that_is_not_collected_is_warned_about() -> None:
    model, x = nn.Identity().eval(), torch.randn(4, 3)
    with extract(model) as ex:
        with pytest.raises(DataError, match="did not run"):
            ex.collect([0, 1, 0, 1])
        model(x)
        with pytest.warns(TransferabilityWarning, match="was not collected"):
            model(x)
        ex.collect([0, 1, 0, 1])
    assert ex.n_samples == 4


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layers": []}, DataError, "layers is empty"),
        ({"layers": [3]}, DtypeError, "layers must be names"),
        ({"layers": ["", ""]}, DataError, "twice"),
        ({"pool": "avg"}, DataError, "pool is 'avg'"),
        ({"pool": {"x": "mean"}}, DataError, "pool names 'x', which is not among layers"),
        ({"task": "guess"}, DataError, "task is 'guess'"),
        ({"dtype": "float16"}, DataError, "dtype is 'float16'"),
        ({"keep_features": "int8"}, DataError, "keep_features is 'int8'"),
        ({"accumulate": "gpu"}, DataError, "accumulate is 'gpu'"),
        ({"bio": "drop"}, DataError, "bio is 'drop'"),
        ({"positions": 0}, DataError, "positions must be at least 1, got 0"),
        ({"positions": 2.0}, DtypeError, "positions must be a whole number"),
        ({"seed": -1}, DataError, "seed must be at least 0"),
        ({"seed": "x"}, DtypeError, "seed must be a whole number"),
        ({"layers": 5}, DtypeError, "layers is 5; give the name of a layer"),
        ({"pool": [["cls"]]}, DataError, r"pool is \['cls'\]; choose from mean, cls"),
        ({"bag_pool": 5}, DataError, "bag_pool is 5; choose from 'mean'"),
        ({"keep_features": ["float16"]}, DataError, "keep_features is"),
        ({"dtype": ["float32"]}, DataError, "dtype is"),
        (
            {"ignore": 5},
            DtypeError,
            r"ignore is 5; give a list of labels of pixels, as ignore=\[255\]",
        ),
        ({"ignore": "255"}, DtypeError, "ignore is '255'"),
        ({"ignore": ["a"]}, DtypeError, "ignore has 'a'"),
        ({"device": "zz"}, DataError, "device is 'zz'; give for example 'cpu' or 'cuda:0'"),
        ({"device": 1.5}, DtypeError, "device is 1.5"),
        ({"device": "meta"}, DataError, "device is 'meta'"),
        ({"device": "cuda:99"}, DataError, "device is 'cuda:99'"),
        ({"amp": "int8"}, DataError, "amp is 'int8'; choose from 'bfloat16', 'float16'"),
        ({"amp": ["float16"]}, DataError, "amp is"),
        ({"n_threads": 0}, DataError, "n_threads must be between 1 and 128"),
        ({"outputs": "yes"}, DtypeError, "outputs is 'yes'; give True or False"),
    ],
)
def test_wrong_arguments_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        extract(nn.Identity(), **options)


def test_wrong_models_are_refused() -> None:
    with pytest.raises(DtypeError, match=r"must be a torch.nn.Module, got function"):
        extract(lambda x: x)  # type: ignore[arg-type]
    with (
        pytest.raises(DataError, match="meta device"),
        extract(nn.Linear(2, 2, device="meta").eval()),
    ):
        pass
    with pytest.raises(DataError, match="amp is 'int8'"), extract(nn.Identity().eval(), amp="int8"):
        pass


def test_outputs_must_be_rows_of_logits() -> None:
    with (
        extract(nn.Identity().eval(), pool="mean", outputs=True) as ex,
        pytest.raises(DataError, match=r"the model gives \(6, 3, 4\) for 6 rows"),
    ):
        ex.update(torch.randn(6, 3, 4), [0, 1] * 3)
    with extract(nn.Identity().eval(), outputs=True) as ex:
        ex.update(torch.randn(6), [0, 1] * 3)
    with pytest.raises(DataError, match="gives 1 output; classes need at least two"):
        ex.compute("leep")


def test_what_is_no_row_for_each_sample_is_refused(bert: nn.Module) -> None:
    nested = torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)], layout=torch.jagged)
    for output, message in ((torch.tensor(3.0), "gives one number"), (nested, "a nested tensor")):
        with (
            extract(nn.Identity().eval(), pool=None) as ex,
            pytest.raises(DataError, match=message),
        ):
            ex.update(output, [0, 1])
    with (
        extract(nn.Identity().eval()) as ex,
        pytest.raises(
            DataError, match=r"gives \(2, 3\); rows of words need word_ids, and features"
        ),
    ):
        ex.update(torch.randn(2, 3), [["A"], ["B"]], word_ids=[[0], [0]])
