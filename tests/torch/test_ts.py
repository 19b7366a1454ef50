"""Encoders of time series, beside what their libraries compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from numpy.typing import NDArray

import transferability as tx
from transferability import models
from transferability.errors import DataError, MissingDependencyError
from transferability.torch._names import OF_TOKENS
from transferability.torch._pooling import pool_rows

CONTEXT, PATCH = 32, 8
_PATCHES = {
    "context_length": CONTEXT,
    "patch_length": PATCH,
    "patch_stride": PATCH,
    "d_model": 16,
}


def patchtst(folder: Path, **changes: Any) -> Any:
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 16}
    config = hf.PatchTSTConfig(**{**_PATCHES, "num_input_channels": 2, **sizes, **changes})
    return _save(hf.PatchTSTModel(config), folder)


def patchtsmixer(folder: Path) -> Any:
    config = hf.PatchTSMixerConfig(**_PATCHES, num_input_channels=2, num_layers=2)
    return _save(hf.PatchTSMixerModel(config), folder)


def timesfm(folder: Path) -> Any:
    config = hf.TimesFmConfig(
        patch_length=PATCH,
        context_length=CONTEXT,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        head_dim=8,
    )
    return _save(hf.TimesFmModel(config), folder)


def _save(model: Any, folder: Path) -> Any:
    model.eval().save_pretrained(folder)
    return model


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def series() -> list[NDArray[np.float64]]:
    """Longer, shorter and as long as the context; the second begins within a patch."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(n, 2)) for n in (32, 13, 50, 8)]


def read(model: Any, raw: Any) -> tuple[dict[str, Any], Any]:
    """Return the mean over tokens of each layer, and the mask."""
    batch, found = model.collate(raw), {}
    mask = model.attention_mask(batch)
    hooks = [
        model.module.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: found.__setitem__(name, output)
        )
        for name in model.layers
    ]
    with torch.no_grad():
        model.run(batch)
    for hook in hooks:
        hook.remove()
    return {k: pool_rows(x, "mean", mask, k).numpy() for k, x in found.items()}, mask


def align(series: Any, length: int = CONTEXT) -> tuple[Any, Any]:
    """Values and marks of the observed steps, series by series."""
    values = torch.zeros(len(series), length, 2)
    observed = torch.zeros(len(series), length, 2)
    for i, own in enumerate(series):
        kept = torch.tensor(own[-length:], dtype=torch.float32)
        values[i, length - len(kept) :] = kept
        observed[i, length - len(kept) :] = 1
    return values, observed


@pytest.mark.parametrize(
    ("make", "mask"), [(patchtst, "past_observed_mask"), (patchtsmixer, "observed_mask")]
)
def test_patches_are_those_of_the_library(
    make: Any, mask: str, series: Any, tmp_path: Path
) -> None:
    theirs = make(tmp_path)
    model = models.open_model(f"ts:{tmp_path}", device="cpu")
    assert model.kind == "array"
    rows, tokens = read(model, series)
    values, observed = align(series)
    with torch.no_grad():
        hidden = theirs(values, **{mask: observed}, output_hidden_states=True)
    expected = hidden.last_hidden_state  # (N, C, P, D)
    # Patches with an observed value: all four, the last two, all, the last.
    kept = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]])
    assert tokens.int().tolist() == kept.repeat(1, 2).tolist()
    for i in range(len(series)):
        naive = expected[i][:, kept[i] == 1].reshape(-1, 16).mean(0).numpy()
        np.testing.assert_allclose(rows[model.default_layer][i], naive, rtol=1e-5, atol=1e-6)
    if make is patchtst:  # a full series: the layers are the hidden states of the library
        for name, state in zip(model.layers[:-1], hidden.hidden_states, strict=False):
            mean = state[0].reshape(-1, 16).mean(0).numpy()
            np.testing.assert_allclose(rows[name][0], mean, rtol=1e-5, atol=1e-6)


def test_class_tokens_count(series: Any, tmp_path: Path) -> None:
    patchtst(tmp_path, use_cls_token=True)
    _, tokens = read(models.open_model(f"ts:{tmp_path}", device="cpu"), series)
    assert tokens.int()[1].tolist() == [1, 0, 0, 1, 1] * 2


def test_channels_are_series_of_their_own(series: Any, tmp_path: Path) -> None:
    """An encoder of one channel: the mean over channels of single runs."""
    timesfm(tmp_path)
    model = models.open_model(f"ts:{tmp_path}", device="cpu")
    rows, tokens = read(model, series)
    single, of_one = read(model, [own[:, :1] for own in series])
    other, _ = read(model, [own[:, 1:] for own in series])
    assert tokens.int().tolist() == of_one.int().repeat(1, 2).tolist()
    for name in model.layers:
        np.testing.assert_allclose(rows[name], (single[name] + other[name]) / 2, atol=1e-6)


