"""Sounds as data: names and folders, tables, arrays with a rate; their numbers, scale and channels.

Reading files needs soundfile: `tests/torch/test_audio.py`.
"""

from __future__ import annotations

import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from transferability._data.audio import is_sound_content, read_sound
from transferability._data.data import Data
from transferability._data.read import read_data
from transferability.errors import DataError, DtypeError, MissingDependencyError

RATE = 8000
TONE = np.sin(np.arange(400, dtype=np.float32) / 9) / 2


def write_wave(path: Path, samples: np.ndarray = TONE, rate: int = RATE) -> Path:
    """Write a WAV file of 16 bits; rows of samples are channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = np.atleast_2d(samples)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(columns))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(columns.T * 2**15).astype("<i2").tobytes())
    return path


def sounds_of(folder: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        write_wave(folder / name, TONE * (i + 1) / len(names))
    return folder


def listed(data: Data) -> list[tuple[str, str]]:
    return [(path.name, label) for path, label in zip(data.items.source, data.labels, strict=True)]


# --- folders ------------------------------------------------------------------------------------


def test_the_subfolders_of_a_folder_of_sounds_are_its_classes(tmp_path: Path) -> None:
    data = read_data(sounds_of(tmp_path, "cat/a.wav", "dog/b.WAV", "dog/deep/c.wav", "dog/d.flac"))
    assert data.kind == "audio"
    assert listed(data) == [("a.wav", "cat"), ("b.WAV", "dog"), ("d.flac", "dog"), ("c.wav", "dog")]


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus", ".m4a"])
def test_every_usual_suffix_is_a_sound(tmp_path: Path, suffix: str) -> None:
    data = read_data(sounds_of(tmp_path, f"x/a{suffix}", f"y/b{suffix}"))
    assert (data.kind, data.labels) == ("audio", ["x", "y"])


def test_splits_of_sounds_are_read_like_those_of_pictures(tmp_path: Path) -> None:
    names = ("train/x/a.wav", "train/y/b.wav", "train/y/c.wav", "val/x/d.wav", "val/y/e.wav")
    folder = sounds_of(tmp_path, *names)
    data = read_data(folder)
    assert listed(data) == [("a.wav", "x"), ("b.wav", "y"), ("c.wav", "y")]
    assert data.notes == (
        f"{folder}: read the split train/ (3 sounds) and not val/ (2); split= chooses",
    )
    assert listed(read_data(folder, split="val")) == [("d.wav", "x"), ("e.wav", "y")]
    assert len(read_data(folder, split="all")) == 5


def test_the_kind_of_a_folder_is_that_of_most_files_and_a_note_says_so(tmp_path: Path) -> None:
    folder = sounds_of(tmp_path, "x/a.wav", "x/b.wav", "y/c.wav", "y/plot.png", "covers/d.jpg")
    data = read_data(folder)
    assert listed(data) == [("a.wav", "x"), ("b.wav", "x"), ("c.wav", "y")]
    assert data.notes == (f"{folder}: read 3 sounds and not 2 pictures",)


def test_a_folder_with_as_many_pictures_as_sounds_is_one_of_pictures(tmp_path: Path) -> None:
    data = read_data(sounds_of(tmp_path, "x/a.wav", "x/a.png", "y/b.png", "y/b.wav"))
    assert (data.kind, data.labels) == ("image", ["x", "y"])


def test_what_systems_add_to_sounds_is_left_out(tmp_path: Path) -> None:
    folder = sounds_of(tmp_path, "x/a.wav", "y/b.wav", "x/._a.wav", "__MACOSX/x/a.wav")
    data = read_data(folder)
    assert listed(data) == [("a.wav", "x"), ("b.wav", "y")]
    assert "1 more left out, which systems add beside sounds" in data.notes[0]


def test_a_sound_named_like_a_mask_is_a_sound(tmp_path: Path) -> None:
    data = read_data(sounds_of(tmp_path, "x/a.wav", "x/a_mask.wav", "y/b.wav"))
    assert data.labels == ["x", "x", "y"]


def test_sounds_without_subfolders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no pictures or sounds in subfolders"):
        read_data(sounds_of(tmp_path, "a.wav", "b.wav"))


def test_a_digest_of_sounds_follows_their_content(tmp_path: Path) -> None:
    first = read_data(sounds_of(tmp_path / "1", "x/a.wav", "y/b.wav")).digest()
    moved = read_data(sounds_of(tmp_path / "2", "x/c.wav", "y/d.wav")).digest()
    assert moved == first
    write_wave(tmp_path / "2/y/d.wav", TONE * 0.9)
    assert read_data(tmp_path / "2").digest() != first


# --- names of files -----------------------------------------------------------------------------


def test_names_of_sounds_are_sounds(tmp_path: Path) -> None:
    names = [str(write_wave(tmp_path / f"{i}.wav")) for i in range(3)]
    data = read_data((names, [0, 1, 0]))
    assert (data.kind, data.items[1]) == ("audio", names[1])


@pytest.mark.parametrize("column", ["path", "file", "file_name", "filename", "audio"])
def test_a_table_has_paths_relative_to_itself(tmp_path: Path, column: str) -> None:
    sounds_of(tmp_path, "clips/a.wav", "clips/b.wav")
    rows = "clips/a.wav,7,x\nclips/b.wav,8,y\n"
    (tmp_path / "table.csv").write_text(f"{column},speaker,label\n{rows}")
    data = read_data(tmp_path / "table.csv")
    assert (data.kind, data.labels) == ("audio", ["x", "y"])
    assert data.items[1] == tmp_path / "clips/b.wav"


def test_a_column_of_paths_of_another_name_is_named_by_text(tmp_path: Path) -> None:
    paths = [str(write_wave(tmp_path / f"{i}.wav")) for i in range(2)]
    frame = pd.DataFrame({"clip": paths, "who": [1, 2], "label": ["x", "y"]})
    assert read_data(frame, text="clip").kind == "audio"


def test_a_column_file_that_holds_no_names_of_files_is_no_input() -> None:
    frame = pd.DataFrame({"file": ["one", "two"], "body": ["a b", "c"], "label": ["x", "y"]})
    with pytest.raises(DataError, match="has columns file, body; say which with text="):
        read_data(frame)


def test_a_column_of_texts_comes_before_one_of_paths(tmp_path: Path) -> None:
    write_wave(tmp_path / "a.wav")
    paths = [str(tmp_path / "a.wav"), str(tmp_path / "missing.wav")]
    frame = pd.DataFrame({"path": paths, "text": ["a b", "c"], "label": ["x", "y"]})
    assert read_data(frame).kind == "text"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    names = [str(write_wave(tmp_path / "0.wav")), str(tmp_path / "1.wav")]
    with pytest.raises(DataError, match=r"no file .*1\.wav; 1 of the 2 sounds are missing"):
        read_data((names, [0, 1]))


def test_a_row_that_names_no_sound_is_named(tmp_path: Path) -> None:
    names = [str(write_wave(tmp_path / f"{i}.wav")) for i in range(3)]
    with pytest.raises(DataError, match=r"row 1 is 'x\.png', and the others name files of sounds"):
        read_data(([names[0], "x.png", *names[1:]], [0, 1, 0, 1]))


# --- contents of files --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"RIFF....WAVEfmt ", b"fLaC\0", b"OggS\0", b"ID3\3", b"FORM....AIFF", b"\xff\xfb\x90"],
)
def test_the_content_of_a_sound_is_recognised(content: bytes) -> None:
    assert is_sound_content(content)
    frame = pd.DataFrame({"cell": [content, content], "label": ["x", "y"]})
    assert read_data(frame).kind == "audio"


@pytest.mark.parametrize("content", [b"RIFF....WEBPVP8 ", b"\x89PNG\r\n", b"\xff\xd8\xff\xe0", b""])
def test_other_content_is_a_picture(content: bytes) -> None:
    assert not is_sound_content(content)


def test_a_cell_with_the_path_of_a_sound_is_one(tmp_path: Path) -> None:
    path = str(write_wave(tmp_path / "a.wav"))
    cells = [{"bytes": None, "path": path}] * 2
    data = read_data(pd.DataFrame({"audio": cells, "label": ["x", "y"]}))
    assert (data.kind, data.items[0]) == ("audio", path)
    unknown = [{"bytes": b"?", "path": "clip.wav"}] * 2  # as the bytes say nothing, its name does
    assert read_data(pd.DataFrame({"audio": unknown, "label": ["x", "y"]})).kind == "audio"


def test_a_picture_among_sounds_is_named() -> None:
    cells = [b"fLaC\0", b"\x89PNG\r\n"]
    with pytest.raises(DataError, match=r"row 1: column audio holds .* which is no sound"):
        read_data(pd.DataFrame({"audio": cells, "label": ["x", "y"]}))


# --- arrays with a rate -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        {"array": TONE, "sampling_rate": RATE},
        {"array": TONE.tolist(), "sampling_rate": float(RATE), "path": "a.wav"},
        {"array": np.stack([TONE, TONE]), "sampling_rate": np.int64(RATE)},
        (TONE, RATE),
        (np.stack([TONE, TONE], axis=1), np.int32(RATE)),
        (TONE.astype(np.float64), RATE),
    ],
)
def test_an_array_with_a_rate_is_a_sound(item: Any) -> None:
    data = read_data(([item, item], [0, 1]))
    assert data.kind == "audio"
    assert data.items[0] is item  # a user's function gets what was given
    read = read_sound(item, "data[0]")
    assert read["sampling_rate"] == RATE
    assert read["array"].dtype == np.float32
    np.testing.assert_array_equal(read["array"], TONE)


def test_a_column_of_sounds_is_one(tmp_path: Path) -> None:
    cells = [{"array": TONE, "sampling_rate": RATE}] * 2
    data = read_data({"audio": cells, "label": ["x", "y"]})
    assert (data.kind, len(data)) == ("audio", 2)
    bad = [cells[0], "text"]
    with pytest.raises(DataError, match="row 1: column audio holds 'text', which is no sound"):
        read_data({"audio": bad, "label": ["x", "y"]})


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.int16, [-(2**15), 0, 2**14], [-1, 0, 0.5]),
        (np.int32, [-(2**31), 0, 2**30], [-1, 0, 0.5]),
        (np.uint8, [0, 128, 192], [-1, 0, 0.5]),
        (np.int8, [-128, 0, 64], [-1, 0, 0.5]),
        (np.float16, [-1, 0, 0.5], [-1, 0, 0.5]),
    ],
)
def test_integers_are_scaled_by_their_range(dtype: Any, values: Any, expected: Any) -> None:
    read = read_sound((np.array(values, dtype), RATE), "data[0]")["array"]
    np.testing.assert_array_equal(read, np.array(expected, np.float32))


@pytest.mark.parametrize("axis", [0, 1])
def test_channels_are_averaged(axis: int) -> None:
    both = np.stack([TONE, 0.5 * TONE], axis=axis)
    read = read_sound((both, RATE), "data[0]")["array"]
    np.testing.assert_allclose(read, 0.75 * TONE, rtol=2e-7, atol=0)  # two roundings of float32


@pytest.mark.parametrize(
    ("item", "error", "text"),
    [
        ((np.empty(0, np.float32), RATE), DataError, "is empty: it has no samples"),
        ((np.array([0.1, np.nan]), RATE), DataError, "has NaN or infinity"),
        ((np.array([0.1, np.inf]), RATE), DataError, "has NaN or infinity"),
        ((np.zeros((64, 100)), RATE), DataError, r"shape \(64, 100\); give the waveform"),
        ((np.zeros((2, 2)), RATE), DataError, "does not say which axis is that of the channels"),
        ((np.zeros(9, np.int64), RATE), DtypeError, "dtype int64, whose range is unknown"),
        ((np.zeros(9, bool), RATE), DtypeError, "dtype bool, whose range is unknown"),
        ({"array": TONE, "sampling_rate": 0}, DataError, "sampling rate 0; give a positive"),
        ({"array": TONE, "sampling_rate": 0.5}, DataError, "sampling rate 0.5; give a positive"),
        ({"array": TONE, "sampling_rate": None}, DataError, "sampling rate None; give a positive"),
        (TONE, DtypeError, r"is ndarray of shape \(400,\), and a sound has a sampling rate"),
        (3, DtypeError, "is int, and a sound has a sampling rate"),
    ],
)
def test_a_bad_sound_is_named_with_its_reason(item: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text) as raised:
        read_sound(item, "data[7]")
    assert str(raised.value).startswith("data[7] ")


def test_a_pair_of_numbers_and_a_small_integer_is_no_sound() -> None:
    assert read_data(([(TONE, 3), (TONE, 4)], [0, 1])).kind == "array"


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = read_data(sounds_of(tmp_path, "x/a.wav", "y/b.wav"))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingDependencyError, match=r"soundfile.*transferability\[audio\]"):
        data.items[0]
