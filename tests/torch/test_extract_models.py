"""Extraction from models of every kind: what they return, mask, and work in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import transferability as tx
from transferability import Stats
from transferability.errors import TransferabilityWarning
from transferability.torch import extract

LAYERS = ["embeddings", "encoder.layer.0", "encoder.layer.2", "pooler"]


def test_a_decoder_is_not_masked_by_its_encoder() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(
        vocab_size=40, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, num_decoder_layers=1,
        decoder_start_token_id=0, pad_token_id=0,
    )  # fmt: skip
    model = transformers.T5Model(config).eval()
    ids = torch.randint(1, 40, (4, 6))
    mask = torch.tensor([[1, 1, 1, 0, 0, 0]] * 4)
    layers = ["encoder.block.0", "decoder.block.0"]
    with extract(model, layers, keep_features=True) as ex:
        out = ex.update(
            {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": ids}, [0, 1, 0, 1]
        )
    assert out.last_hidden_state.shape == (4, 6, 8)
    taken = []
    for name in layers:
        model.get_submodule(name).register_forward_hook(lambda m, a, o: taken.append(o[0]))
    with torch.no_grad():
        model(input_ids=ids, attention_mask=mask, decoder_input_ids=ids)
    np.testing.assert_allclose(ex.features[layers[0]], taken[0][:, :3].mean(1), rtol=1e-5)
    np.testing.assert_allclose(ex.features[layers[1]], taken[1].mean(1), rtol=1e-5)


def test_sentence_transformers_models_run_as_they_are(minilm: Any, sentences: list[str]) -> None:
    inputs = minilm.preprocess(sentences)
    last = [name for name, _ in minilm.named_modules() if name.endswith("encoder.layer.5")]
    layers = [*last, "1"]
    with extract(minilm, [layers[1], layers[0]], keep_features=True) as ex:
        ex.update(inputs, [0, 1, 0, 1])
    expected = minilm.encode(sentences, normalize_embeddings=False)
    unit = ex.features[layers[0]] / np.linalg.norm(ex.features[layers[0]], axis=1, keepdims=True)
    np.testing.assert_allclose(unit, expected, atol=1e-6)
    with extract(minilm, "", keep_features=True) as ex:
        ex.update(inputs, [0, 1, 0, 1])
    np.testing.assert_allclose(ex.features[""], expected, atol=1e-6)


def test_outputs_serve_leep_and_nce() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 5)).eval()
    inputs = torch.randn(90, 4)
    labels = np.arange(90) % 3
    with extract(model, ["0", "1"], outputs=True) as ex:
        for start in range(0, 90, 20):
            ex.update(inputs[start : start + 20], labels[start : start + 20])
    with torch.no_grad():
        logits = model(inputs)
    np.testing.assert_allclose(ex.outputs, logits, rtol=1e-6)
    probs = logits.double().softmax(1).numpy()
    np.testing.assert_allclose(ex.probabilities, probs, rtol=1e-6)
    scores = ex.compute(["leep", "logme", "nce"])
    for layer in ("0", "1"):
        assert scores[layer]["leep"] == pytest.approx(tx.leep(probs, labels), rel=1e-6)
        assert scores[layer]["nce"] == pytest.approx(tx.nce(probs.argmax(1), labels))
    assert {"leep", "nce", "logme"} <= set(ex.compute("all")["0"])


class Answers(nn.Module):
    """Gives what models give: a ModelOutput's mapping, a tuple, a dict, probabilities."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.inner = kind, nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> Any:
        logits = self.inner(x)
        if self.kind == "probabilities":
            return logits.softmax(1)
        if self.kind == "hf":
            from transformers.modeling_outputs import ImageClassifierOutput

            return ImageClassifierOutput(logits=logits, hidden_states=(x,))
        return {"tuple": (None, logits, x), "dict": {"ids": x.long(), "logits": logits}}[self.kind]