def test_timesfm_is_that_of_the_library(series: Any, tmp_path: Path) -> None:
    theirs = timesfm(tmp_path)
    model = models.open_model(f"ts:{tmp_path}", device="cpu")
    rows, _ = read(model, [own[:, 0] for own in series])  # (T,) is one channel
    values, observed = align(series)
    with torch.no_grad():
        hidden = theirs(
            values[..., 0], 1 - observed[..., 0], torch.zeros(len(series), 1, dtype=torch.long)
        ).last_hidden_state
    kept = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]])
    for i in range(len(series)):
        naive = hidden[i][kept[i] == 1].mean(0).numpy()
        np.testing.assert_allclose(rows[model.default_layer][i], naive, rtol=1e-5, atol=1e-5)


def test_missing_values_are_hidden(series: Any, tmp_path: Path) -> None:
    theirs = patchtst(tmp_path)
    model = models.open_model(f"ts:{tmp_path}", device="cpu")
    gaps = series[0].copy()
    gaps[8:16] = np.nan  # a whole patch
    gaps[20, 1] = np.nan
    rows, tokens = read(model, [gaps])
    values, observed = (
        torch.tensor(np.nan_to_num(gaps[None])).float(),
        torch.tensor(~np.isnan(gaps[None])),
    )
    with torch.no_grad():
        hidden = theirs(values, past_observed_mask=observed.float()).last_hidden_state[0]
    assert tokens.int().tolist() == [[1, 0, 1, 1] * 2]
    naive = hidden[:, [0, 2, 3]].reshape(-1, 16).mean(0).numpy()
    np.testing.assert_allclose(rows[model.default_layer][0], naive, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [patchtst, patchtsmixer, timesfm])
def test_a_sweep_over_series(make: Any, tmp_path: Path) -> None:
    make(tmp_path)
    rng = np.random.default_rng(1)
    raw = [rng.normal(size=(rng.integers(8, 60), 2)) for _ in range(40)]
    labels = [int(own[-1, 0] > 0) for own in raw]
    row = tx.rank_models(
        f"ts:{tmp_path}", (raw, labels), cache=False, isolate=False, layers="all", pool="all",
        task="classification", batch_size=7,
    )[0]  # fmt: skip
    assert row.error is None
    assert row.n_samples == 40
    assert len(row.layers) == 3 * len(OF_TOKENS)
    model = models.open_model(f"ts:{tmp_path}", device="cpu")
    rows, _ = read(model, raw)
    expected = tx.logme(rows[model.default_layer], labels, task="classification")
    assert float(row.layers["last_hidden_state/mean"]["logme"]) == pytest.approx(
        float(expected), abs=1e-4
    )


def test_arrays_of_series(tmp_path: Path) -> None:
    """Of one length, in one array (N, T, C)."""
    patchtst(tmp_path)
    x = np.random.default_rng(2).normal(size=(20, CONTEXT, 2))
    row = tx.rank_models(f"ts:{tmp_path}", (x, x[:, 0, 0] > 0), cache=False, isolate=False)[0]
    assert row.error is None, row.error


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([np.ones((9, 3))], "series 0 of the batch has 3 channels, and this model reads 2"),
        ([np.ones((9, 2)), np.ones(9)], "series 1 of the batch has 1 channels"),
        ([np.full((9, 2), np.nan)], "series 0 of the batch has no values but NaN"),
        ([np.full((9, 2), np.inf)], "infinite values; mark missing ones with NaN"),
        ([np.ones((0, 2))], r"has shape \(0, 2\); give \(T,\) or \(T, C\)"),
        ([np.ones((2, 3, 4))], r"has shape \(2, 3, 4\)"),
        ([np.array([["a", "b"]])], "give numbers"),
    ],
)
def test_wrong_series_are_named(raw: Any, message: str, tmp_path: Path) -> None:
    patchtst(tmp_path)
    model = models.open_model(f"ts:{tmp_path}", device="cpu")
    with pytest.raises(tx.errors.TransferabilityError, match=message):
        model.collate(raw)


