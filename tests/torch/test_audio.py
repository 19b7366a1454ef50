"""Sounds: files of every width, encoders of transformers, the mask of frames, sweeps."""

from __future__ import annotations

import json
import warnings
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from click.testing import CliRunner

import transferability as tx
from transferability import DataError, DtypeError, models
from transferability._data.audio import open_sound, read_sound, resample
from transferability._data.read import read_data
from transferability.cli import main
from transferability.torch import extract

soundfile = pytest.importorskip("soundfile")
RATE = 16_000
#: A sound alone and in a batch differ by rounding of float32 sums of some 16 terms of size 1.
ROUNDING = 1e-5
ENCODERS = {
    "wav2vec2": (tiny.wav2vec2, ""),
    "hubert": (tiny.hubert, ""),
    "wavlm": (tiny.wavlm, ""),
    "head": (tiny.wav2vec2_classifier, "?head=true"),
    "ast": (tiny.spectrogram_transformer, ""),
    "whisper": (tiny.whisper, ""),
    "clap": (tiny.clap, "?tower=audio"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def name_of(folder: Path, encoder: str) -> str:
    make, options = ENCODERS[encoder]
    if not (folder / encoder).exists():
        make(folder / encoder)
    return f"hf:{folder / encoder}{options}"


def opened(folder: Path, encoder: str) -> models.Model:
    return models.open_model(name_of(folder, encoder), device="cpu")


def tone(n: int, frequency: float = 440.0, rate: int = RATE) -> np.ndarray[Any, Any]:
    return (np.sin(2 * np.pi * frequency * np.arange(n) / rate) / 2).astype(np.float32)


SOUNDS = [{"array": tone(n, 100.0 * n**0.5), "sampling_rate": RATE} for n in (4000, 7000, 12000)]


def features(model: models.Model, raw: Any, **options: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Give the rows of all layers."""
    layers = list(dict.fromkeys([*model.layers, model.default_layer]))
    options = {"pool": model.default_pool, "keep_features": True, **options}
    with warnings.catch_warnings():
        # WavLM passes torch two masks of different types.
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
        with extract(model.module, layers=layers, **options) as extractor:
            moved = model.moved(model.collate(raw))
            mask = model.attention_mask(moved)
            extractor.update(moved, list(range(len(raw))), attention_mask=mask)
    return extractor.features


def write_wave(path: Path, samples: Any, rate: int = RATE, width: int = 2) -> Path:
    """Write a WAV file by the standard library; rows of samples are channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = np.atleast_2d(samples).T
    with wave.open(str(path), "wb") as file:
        file.setnchannels(columns.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        if width == 1:
            file.writeframes((np.round(columns * 2**7) + 2**7).astype("u1").tobytes())
        elif width == 3:
            whole = np.round(columns * 2**23).astype("<i4")
            file.writeframes(whole.view("u1").reshape(-1, 4)[:, :3].tobytes())
        else:
            file.writeframes(
                np.round(columns * 2.0 ** (8 * width - 1)).astype(f"<i{width}").tobytes()
            )
    return path


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wave_files_of_every_width_are_read_on_one_scale(tmp_path: Path, width: int) -> None:
    sound = open_sound(write_wave(tmp_path / "a.wav", tone(500), 8000, width))
    assert sound["sampling_rate"] == 8000
    assert sound["array"].dtype == np.float32
    # Half a step of the integers, and a rounding of float32.
    np.testing.assert_allclose(sound["array"], tone(500), rtol=0, atol=2.0 ** -(8 * width) + 6e-8)


@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        (".flac", "PCM_16"),
        (".flac", "PCM_24"),
        (".wav", "FLOAT"),
        (".wav", "DOUBLE"),
        (".aiff", "PCM_16"),
        (".au", "PCM_16"),
        (".caf", "PCM_16"),
        (".w64", "PCM_16"),
    ],
)
def test_lossless_formats_give_the_same_numbers(tmp_path: Path, suffix: str, subtype: str) -> None:
    exact = np.round(tone(500) * 2**15) / 2**15
    soundfile.write(tmp_path / f"a{suffix}", exact, RATE, subtype=subtype)
    np.testing.assert_array_equal(open_sound(tmp_path / f"a{suffix}")["array"], exact)


@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_lossy_formats_are_read(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"a{suffix}", tone(RATE), RATE)
    read = open_sound(tmp_path / f"a{suffix}")
    assert read["sampling_rate"] == RATE
    spectrum = np.abs(np.fft.rfft(read["array"][:RATE]))
    assert abs(spectrum.argmax() * RATE / min(len(read["array"]), RATE) - 440) < 2


def test_channels_of_a_file_are_averaged(tmp_path: Path) -> None:
    both = np.round(np.stack([tone(500), tone(500, 900.0)]) * 2**15) / 2**15
    read = open_sound(write_wave(tmp_path / "a.wav", both))["array"]
    np.testing.assert_allclose(read, both.mean(axis=0), rtol=0, atol=6e-8)  # float32


@pytest.mark.parametrize("form", ["path", "str", "bytes", "cell", "cell with a path"])
def test_a_file_is_read_alike_in_every_form(tmp_path: Path, form: str) -> None:
    path = write_wave(tmp_path / "a.wav", tone(500))
    content = path.read_bytes()
    items: dict[str, Any] = {
        "path": path,
        "str": str(path),
        "bytes": content,
        "cell": {"bytes": content, "path": None},
        "cell with a path": {"bytes": None, "path": str(path)},
    }
    read = read_sound(items[form], "data[0]")
    np.testing.assert_array_equal(read["array"], open_sound(path)["array"])


def bad_files(folder: Path) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    (folder / "zero.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no sound")
    (folder / "movie.m4a").write_bytes(b"\0\0\0 ftypM4A ")
    whole = write_wave(folder / "whole.wav", tone(500)).read_bytes()
    (folder / "header.wav").write_bytes(whole[:20])
    write_wave(folder / "empty.wav", np.empty((1, 0)))
    soundfile.write(folder / "nan.wav", np.array([0.1, np.nan]), RATE, subtype="FLOAT")
    return {name: folder / name for name in REASONS}


REASONS = {
    "zero.wav": "cannot be read as a sound: it has no bytes",
    "text.wav": "cannot be read as a sound: .*Format not recognised.*WAV, FLAC, OGG and MP3",
    "movie.m4a": "cannot be read as a sound: .*WAV, FLAC, OGG and MP3 can be read",
    "header.wav": "cannot be read as a sound",
    "empty.wav": "is empty: it has no samples",
    "nan.wav": "has NaN or infinity among its samples",
    "missing.wav": "cannot be read as a sound: .*System error",
}


@pytest.mark.parametrize("name", REASONS)
def test_a_bad_file_is_named_with_its_reason(tmp_path: Path, name: str) -> None:
    path = bad_files(tmp_path)[name]
    with pytest.raises(DataError, match=REASONS[name]) as raised:
        open_sound(path)
    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_a_resampled_tone_is_the_same_tone(rate: int) -> None:
    sound = {"array": tone(rate, 440.0, rate), "sampling_rate": rate}
    read = resample(sound, RATE)
    assert len(read) == RATE
    inner = slice(RATE // 4, -RATE // 4)  # the ends ring: the tone begins and stops there
    # The filter of soxr's "HQ" has a precision of 20 bits.
    np.testing.assert_allclose(read[inner], tone(RATE)[inner], rtol=0, atol=2.0**-19)


def test_frequencies_beyond_the_new_rate_are_filtered_out() -> None:
    high = {"array": tone(44_100, 12_000.0, 44_100), "sampling_rate": 44_100}
    assert np.abs(resample(high, RATE)[4000:-4000]).max() < 2.0**-19  # no alias at 4,000 Hz


def test_sounds_of_a_hugging_face_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    paths = [str(write_wave(tmp_path / f"{i}.wav", tone(900 + i), 8000)) for i in range(4)]
    kind = datasets.Features({"label": datasets.ClassLabel(names=["x", "y"])})
    rows = datasets.Dataset.from_dict({"label": [0, 1, 0, 1]}, features=kind)
    rows = rows.add_column("audio", paths).add_column("speaker", [1, 2, 3, 4])
    for decode in (True, False):
        data = read_data(rows.cast_column("audio", datasets.Audio(decode=decode)))
        assert (data.kind, data.labels) == ("audio", ["x", "y", "x", "y"])
        assert data.items[1]["sampling_rate"] == 8000
        np.testing.assert_array_equal(data.items[1]["array"], open_sound(paths[1])["array"])
    given = rows.cast_column("audio", datasets.Audio(sampling_rate=RATE))  # a rate to read them at
    item = read_data(given).items[1]
    assert item["sampling_rate"] == RATE
    np.testing.assert_array_equal(item["array"], resample(open_sound(paths[1]), RATE))


def test_a_decoder_of_torchcodec_is_a_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    class AudioDecoder:  # as the library's, which needs ffmpeg
        def get_all_samples(self) -> Any:
            data = torch.from_numpy(np.stack([tone(500), tone(500)]))
            return types.SimpleNamespace(data=data, sample_rate=RATE)

    module = types.ModuleType("torchcodec.decoders")
    module.AudioDecoder = AudioDecoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    data = read_data(([AudioDecoder(), AudioDecoder()], [0, 1]))
    assert data.kind == "audio"
    np.testing.assert_array_equal(read_sound(data.items[0], "data[0]")["array"], tone(500))


# --- encoders -----------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["wav2vec2", "hubert", "wavlm"])
def test_layers_are_hidden_states(folder: Path, encoder: str) -> None:
    model = opened(folder, encoder)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder / encoder)
    reference = transformers.AutoModel.from_pretrained(folder / encoder).eval()
    batch = extractor(SOUNDS[0]["array"], sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        states = reference(batch["input_values"], output_hidden_states=True)
    expected = [*states.hidden_states[:-1], states.last_hidden_state]
    found = features(model, SOUNDS[:1])
    assert list(found) == list(model.layers)
    for layer, state in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(layer, state.mean(1).numpy(), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("encoder", ["wav2vec2", "wavlm", "head", "ast", "whisper", "clap"])
def test_a_sound_in_a_batch_has_the_features_that_it_has_alone(folder: Path, encoder: str) -> None:
    model = opened(folder, encoder)
    together = features(model, SOUNDS)
    for i, sound in enumerate(SOUNDS):
        for layer, alone in features(model, [sound]).items():
            np.testing.assert_allclose(together[layer][i], alone[0], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("encoder", ["wav2vec2", "hubert", "wavlm"])
def test_the_mask_of_frames_is_that_of_the_library(folder: Path, encoder: str) -> None:
    model = opened(folder, encoder)
    samples = torch.zeros(3, 12000, dtype=torch.int64)
    for row, sound in enumerate(SOUNDS):
        samples[row, : len(sound["array"])] = 1
    mask = model.attention_mask(model.collate(SOUNDS))
    expected = model.module._get_feature_vector_attention_mask(mask.shape[1], samples)
    assert torch.equal(mask.bool(), expected.bool())
    assert mask.sum(1).tolist() == [199, 349, 599]  # by hand: ((n − 10) // 5 + 1 − 4) // 4 + 1


def test_whisper_counts_the_frames_before_its_padding(folder: Path) -> None:
    mask = opened(folder, "whisper").attention_mask(opened(folder, "whisper").collate(SOUNDS))
    assert mask.shape == (3, 50)  # one second, in this model
    assert mask.sum(1).tolist() == [13, 22, 38]  # a frame every 320 samples, rounded up


@pytest.mark.parametrize("encoder", ENCODERS)
def test_features_of_the_extractor_are_unchanged(folder: Path, encoder: str) -> None:
    batch = opened(folder, encoder).collate(SOUNDS[:1])
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder / encoder)
    rate = extractor.sampling_rate
    expected = extractor([resample(SOUNDS[0], rate)], sampling_rate=rate, return_tensors="pt")
    for key in batch:
        assert torch.equal(batch[key], expected[key].to(batch[key].dtype)), key


def test_a_model_without_a_mask_gets_none_and_runs_alone_by_default(folder: Path) -> None:
    masked, bare = opened(folder, "wav2vec2"), opened(folder, "hubert")
    assert set(masked.collate(SOUNDS)) == {"input_values", "attention_mask"}
    assert set(bare.collate(SOUNDS)) == {"input_values"}
    assert (masked.inputs.batch_size, bare.inputs.batch_size) == (None, 1)


#: Encoders that take a mask, and whose features of a sound depend on the padding beside it.
SEEING_PADDING = {
    "group norm": ("Wav2Vec2", {"feat_extract_norm": "group", "do_stable_layer_norm": False}),
    "UniSpeechSat base": (
        "UniSpeechSat",
        {"feat_extract_norm": "group", "do_stable_layer_norm": False},
    ),
    "conformer": ("Wav2Vec2Conformer", {}),
    "data2vec": ("Data2VecAudio", {"conv_pos_kernel_size": 3, "num_conv_pos_embeddings": 2}),
    "sew": ("SEW", {}),  # its blocks have half as many frames
}


@pytest.mark.parametrize("encoder", SEEING_PADDING)
def test_a_model_that_sees_padding_runs_one_sound_at_a_time(
    tmp_path: Path, sounds: Path, encoder: str
) -> None:
    kind, changes = SEEING_PADDING[encoder]
    path = tiny.speech(tmp_path / "model", kind, **changes)
    _check_plain_loop(f"hf:{path}", path, sounds)


def test_a_model_that_counts_frames_with_int_is_read(tmp_path: Path, sounds: Path) -> None:
    path = tiny.moonshine(tmp_path / "model")
    _check_plain_loop(f"hf:{path}", path, sounds)


def _check_plain_loop(name: str, path: Path, sounds: Path) -> None:
    """Check that all layers are scored, the last as one sound after the other gives it."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(path)
    reference = transformers.AutoModel.from_pretrained(path).eval()
    if reference.config.is_encoder_decoder:
        reference = reference.get_encoder()
    paths = sorted(sounds.rglob("*.wav"))
    rows = []
    for file in paths:
        array = resample(open_sound(file), RATE)
        batch = extractor(array, sampling_rate=RATE, return_tensors="pt")
        with torch.no_grad():
            hidden = reference(batch["input_values"]).last_hidden_state
        rows.append(hidden[0].double().mean(0).numpy())
    labels = [file.parent.name for file in paths]
    row = ranked(name, sounds, layers="all")[0]
    assert row.error is None
    expected = float(tx.logme(np.array(rows), labels))
    assert float(row.logme) == pytest.approx(expected, rel=1e-4)  # float32 features


def test_the_cache_tells_batches_apart_if_padding_shows(
    folder: Path, sounds: Path, tmp_path: Path
) -> None:
    name, cache = name_of(folder, "hubert"), {"cache": tmp_path}
    alone = float(ranked(name, sounds)[0].logme)
    padded = ranked(name, sounds, batch_size=8, **cache)[0]
    assert float(padded.logme) != pytest.approx(alone, rel=1e-3)
    row = ranked(name, sounds, **cache)[0]
    assert (float(row.logme), row.from_cache) == (alone, False)
    for size, expected in ((8, float(padded.logme)), (1, alone), (None, alone)):
        row = ranked(name, sounds, batch_size=size, **cache)[0]
        assert (float(row.logme), row.from_cache) == (expected, True)
    exact = name_of(folder, "wav2vec2")  # of which it does not
    ranked(exact, sounds, batch_size=8, **cache)
    assert ranked(exact, sounds, **cache)[0].from_cache


def test_a_recalled_model_keeps_its_batch_size(folder: Path, sounds: Path, tmp_path: Path) -> None:
    options = {"cache": tmp_path, "isolate": True}
    name = name_of(folder, "hubert")
    scores = [float(ranked(name, sounds, batch_size=n, **options)[0].logme) for n in (8, None)]
    rows = [ranked(name, sounds, batch_size=n, **options)[0] for n in (8, None)]
    assert [float(row.logme) for row in rows] == scores
    assert all(row.from_cache for row in rows)
    assert scores[0] != pytest.approx(scores[1], rel=1e-3)


def test_an_adapter_has_a_mask_of_its_own(tmp_path: Path) -> None:
    adapter = {"add_adapter": True, "num_adapter_layers": 1, "output_hidden_size": 16}
    path = tiny.wav2vec2(tmp_path / "model", **adapter)
    model = models.open_model(f"hf:{path}", device="cpu")
    together, alone = features(model, SOUNDS), features(model, SOUNDS[1:2])
    for layer in model.layers[:-1]:
        np.testing.assert_allclose(together[layer][1], alone[layer][0], rtol=0, atol=ROUNDING)
    assert model.inputs.batch_size == 1  # its convolutions see the first frame of the padding
    masks = model.attention_mask(model.collate(SOUNDS))
    assert masks[model.layers[-1]].shape[1] * 2 == masks[model.layers[0]].shape[1] + 1


def test_features_of_a_spectrogram_transformer_are_those_of_its_classifier(folder: Path) -> None:
    model = opened(folder, "ast")
    assert model.default_layer == "pooler_output"
    kind = transformers.ASTForAudioClassification
    reference = kind.from_pretrained(folder / "ast").eval()
    with torch.no_grad():
        pooled = reference.base_model(**model.collate(SOUNDS)).pooler_output
    np.testing.assert_array_equal(features(model, SOUNDS)["pooler_output"], pooled.numpy())


def test_the_part_of_a_long_sound_is_always_the_same(
    tmp_path: Path,
) -> None:
    path = tiny.clap(tmp_path / "model")
    model = models.open_model(f"hf:{path}?tower=audio", device="cpu")
    rng = np.random.default_rng(0)
    long = {"array": rng.normal(size=12 * 48_000).astype(np.float32), "sampling_rate": 48_000}
    np.random.seed(1)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = model.collate([SOUNDS[0], long])["input_features"]
    np.random.seed(2)  # noqa: NPY002
    again = model.collate([long, SOUNDS[1]])["input_features"]
    assert torch.equal(first[1], again[0])
    np.random.seed(1)  # noqa: NPY002
    model.collate([long])
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_a_sound_is_resampled_to_the_rate_of_the_model(folder: Path) -> None:
    model = opened(folder, "wav2vec2")
    slow = {"array": tone(3000, 440.0, 8000), "sampling_rate": 8000}
    values = model.collate([slow])["input_values"]
    assert values.shape == (1, 6000)
    done = {"array": resample(slow, RATE), "sampling_rate": RATE}
    assert torch.equal(values, model.collate([done])["input_values"])


@pytest.mark.parametrize("encoder", ["wav2vec2", "hubert"])
def test_a_sound_too_short_for_a_frame_is_refused(folder: Path, encoder: str) -> None:
    model = opened(folder, encoder)
    short = {"array": tone(24), "sampling_rate": RATE}
    with pytest.raises(DataError, match="24 samples at 16,000 Hz are too few for one frame"):
        model.collate([SOUNDS[0], short])
    model.collate([{"array": tone(25), "sampling_rate": RATE}])  # 10 + 3 · 5: one frame


def test_an_array_without_a_rate_is_refused(folder: Path) -> None:
    with pytest.raises(DtypeError, match=r"sound 0 of the batch is ndarray .* a sampling rate"):
        opened(folder, "wav2vec2").collate([tone(4000)])


def test_a_model_of_texts_and_sounds_needs_a_tower(folder: Path) -> None:
    name_of(folder, "clap")
    text = r"tower for texts and one for sounds; choose one: .*\?tower=text or \?tower=audio"
    with pytest.raises(DataError, match=text):
        models.open_model(f"hf:{folder / 'clap'}")
    with pytest.raises(DataError, match=text):
        models.open_model(f"hf:{folder / 'clap'}?tower=vision")


def test_the_fingerprint_knows_the_extractor(tmp_path: Path) -> None:
    path = tiny.wav2vec2(tmp_path / "model")
    before = models.open_model(f"hf:{path}").fingerprint()
    assert models.open_model(f"hf:{path}").fingerprint() == before
    file = path / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "do_normalize": False}))
    assert models.open_model(f"hf:{path}").fingerprint() != before


def test_layers_of_an_audio_model_have_shapes(folder: Path) -> None:
    done = CliRunner().invoke(main, ["layers", name_of(folder, "wav2vec2"), "--json"])
    facts = json.loads(done.output)
    assert facts["kind"] == "audio"
    assert facts["layers"]["last_hidden_state"] == [1, 799, 16]


# --- sweeps -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of 24 sounds of several lengths and rates, low ones and high ones."""
    root, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    for i in range(24):
        rate = (8000, RATE)[i % 3 > 0]
        pitch = (300.0, 900.0)[i % 2] * rng.uniform(0.9, 1.1)
        samples = tone(int(rng.integers(2000, 4000)), pitch, rate)
        samples = samples * 0.8 + rng.normal(size=len(samples)).astype(np.float32) * 0.02
        write_wave(root / ("low", "high")[i % 2] / f"{i:02}.wav", samples, rate)
    return root


def ranked(specs: Any, data: Any, **options: Any) -> tx.Ranking:
    options = {"cache": False, "isolate": False, "device": "cpu", **options}
    return tx.rank_models(specs, data, **options)


def test_a_folder_of_sounds_gives_the_score_of_a_plain_loop(folder: Path, sounds: Path) -> None:
    ranking = ranked(name_of(folder, "wav2vec2"), sounds, layers="all")
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder / "wav2vec2")
    reference = transformers.AutoModel.from_pretrained(folder / "wav2vec2").eval()
    paths = sorted(sounds.rglob("*.wav"))
    rows = []
    for path in paths:
        array = resample(open_sound(path), RATE)
        batch = extractor(array, sampling_rate=RATE, return_tensors="pt")
        with torch.no_grad():
            rows.append(reference(**batch).last_hidden_state[0].double().mean(0).numpy())
    expected = tx.logme(np.array(rows), [path.parent.name for path in paths])
    assert float(ranking[0].logme) == pytest.approx(float(expected), rel=1e-4)  # float32 features
    assert len(ranking[0].layers) == 4


@pytest.mark.parametrize("batch_size", [1, 5, 24])
def test_the_score_does_not_depend_on_the_batches(
    folder: Path, sounds: Path, batch_size: int
) -> None:
    name = name_of(folder, "whisper")
    found = ranked(name, sounds, batch_size=batch_size)[0].logme
    assert float(found) == pytest.approx(float(ranked(name, sounds)[0].logme), rel=1e-5)


def test_sounds_in_every_form_have_one_score(folder: Path, sounds: Path, tmp_path: Path) -> None:
    datasets, pandas = pytest.importorskip("datasets"), pytest.importorskip("pandas")
    paths = sorted(map(str, sounds.rglob("*.wav")))
    labels = [Path(path).parent.name for path in paths]
    frame = pandas.DataFrame({"path": paths, "n": range(len(paths)), "label": labels})
    frame.to_csv(tmp_path / "table.csv", index=False)
    hub = datasets.Dataset.from_dict({"audio": paths, "label": labels})
    cells = [{"bytes": Path(path).read_bytes(), "path": None} for path in paths]
    forms = [
        sounds,
        (paths, labels),
        frame,
        tmp_path / "table.csv",
        hub.cast_column("audio", datasets.Audio()),
        pandas.DataFrame({"audio": cells, "label": labels}),
        ([open_sound(path) for path in paths], labels),
        ([(open_sound(p)["array"], open_sound(p)["sampling_rate"]) for p in paths], labels),
    ]
    name = name_of(folder, "hubert")
    assert len({float(ranked(name, form)[0].logme) for form in forms}) == 1


def test_one_bad_sound_becomes_the_row_that_names_it(
    folder: Path, sounds: Path, tmp_path: Path
) -> None:
    paths = sorted(map(str, sounds.rglob("*.wav")))
    labels = [Path(path).parent.name for path in paths]
    names = [name_of(folder, "wav2vec2"), "test_audio:count_bytes"]
    for name, path in bad_files(tmp_path / "bad").items():
        if name == "missing.wav":
            continue
        given = [*paths[:20], str(path), *paths[20:]]
        ranking = ranked(names, (given, [*labels[:20], "low", *labels[20:]]))
        assert ranking.names == ("test_audio:count_bytes", names[0])  # the other is unharmed
        assert str(path) in (ranking[1].error or "")


def count_bytes() -> Any:
    """Make a function from names of files to features."""
    return lambda paths: np.array(
        [[Path(path).stat().st_size, len(str(path)), ord(str(path)[-5])] for path in paths], float
    )


def test_a_sound_that_is_too_short_is_named_by_its_row(folder: Path, sounds: Path) -> None:
    paths = sorted(map(str, sounds.rglob("*.wav")))
    items: list[Any] = [open_sound(path) for path in paths]
    items[17] = {"array": tone(20), "sampling_rate": RATE}
    labels = [Path(path).parent.name for path in paths]
    row = ranked(name_of(folder, "wav2vec2"), (items, labels))[0]
    assert "data[17]: 20 samples at 16,000 Hz are too few" in (row.error or "")
    items[17] = (np.zeros(9, np.int64), RATE)
    row = ranked(name_of(folder, "wav2vec2"), (items, labels))[0]
    assert "data[17] has dtype int64" in (row.error or "")


@pytest.mark.parametrize("form", ["dict", "pair", "file"])
def test_numbers_of_unknown_scale_are_refused(tmp_path: Path, form: str) -> None:
    loud = tone(500) * 2**15
    path = tmp_path / "a.wav"
    soundfile.write(path, loud, RATE, subtype="FLOAT")
    item = {"dict": {"array": loud, "sampling_rate": RATE}, "pair": (loud, RATE), "file": path}
    with pytest.raises(DataError, match=r"samples of up to 16,384, and a sound goes from -1 to 1"):
        read_sound(item[form], "data[0]")
    above = {"array": tone(500) * 3, "sampling_rate": RATE}  # peaks beyond full scale
    np.testing.assert_array_equal(read_sound(above, "data[0]")["array"], tone(500) * 3)


def test_tensors_of_half_precision_are_sounds(folder: Path) -> None:
    items = [(torch.from_numpy(own["array"]).bfloat16(), RATE) for own in SOUNDS * 8]
    data = read_data((items, [0, 1, 0] * 8))
    assert data.kind == "audio"
    assert data.digest() != read_data((items[::-1], [0, 1, 0] * 8)).digest()
    read = read_sound(items[0], "data[0]")["array"]
    np.testing.assert_array_equal(read, items[0][0].float().numpy())


@pytest.mark.parametrize("bad", [b"RIFF0000WAVEjunk", None])
def test_a_bad_cell_becomes_the_row_that_names_it(folder: Path, sounds: Path, bad: Any) -> None:
    datasets = pytest.importorskip("datasets")
    paths = sorted(map(str, sounds.rglob("*.wav")))
    labels = [Path(path).parent.name for path in paths]
    cells: list[Any] = [{"bytes": Path(path).read_bytes(), "path": None} for path in paths]
    cells[5] = bad if bad is None else {"bytes": bad, "path": None}
    table = {"audio": cells, "label": labels}
    hub = datasets.Dataset.from_dict(table).cast_column("audio", datasets.Audio())
    for data in [hub] if bad is None else [hub, table]:
        row = ranked(name_of(folder, "wav2vec2"), data)[0]
        assert "data[5]: a cell" in (row.error or "")


def test_the_digest_of_cells_is_that_of_their_bytes(sounds: Path) -> None:
    datasets = pytest.importorskip("datasets")
    paths = sorted(map(str, sounds.rglob("*.wav")))[:4]
    cells = [{"bytes": Path(path).read_bytes(), "path": None} for path in paths]
    labels = ["a", "b", "a", "b"]
    rows = datasets.Dataset.from_dict({"audio": cells, "label": labels})
    column = rows.cast_column("audio", datasets.Audio())
    digests = {
        read_data(data).digest()
        for data in (
            (paths, labels),
            {"audio": cells, "label": labels},
            column,
            datasets.Dataset.from_dict({"audio": paths, "label": labels}).cast_column(
                "audio", datasets.Audio()
            ),
        )
    }
    assert len(digests) == 1
    slow = rows.cast_column("audio", datasets.Audio(sampling_rate=4000))
    assert read_data(slow).digest() not in digests


def test_sounds_have_no_windows(folder: Path, sounds: Path) -> None:
    with pytest.raises(DataError, match="leave it out for pictures and sounds"):
        ranked(name_of(folder, "wav2vec2"), sounds, window=100)


def test_kinds_that_do_not_fit_are_refused(folder: Path, sounds: Path, tmp_path: Path) -> None:
    row = ranked(f"hf:{tiny.bert(tmp_path / 'bert')}", sounds)[0]
    assert "this model reads texts, and the data are sounds" in (row.error or "")
    texts = (["one text", "a.wav", "two"] * 4, [0, 1, 0] * 4)
    row = ranked(name_of(folder, "hubert"), texts)[0]
    assert "this model reads sounds, and the data are texts" in (row.error or "")
    names = (["a.wav", "b.wav"] * 4, [0, 1] * 4)
    row = ranked(name_of(folder, "hubert"), names)[0]
    assert "'a.wav' is no file, if sounds are meant" in (row.error or "")


def test_the_command_line_ranks_a_folder_of_sounds(
    folder: Path, sounds: Path, tmp_path: Path
) -> None:
    options = ["--audio", str(sounds), "--json", "--cache", str(tmp_path), "--no-isolate"]
    done = CliRunner().invoke(main, ["rank", "--models", name_of(folder, "ast"), *options])
    assert done.exit_code == 0, done.output
    expected = float(ranked(name_of(folder, "ast"), sounds)[0].logme)
    assert json.loads(done.stdout)["rows"][0]["scores"]["logme"] == expected


def test_the_options_say_the_kind_of_a_folder(folder: Path, sounds: Path, tmp_path: Path) -> None:
    """A folder may hold a picture of each sound, as spectrograms."""
    import shutil

    from PIL import Image

    shutil.copytree(sounds, tmp_path / "both")
    rng = np.random.default_rng(0)
    for path in (tmp_path / "both").rglob("*.wav"):
        for suffix in (".png", ".bmp"):
            pixels = rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(path.with_suffix(suffix))
    options = ["--json", "--cache", str(tmp_path), "--no-isolate"]
    for kind, name, n_rows in (
        ("--audio", name_of(folder, "ast"), 24),
        ("--images", "timm:test_vit?pretrained=false", 48),
    ):
        arguments = ["rank", "--models", name, kind, str(tmp_path / "both"), *options]
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["rows"][0]["n_samples"] == n_rows
    done = CliRunner().invoke(main, ["rank", "--models", "a:b", "--images", str(sounds)])
    assert done.exit_code == 3
    assert "holds no pictures in subfolders" in done.stderr