@pytest.mark.parametrize("kind", ["hf", "tuple", "dict", "probabilities"])
def test_outputs_of_any_form_are_read(kind: str) -> None:
    model, inputs = Answers(kind).eval(), torch.randn(6, 4)
    with extract(model, ["", "inner"], outputs=True, keep_features=True) as ex:
        ex.update(inputs, [0, 1] * 3)
    expected = model.inner(inputs).detach().double().softmax(1)
    np.testing.assert_allclose(ex.probabilities, expected, rtol=1e-6)
    np.testing.assert_allclose(ex.features[""], ex.outputs, rtol=1e-6)


def test_recurrent_layers_have_the_batch_put_first() -> None:
    model = nn.LSTM(3, 4).eval()  # (time, batch, features)
    x = torch.randn(7, 2, 3)
    with extract(model, "", pool="lasttoken", keep_features=True) as ex:
        ex.update(x, [0, 1])
    np.testing.assert_allclose(ex.features[""], model(x)[0][-1].detach(), rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_give_float32_features(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh()).to(dtype).eval()
    x = torch.randn(40, 4)
    with extract(model, ["0", "1"], keep_features=True) as ex:
        ex.update(x.to(dtype), (x[:, 0] > 0).long())
    assert ex.features["1"].dtype == np.float32
    np.testing.assert_array_equal(ex.features["1"], model(x.to(dtype)).detach().float())


def test_mixed_precision_is_the_models_alone() -> None:
    model = nn.Sequential(nn.Linear(64, 6)).eval()
    x = torch.randn(300, 64)
    labels = (x[:, 0] > 0).long()
    with extract(model, amp="bfloat16", accumulate="device", dtype="float64") as ex:
        ex.update(x, labels)
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")
    kinds = []

    def pool(x: torch.Tensor, mask: Any) -> torch.Tensor:
        kinds.append((x.float() @ torch.eye(6)).dtype)
        return x

    with extract(model, pool=pool, amp="bfloat16") as own:
        own.update(x, labels)
    assert kinds == [torch.float32]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        features = model(x)
    assert features.dtype is torch.bfloat16
    expected = Stats().update(features.double().numpy(), labels).score("logme")
    assert ex.compute()[""] == pytest.approx(expected, rel=1e-9)


def test_keypoints_are_targets_in_one_row() -> None:
    model, x = nn.Conv2d(3, 8, 3, padding=1).eval(), torch.randn(60, 3, 4, 6)
    points = torch.rand(60, 5, 2)
    with extract(model, pool="flatten", task="regression", keep_features=True) as ex:
        ex.update(x, points)
    assert ex.features[""].shape == (60, 8 * 4 * 6)
    assert ex.labels[""].shape == (60, 10)
    expected = tx.logme(ex.features[""], points.flatten(1).numpy(), task="regression")
    assert ex.compute()[""] == pytest.approx(expected, rel=1e-9)


def test_training_mode_is_warned_about_and_no_dropout_is_seen() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5))
    x = torch.randn(20, 4)
    with (
        pytest.warns(TransferabilityWarning, match="in training mode"),
        extract(model, keep_features=True) as ex,
    ):
        ex.update(x, [0, 1] * 10)
    np.testing.assert_array_equal(ex.features[""], model[0](x).detach())
    assert model.training
    assert model[1].training


def test_torchs_own_encoders_have_their_padding_left_out() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x, padding = torch.randn(6, 5, 8), torch.arange(5) >= torch.tensor([5, 4, 3, 2, 1, 5])[:, None]
    for mask in (padding, torch.zeros(6, 5).masked_fill(padding, -torch.inf)):
        with extract(model, ["layers.0", "layers.1"], keep_features=True) as ex:
            ex.update({"src": x, "src_key_padding_mask": mask}, [0, 1] * 3)
        with torch.no_grad():
            out = model(x, src_key_padding_mask=padding)
        mean = torch.stack([out[i, ~padding[i]].mean(0) for i in range(6)])
        np.testing.assert_allclose(ex.features["layers.1"], mean, atol=1e-6)


def test_metrics_that_read_no_outputs_do_not_mind_them() -> None:
    x = torch.randn(60, 4)
    with extract(nn.Linear(4, 1).eval(), outputs=True, task="regression") as ex:
        ex.update(x, x[:, 0])
    assert ex.compute("logme")[""].metric == "logme"
    assert "logme" in ex.compute("all")[""]


