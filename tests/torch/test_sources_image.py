"""timm: and torchvision: give their own penultimate features, from their own preprocessing."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import tiny_models as tiny
import torch
import torchvision
from PIL import Image
from torch import nn

from transferability import DataError, DtypeError, models
from transferability._data.read import read_data
from transferability.models._label_embeddings import encode
from transferability.models._taps import find_last_linear, find_stages
from transferability.torch._pooling import pool_rows
from transferability.torch._tensors import select_features

#: Small or odd ones: two classifiers, a pooling in the head, channels last, no pooling.
TIMM = [
    "resnet10t",
    "vit_tiny_patch16_224",
    "convnext_atto",
    "mobilenetv3_small_050",
    "deit_tiny_distilled_patch16_224",
    "test_efficientnet",
    "test_vit",
]


def images() -> list[Any]:
    """Give the same pictures' bytes as an array, a PIL image and in gray."""
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (40, 52, 3), dtype=np.uint8)
    return [array, Image.fromarray(array), array[:, :, 0]]


@pytest.mark.parametrize("name", TIMM)
def test_timm(name: str) -> None:
    model = models.open_model(f"timm:{name}?pretrained=false", device="cpu")
    reference = timm.create_model(name, pretrained=False).eval()
    reference.load_state_dict(model.module.state_dict())
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(reference))
    batch = torch.stack([transform(Image.fromarray(images()[0])), transform(images()[1])])
    with torch.no_grad():
        expected = reference.forward_head(reference.forward_features(batch), pre_logits=True)
        np.testing.assert_array_equal(model.run(batch), reference(batch))
    found = encode(model, images()[:2])
    if name.startswith("deit"):  # the mean of two tokens there, the first of them here
        expected = reference.forward_features(batch)[:, 0].detach()
    np.testing.assert_array_equal(found, expected)
    _check_layers(model)


@pytest.mark.parametrize(
    ("name", "n_layers"),
    [
        ("resnet18", 5),
        ("mnasnet0_5", 7),
        ("mobilenet_v3_small", 13),
        ("vit_b_32", 13),
        ("swin_t", 8),
    ],
)
def test_torchvision(name: str, n_layers: int) -> None:
    model = models.open_model(f"torchvision:{name}?weights=none", device="cpu")
    transform = torchvision.models.get_model_weights(name)["DEFAULT"].transforms()
    batch = torch.stack([transform(Image.fromarray(images()[0])), transform(images()[1])])
    features: list[Any] = []
    reference = torchvision.models.get_model(name).eval()
    reference.load_state_dict(model.module.state_dict())
    linear = [m for m in reference.modules() if isinstance(m, nn.Linear)][-1]
    linear.register_forward_hook(lambda m, args, output: features.append(args[0]))
    with torch.no_grad():
        reference(batch)
    np.testing.assert_array_equal(encode(model, images()[:2]), features[0])
    assert len(model.layers) == n_layers
    _check_layers(model)


def test_hf_vision(tmp_path: Path) -> None:
    import transformers

    path = tiny.vit(tmp_path / "model")
    model = models.open_model(f"hf:{path}", device="cpu")
    headed = models.open_model(f"hf:{path}?head=true", device="cpu")
    processor = transformers.AutoImageProcessor.from_pretrained(path)
    batch = processor(images()[1:2], return_tensors="pt")
    reference = transformers.AutoModelForImageClassification.from_pretrained(path).eval()
    with torch.no_grad():
        output = reference(**batch, output_hidden_states=True)
        logits = headed.run(headed.collate(images()[1:2])).logits
    expected = reference.vit(**batch).last_hidden_state[:, 0].detach()
    assert model.default_pool == "cls"
    np.testing.assert_array_equal(encode(model, images()[1:2]), expected)
    np.testing.assert_array_equal(encode(headed, images()[1:2]), expected)
    np.testing.assert_array_equal(logits, output.logits)
    assert len(model.layers) == len(output.hidden_states)
    _check_layers(model)


def test_images_of_any_kind_are_the_same(tmp_path: Path) -> None:
    model = models.open_model("timm:test_vit?pretrained=false", device="cpu")
    array, pil, gray = images()
    Image.fromarray(array).save(tmp_path / "a.png")
    tensor = torch.as_tensor(array).permute(2, 0, 1)
    items = [array, pil, tmp_path / "a.png", str(tmp_path / "a.png"), tensor]
    batch = model.collate(items)
    assert all(torch.equal(batch[0], other) for other in batch[1:])
    assert torch.equal(*model.collate([gray, np.repeat(gray[:, :, None], 3, axis=2)]))
    with pytest.raises(DtypeError, match=r"image 1 of the batch is ndarray .* float64; give"):
        model.collate([array, array / 255])
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(DataError, match=r"b\.png cannot be read as an image"):
        model.collate([tmp_path / "b.png"])