def test_other_models_are_refused(tmp_path: Path) -> None:
    hf.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(DataError, match="is of the type 'bert'; encoders of time series are"):
        models.open_model(f"ts:{tmp_path}")
    with pytest.raises(DataError, match="cannot be loaded"):
        models.open_model(f"ts:{tmp_path / 'nothere'}")
    for config, package in (
        ({"chronos_config": {}}, "chronos-forecasting"),
        ({"model_name": "MOMENT"}, "momentfm"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        try:
            __import__(package.partition("-")[0])
        except ImportError:
            with pytest.raises(MissingDependencyError, match=f"pip install {package}"):
                models.open_model(f"ts:{tmp_path}")


def test_weights_and_context_are_in_the_fingerprint(tmp_path: Path) -> None:
    patchtst(tmp_path / "a")
    torch.manual_seed(1)
    patchtst(tmp_path / "b")
    prints = {models.open_model(f"ts:{tmp_path / k}", device="cpu").fingerprint() for k in "aab"}
    assert len(prints) == 2


# --- packages that are not among the requirements of the tests ------------------------------------


def test_chronos_is_that_of_its_package(tmp_path: Path) -> None:
    chronos = pytest.importorskip("chronos")
    config = hf.T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2, vocab_size=64)
    config.architectures = ["T5ForConditionalGeneration"]
    config.chronos_config = {
        "tokenizer_class": "MeanScaleUniformBins",
        "tokenizer_kwargs": {"low_limit": -15.0, "high_limit": 15.0},
        "n_tokens": 64, "n_special_tokens": 2, "pad_token_id": 0, "eos_token_id": 1,
        "use_eos_token": True, "model_type": "seq2seq", "context_length": 24,
        "prediction_length": 8, "num_samples": 2, "temperature": 1.0, "top_k": 5, "top_p": 1.0,
    }  # fmt: skip
    hf.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    raw = [np.random.default_rng(0).normal(size=n) for n in (9, 24, 40)]
    model = models.open_model(f"ts:{tmp_path}", device="cpu")
    rows, _ = read(model, raw)
    pipeline = chronos.BaseChronosPipeline.from_pretrained(tmp_path, dtype="float32")
    hidden, _ = pipeline.embed([torch.tensor(own, dtype=torch.float32) for own in raw])
    kept = torch.tensor([[0] * 15 + [1] * 10, [1] * 25, [1] * 25])[..., None]
    naive = (hidden * kept).sum(1) / kept.sum(1)
    np.testing.assert_allclose(rows[model.default_layer], naive.detach(), atol=1e-6)


def test_chronos_bolt_is_that_of_its_package(tmp_path: Path) -> None:
    chronos = pytest.importorskip("chronos")
    from chronos.chronos_bolt import ChronosBoltModelForForecasting

    config = hf.T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2, vocab_size=2,
                         reg_token_id=1)  # fmt: skip
    config.architectures = ["ChronosBoltModelForForecasting"]
    config.chronos_pipeline_class = "ChronosBoltPipeline"
    config.chronos_config = {
        "context_length": 24, "prediction_length": 8, "input_patch_size": 8,
        "input_patch_stride": 8, "quantiles": [0.1, 0.5, 0.9], "use_reg_token": True,
    }  # fmt: skip
    ChronosBoltModelForForecasting(config).save_pretrained(tmp_path)
    raw = [np.random.default_rng(0).normal(size=n) for n in (9, 24, 40)]
    model = models.open_model(f"ts:{tmp_path}", device="cpu")
    rows, _ = read(model, raw)
    pipeline = chronos.BaseChronosPipeline.from_pretrained(tmp_path, dtype="float32")
    hidden, _ = pipeline.embed([torch.tensor(own, dtype=torch.float32) for own in raw])
    kept = torch.tensor([[0, 1, 1, 1], [1] * 4, [1] * 4])[..., None]
    naive = (hidden * kept).sum(1) / kept.sum(1)
    np.testing.assert_allclose(rows[model.default_layer], naive.detach(), atol=1e-6)


def test_moment_is_that_of_its_package(tmp_path: Path) -> None:
    momentfm = pytest.importorskip("momentfm")
    backbone = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2,
                "vocab_size": 8, "feed_forward_proj": "gated-gelu"}  # fmt: skip
    config = {"task_name": "reconstruction", "model_name": "MOMENT", "d_model": None,
              "transformer_type": "encoder_only", "seq_len": 64, "patch_len": 8,
              "patch_stride_len": 8, "transformer_backbone": "google/flan-t5-small",
              "t5_config": backbone, "device": "cpu", "model_kwargs": {}}  # fmt: skip
    momentfm.MOMENTPipeline(config, model_kwargs={}).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    raw = [np.random.default_rng(0).normal(size=(n, 2)) for n in (64, 40, 90)]
    model = models.open_model(f"ts:{tmp_path}", device="cpu")
    rows, _ = read(model, raw)
    values, observed = align(raw, 64)
    pipeline = momentfm.MOMENTPipeline.from_pretrained(
        tmp_path, model_kwargs={"task_name": "embedding"}
    )
    pipeline.init()
    pipeline.eval()
    hidden = pipeline.embed(x_enc=values.transpose(1, 2), input_mask=observed[..., 0]).embeddings
    np.testing.assert_allclose(rows[model.default_layer], hidden.detach(), atol=1e-6)