@pytest.mark.parametrize("accumulate", ["host", "device"])
def test_the_loop_may_be_in_inference_mode(accumulate: str) -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh()).eval()
    x = torch.randn(700, 4)
    labels = (x[:, 0] > 0).long()
    with extract(model, ["0", "1"], accumulate=accumulate, dtype="float64") as ex:
        for start in range(0, 700, 100):
            with torch.inference_mode():
                model(x[start : start + 100])
                ex.collect(labels[start : start + 100])
    assert ex.stats["1"].n_samples == 700
    expected = tx.logme(model(x).detach(), labels)
    assert ex.compute()["1"] == pytest.approx(expected, rel=1e-6)


def test_a_layer_that_is_overwritten_in_inference_mode_is_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True)).eval()
    x = torch.randn(20, 4)
    with extract(model, ["0"], keep_features=True) as ex:
        with torch.inference_mode():
            model(x)
        ex.collect((x[:, 0] > 0).long())
    np.testing.assert_array_equal(ex.features["0"], model[0](x).detach())
    assert (ex.features["0"] < 0).any()


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("is_decoder", [False, True])
def test_the_batch_of_transformer_layers_may_be_second(batch_first: bool, is_decoder: bool) -> None:
    kind = "Decoder" if is_decoder else "Encoder"
    layer = getattr(nn, f"Transformer{kind}Layer")(8, 2, 16, batch_first=batch_first)
    options = {} if is_decoder else {"enable_nested_tensor": False}
    model = getattr(nn, f"Transformer{kind}")(layer, 2, **options).eval()
    x = torch.randn(6, 6, 8)  # as many tokens as samples: no shape tells which are which
    given = (x, x) if is_decoder else x
    with extract(model, ["", "layers.1"], keep_features=True) as ex:
        output = ex.update(given, [0, 1, 0, 1, 0, 1])
    expected = output.mean(1 if batch_first else 0)
    for name in ("", "layers.1"):
        np.testing.assert_allclose(ex.features[name], expected, atol=1e-6)


class _MasksItself(nn.Module):
    """Makes the mask of its encoder from its own input, as models of words do."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.embedding, self.norm = nn.Embedding(20, 8), nn.LayerNorm(8)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        inner = self.encoder(self.embedding(ids), src_key_padding_mask=ids == 0)
        return self.norm(inner)


@pytest.mark.parametrize("layer", ["embedding", "norm", ""])
@pytest.mark.parametrize("collects", [False, True])
def test_padding_that_is_hidden_from_other_layers_only_is_said(layer: str, collects: bool) -> None:
    model, ids = _MasksItself().eval(), torch.randint(1, 20, (5, 7))

    def run(ids: torch.Tensor, **given: Any) -> Any:
        with extract(model, ["encoder", layer], keep_features=True) as ex:
            for _ in range(2):
                if collects:
                    model(ids)
                    ex.collect([0, 1, 0, 1, 0], **given)
                else:
                    ex.update(ids, [0, 1, 0, 1, 0], **given)
        return ex.features[layer]

    run(ids)  # nothing is hidden
    ids[:, 4:] = 0
    with pytest.warns(TransferabilityWarning, match=f"layer '{layer}' counts padding") as said:
        every = run(ids)
    assert len(said) == 1
    np.testing.assert_array_equal(run(ids, attention_mask={layer: None}), every)
    assert not np.allclose(run(ids, attention_mask=ids != 0), every)


def test_a_layer_of_another_attention_takes_the_batch_first() -> None:
    class Mixer(nn.TransformerEncoderLayer):
        def __init__(self) -> None:
            super().__init__(8, 2, 16, batch_first=True)
            del self.self_attn

        def forward(self, x: torch.Tensor, **unused: Any) -> torch.Tensor:
            return self.linear2(self.linear1(x))

    model, x = nn.Sequential(Mixer()).eval(), torch.randn(6, 3, 8)
    with extract(model, ["0"], pool="mean", keep_features=True) as ex:
        ex.update(x, [0, 1] * 3)
    np.testing.assert_allclose(ex.features["0"], model(x).mean(1).detach(), atol=1e-6)