def _odd_pictures(folder: Path) -> dict[str, tuple[Path, Any]]:
    """Write pictures that ``convert("RGB")`` misreads, and give what they show."""
    rng = np.random.default_rng(0)
    gray = rng.integers(0, 256, (40, 52), dtype=np.uint8)
    rgb = rng.integers(0, 256, (40, 52, 3), dtype=np.uint8)
    wide = gray.astype(np.uint16) * 256 + rng.integers(0, 256, (40, 52), dtype=np.uint16)
    Image.fromarray(wide).save(folder / "wide.png")
    Image.fromarray(wide).save(folder / "wide.tif")
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    Image.fromarray(rgb).save(folder / "turned.png", exif=exif)
    alpha = np.where(np.arange(52) < 26, 255, 0).astype(np.uint8)[None, :].repeat(40, 0)
    Image.fromarray(np.dstack([rgb, alpha])).save(folder / "clear.png")
    over_white = np.where(alpha[:, :, None] == 255, rgb, np.uint8(255))
    return {
        "wide.png": (folder / "wide.png", np.dstack([gray] * 3)),
        "wide.tif": (folder / "wide.tif", np.dstack([gray] * 3)),
        "turned.png": (folder / "turned.png", np.rot90(rgb, -1).copy()),
        "clear.png": (folder / "clear.png", over_white),
    }


def test_pixels_by_every_route(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    model = models.open_model("timm:test_vit?pretrained=false", device="cpu")
    gray = models.open_model("timm:test_vit?pretrained=false", device="cpu")
    gray.inputs._mode = "L"
    gray.inputs._transform = lambda found: torch.stack([torch.tensor(np.array(p)) for p in found])
    for name, (path, shown) in _odd_pictures(tmp_path).items():
        (tmp_path / name[:-4] / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / name[:-4] / "a" / name).write_bytes(path.read_bytes())
        plain = datasets.Dataset.from_dict({"image": [str(path)], "label": [0]})
        kinds = (datasets.Image(), datasets.Image(mode="RGB"), datasets.Image(decode=False))
        columns = [read_data(plain.cast_column("image", kind)).items[0] for kind in kinds]
        with Image.open(path) as opened:
            items = [path, str(path), opened, read_data(tmp_path / name[:-4]).items[0], *columns]
            batch = model.collate([shown, *items])
            np.testing.assert_array_equal(  # gray levels of what is shown
                gray.collate(items[:3]), [np.asarray(Image.fromarray(shown).convert("L"))] * 3
            )
        for i, found in enumerate(batch[1:]):
            assert torch.equal(batch[0], found), (name, i)
    Image.fromarray(np.linspace(0, 1, 4, dtype=np.float32).reshape(2, 2)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match=r"f\.tif is a picture of mode 'F' with values from 0 to 1"):
        model.collate([tmp_path / "f.tif"])
    with pytest.raises(DataError, match="image 1 of the batch is a picture of mode 'I'"):
        model.collate([images()[0], Image.fromarray(np.full((2, 2), 4000, np.int32))])


def test_options_and_names() -> None:
    found = models.expand("timm:resnet18*")
    assert found
    assert all(name.startswith("timm:resnet18") and "." in name for name in found)
    assert models.expand("timm:resnet18*?pretrained=false") == [
        "timm:resnet18?pretrained=false",
        "timm:resnet18d?pretrained=false",
    ]
    assert "torchvision:resnet18" in models.expand("torchvision:*")
    assert "torchvision:fcn_resnet50" not in models.expand("torchvision:*resnet50")
    assert models.expand("torchvision:resnet18") == ["torchvision:resnet18"]
    model = models.open_model("timm:test_vit?pretrained=false&pool=max&layer=blocks.1")
    assert (model.default_layer, model.default_pool) == ("blocks.1", "max")
    assert model.name == "timm:test_vit"
    for spec, message in {
        "timm:resnet81": r"timm has no model 'resnet81' \(did you mean",
        "torchvision:resnet81": r"torchvision has no model 'resnet81' \(did you mean",
        "torchvision:resnet18?weights=BEST": "no weights 'BEST'; choose from DEFAULT, none",
        "timm:resnet18?pretrained=maybe": "pretrained is 'maybe'; give true or false",
        "timm:nothing_*": "matches no model; timm lists their names",
    }.items():
        with pytest.raises(DataError, match=message):
            models.open_model(models.expand(spec)[0])


@pytest.mark.parametrize("spec", ["timm:resnet18.a1_in1k", "torchvision:alexnet"])
def test_nothing_is_downloaded_offline(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(DataError, match=rf"{spec} cannot be loaded: .*HF_HUB_OFFLINE is set"):
        models.open_model(spec)


def test_a_checkpoint_of_ones_own(tmp_path: Path) -> None:
    first = models.open_model("torchvision:resnet18?weights=none&num_classes=4", device="cpu")
    with torch.no_grad():
        first.module.fc.weight += 1
    torch.save(first.module.state_dict(), tmp_path / "w.pt")
    spec = f"torchvision:resnet18?num_classes=4&checkpoint={tmp_path}/w.pt"
    second = models.open_model(spec, device="cpu")
    assert second.module.fc.weight.shape == (4, 512)
    assert torch.equal(first.module.fc.weight, second.module.fc.weight)
    assert (
        first.fingerprint() != models.open_model("torchvision:resnet18?weights=none").fingerprint()
    )
    with pytest.raises(DataError, match=r"cannot be loaded: .*No such file"):
        models.open_model("torchvision:resnet18?checkpoint=nowhere.pt")


def test_heads_count_though_weights_are_the_same() -> None:
    first, second = (models.open_model("timm:test_vit?pretrained=false") for _ in range(2))
    assert first.fingerprint() == second.fingerprint()
    third = models.open_model("timm:test_vit?pretrained=false")
    third.module.blocks[0].attn.num_heads *= 2
    assert third.fingerprint() != first.fingerprint()


def test_timm_checkpoints(tmp_path: Path) -> None:
    first = models.open_model("timm:test_vit?pretrained=false", device="cpu")
    with torch.no_grad():
        first.module.head.weight += 1
    torch.save(first.module.state_dict(), tmp_path / "w.pt")
    second = models.open_model(f"timm:test_vit?checkpoint={tmp_path}/w.pt", device="cpu")
    assert torch.equal(first.module.head.weight, second.module.head.weight)
    small = models.open_model("timm:test_vit?pretrained=false&image_size=96", device="cpu")
    assert small.collate(images()[:1]).shape == (1, 3, 96, 96)
    assert encode(small, images()[:1]).shape == (1, 64)


def test_weights_that_are_there_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    torch.manual_seed(9)
    state = torchvision.models.get_model("shufflenet_v2_x0_5").state_dict()
    weights = torchvision.models.get_model_weights("shufflenet_v2_x0_5")["DEFAULT"]
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints" / weights.url.rpartition("/")[2])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = models.open_model("torchvision:shufflenet_v2_x0_5", device="cpu")
    assert torch.equal(model.module.fc.weight, state["fc.weight"])


def test_weights_drawn_at_random_are_the_same_each_time() -> None:
    spec = "timm:test_vit?pretrained=false"
    torch.manual_seed(5)
    first = models.open_model(spec, device="cpu").fingerprint()
    torch.manual_seed(6)
    assert models.open_model(spec, device="cpu").fingerprint() == first


@pytest.mark.parametrize(
    "name", ["alexnet", "densenet121", "googlenet", "inception_v3", "mnasnet0_5", "squeezenet1_0"]
)
def test_parts_of_every_kind_of_network_run_once(name: str) -> None:
    slow = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):  # no memory for the weights, and no time
        network = torchvision.models.get_model(name, **slow).eval()
    parts = find_stages(network, find_last_linear(network))
    runs = dict.fromkeys(parts, 0)
    for part in parts:
        network.get_submodule(part).register_forward_hook(
            lambda *_, part=part: runs.__setitem__(part, runs[part] + 1)
        )
    with torch.no_grad():
        network(torch.zeros(2, 3, 299, 299, device="meta"))
    assert parts
    assert set(runs.values()) == {1}
    assert not {"classifier", "fc", "AuxLogits", "aux1"} & {*parts}


def _check_layers(model: models.Model) -> None:
    """All layers run once on a batch, and are pooled to one row for each image."""
    runs: list[str] = []

    def pool(module: Any, args: Any, output: Any, name: str) -> None:
        runs.append(name)
        tensor = select_features(output, module)
        assert tensor is not None
        assert pool_rows(tensor, model.default_pool, None, name).shape[0] == 1

    for layer in model.layers:
        hook = functools.partial(pool, name=layer)
        model.module.get_submodule(layer).register_forward_hook(hook)
    with torch.no_grad():
        model.run(model.collate(images()[:1]))
    assert runs == list(model.layers)


def test_opening_a_model_seeds_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    torch.manual_seed(5)
    assert seeded == [5]
    before = torch.get_rng_state()
    models.open_model("torchvision:resnet18?weights=none", device="cpu")
    assert seeded == [5]
    assert torch.equal(torch.get_rng_state(), before)
