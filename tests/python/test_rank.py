"""Rankings: order, failures, files, tables, addition, progress."""

from __future__ import annotations

import io
import json
import pickle
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import DataError, DtypeError, TransferabilityWarning, _core
from transferability._util.parallel import map_in_threads
from transferability.io._sources import Source, find_models, load_labels


@pytest.fixture
def models(features: Any) -> dict[str, Any]:
    return {
        "poor": features[::-1],
        "good": features,
        "twin": features.copy(),
        "<b>bad</b>": np.full((90, 2), np.nan),
        "short": features[:50],
    }


def test_best_first_ties_by_name_failures_last(models: Any, features: Any, labels: Any) -> None:
    ranking = tx.rank(models, labels)
    assert ranking.names == ("good", "twin", "poor", "<b>bad</b>", "short")
    assert [row.rank for row in ranking] == [1, 2, 3, None, None]
    assert ranking.best.name == "good"
    assert ranking.best.logme == ranking["twin"].scores["logme"] == tx.logme(features, labels)
    assert "features[0, 0] is NaN" in str(ranking["<b>bad</b>"].error)
    assert "labels has 90 entries but features has 50 rows" in str(ranking["short"].error)
    assert ranking.failed == ranking.rows[3:]
    assert len(ranking) == 5
    assert "poor" in ranking
    assert ranking[0] is ranking.best
    assert ranking.top(2).names == ("good", "twin")
    with pytest.raises(KeyError, match="no model 'x'"):
        ranking["x"]
    with pytest.raises(AttributeError, match="no 'h_score'"):
        _ = ranking.best.h_score


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_threads_change_nothing(n_threads: int, models: Any, labels: Any) -> None:
    expected = tx.rank(models, labels).to_dict()
    result = tx.rank(models, labels, n_threads=n_threads).to_dict()
    for row in (*expected["rows"], *result["rows"]):
        del row["seconds"]
    assert result == expected


def test_tables(models: Any, labels: Any) -> None:
    ranking = tx.rank(models, labels)
    text = repr(ranking)
    assert text.splitlines()[0].startswith("5 models by LogME, higher is better")
    assert text.splitlines()[2].split() == ["rank", "model", "LogME", "D", "seconds", "notes"]
    html = ranking._repr_html_()
    assert "&lt;b&gt;bad" in html
    assert "<b>" not in html
    assert ranking.to_markdown().splitlines()[2].startswith("| 1 | good | ")
    assert ranking.to_csv().splitlines()[0].startswith("rank,model,logme,n_features")
    facts = json.loads(ranking.to_json())
    assert facts["rows"][0]["scores"]["logme"] == float(ranking.best.logme)
    assert facts["rows"][4]["scores"]["logme"] is None
    assert facts["task"] == "classification"
    assert pickle.loads(pickle.dumps(ranking)).names == ranking.names


def test_reasons_and_warnings_stand_under_the_table(features: Any) -> None:
    models = {"good": features, "a\n\x1b[31mb": np.where(features > 2.9, np.nan, 1)[:, :0]}
    models["short"] = features[:9]
    columns = np.column_stack([features[:, 0] > 0, np.ones(90)])
    ranking = tx.rank(models, columns)
    reason = ranking["short"].error
    assert len(str(reason)) > 50
    lines = repr(ranking).splitlines()
    assert [line.split()[-1] for line in lines[4:6]] == ["failed", "failed"]
    assert lines[6] == ""
    assert lines[7].startswith(r"a\n\x1b[31mb: features is empty")
    assert lines[8] == f"short: {reason}"
    assert lines[9] == f"Note: {ranking.warnings[0]}"
    markdown = ranking.to_markdown().splitlines()
    assert markdown[5:7] == ["", f"- {lines[7]}"]
    assert markdown[7:] == [f"- {line}" for line in lines[8:]]
    html = ranking._repr_html_()
    assert all(f"<li>{line}</li>" in html for line in lines[7:])
    assert "<ul>" not in tx.rank({"good": features}, features[:, 0] > 0)._repr_html_()
    assert not any(char in text for text in (*lines, *markdown, html) for char in "\n\x1b")


def test_data_frames(models: Any, labels: Any) -> None:
    ranking = tx.rank(models, labels)
    frame = pytest.importorskip("pandas").DataFrame(ranking.to_pandas())
    assert frame["model"].tolist() == list(ranking.names)
    assert frame["logme"].isna().sum() == 2
    pytest.importorskip("polars")
    assert ranking.to_polars()["rank"].to_list() == [1, 2, 3, None, None]


def test_rankings_of_the_same_labels_add_up(features: Any, labels: Any) -> None:
    first, second = tx.rank({"a": features}, labels), tx.rank({"b": features[::-1]}, labels)
    assert (first + second).names == tx.rank({"a": features, "b": features[::-1]}, labels).names
    with pytest.raises(DataError, match="both rankings have a model 'a'"):
        first + first
    for other in (
        tx.rank({"b": features}, labels[::-1]),
        tx.rank({"b": features}, labels.astype(str)),
        tx.rank({"b": features}, labels, intercept=True),
        tx.rank({"b": features[:60]}, labels[:60]),
    ):
        with pytest.raises(DataError, match="not of the same rows and labels"):
            first + other
    with pytest.raises(TypeError):
        first + 1  # type: ignore[operator]


def test_rankings_of_other_label_embeddings_do_not_add_up(features: Any, labels: Any) -> None:
    rng = np.random.default_rng(0)
    views = rng.normal(size=(2, len(features), 4))

    def ranked(name: str, embeddings: Any) -> tx.Ranking:
        return tx.rank({name: features}, labels, "emms", label_embeddings=embeddings)

    first = ranked("a", {"clip": views[0]})
    assert {*(first + ranked("b", {"clip": views[0].copy()})).names} == {"a", "b"}
    assert {*(first + ranked("b", {"clip": views[0].tolist()})).names} == {"a", "b"}
    for other in ({"clip": views[1]}, {"bert": views[0]}, {"clip": views[0], "bert": views[0]}):
        with pytest.raises(DataError, match="not of the same rows and labels"):
            first + ranked("b", other)


def test_one_failure_in_a_thread_stops_the_calls_that_wait() -> None:
    stop, called = _core.Stop(), []

    def call(item: int) -> int:
        called.append(item)
        if item == 0:
            raise KeyboardInterrupt
        time.sleep(0.01)
        return item

    with pytest.raises(KeyboardInterrupt):
        map_in_threads(call, range(1000), 2, stop)
    assert len(called) < 1000
    done: list[tuple[int, int]] = []
    results = map_in_threads(lambda i: i * i, range(5), 3, stop, lambda *call: done.append(call))
    assert results == [0, 1, 4, 9, 16]
    assert [n_done for n_done, _ in done] == [1, 2, 3, 4, 5]
    assert map_in_threads(call, [], 3, stop) == []


@pytest.mark.parametrize("n_started", [0, 1, 2])
def test_fewer_threads_than_asked_for_make_all_calls(
    n_started: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, start = [n_started], threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if left[0] == 0:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    gate = threading.Event()

    def call(item: int) -> int:
        gate.wait(0.001)  # so that no thread is idle while others start
        return item * item

    with pytest.warns(TransferabilityWarning, match=f"start {max(n_started, 1)} of 3 threads"):
        found = map_in_threads(call, range(30), 3, _core.Stop())
    assert found == [item * item for item in range(30)]


def test_all_failed_is_said(labels: Any) -> None:
    ranking = tx.rank({"a": np.ones((3, 3))}, labels)
    with pytest.raises(DataError, match="no model could be scored; a: labels has 90"):
        _ = ranking.best


@pytest.mark.parametrize(
    ("models", "options", "error", "message"),
    [
        ({}, {}, DataError, "models is empty"),
        ([1], {}, DtypeError, "mapping"),
        ({1: np.ones((90, 2))}, {}, DtypeError, "names must be strings"),
        ({"a": np.ones((90, 2))}, {"nonsense": 1}, DtypeError, "unknown option 'nonsense'"),
        ({"a": np.ones((90, 2))}, {"progress": "yes"}, DtypeError, "progress is 'yes'"),
        ({"a": np.ones((90, 2))}, {"metrics": "nope"}, DataError, "unknown metric"),
    ],
)
def test_what_concerns_all_models_is_raised(
    models: Any, options: Any, error: Any, message: str, labels: Any
) -> None:
    with pytest.raises(error, match=message):
        tx.rank(models, labels, **options)


def test_warnings_are_notes(features: Any) -> None:
    columns = np.column_stack([features[:, 0] > 0, np.ones(90)])
    ranking = tx.rank({"a": features, "b": features}, columns)
    assert "left out" in ranking.warnings[0]
    assert ranking.best.notes == ()
    single = tx.rank({"a": features}, np.ones(90, int))
    assert "single class" in single.best.notes[0]


def test_coefficients_are_kept_on_request(features: Any, labels: Any) -> None:
    assert tx.rank({"a": features}, labels, keep_coef=True).best.logme.coef.shape == (3, 6)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_progress_is_called_once_a_model(n_threads: int, models: Any, labels: Any) -> None:
    calls: list[tuple[int, int, str]] = []
    tx.rank(models, labels, progress=lambda *call: calls.append(call), n_threads=n_threads)
    assert [call[:2] for call in calls] == [(i, 5) for i in range(1, 6)]
    assert {call[2] for call in calls} == set(models)


def test_silent_off_a_terminal(models: Any, labels: Any, capfd: Any) -> None:
    tx.rank(models, labels)
    assert capfd.readouterr() == ("", "")


def test_tqdm_bar(models: Any, labels: Any, capfd: Any) -> None:
    pytest.importorskip("tqdm")
    tx.rank(models, labels, progress=True)
    assert "/5 [" in capfd.readouterr().err


def test_paths_are_models(feature_folder: Path, features: Any, labels: Any) -> None:
    paths = {
        "npy": feature_folder / "good.npy",
        "member": f"{feature_folder.parent / 'all.npz'}:good",
        "whole": feature_folder.parent / "all.npz",
        "gone": "gone.npy",
        "text": "gone.txt",
    }
    ranking = tx.rank(paths, labels)
    assert ranking["npy"].logme == ranking["member"].logme == tx.logme(features, labels)
    assert "name one as" in str(ranking["whole"].error)
    assert "no file gone.npy" in str(ranking["gone"].error)
    assert "no file or folder gone.txt" in str(ranking["text"].error)


def test_damaged_files_are_named(tmp_path: Path, labels: Any) -> None:
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "pickle.npz", a=np.array([{}], dtype=object))
    whole = io.BytesIO()
    np.save(whole, np.ones((90, 40)))
    (tmp_path / "short.npy").write_bytes(whole.getvalue()[:5000])
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "none.npy").write_bytes(b"")
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04 broken")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive:
        archive.writestr("a.npy", whole.getvalue()[:128].replace(b"(90, 40)", b"(9**9,1)"))
        archive.writestr("b.npy", whole.getvalue()[:5000])
    np.savez(tmp_path / "ok.npz", b=np.ones((90, 2)))
    files = ["pickle.npy", "short.npy", "text.npy", "none.npy", "zip.npz:a", "pickle.npz:a"]
    files += ["bomb.npz:a", "bomb.npz:b", "ok.npz:a"]
    ranking = tx.rank({name: tmp_path / name for name in files}, labels)
    assert len(ranking.failed) == len(files)
    for row in ranking:
        assert row.name.partition(":")[0] in str(row.error)
    assert "pickle" in str(ranking["pickle.npz:a"].error)
    assert "damaged" in str(ranking["short.npy"].error)
    assert "damaged" in str(ranking["bomb.npz:b"].error)
    assert "it has b" in str(ranking["ok.npz:a"].error)


def test_models_in_folders_and_archives(feature_folder: Path) -> None:
    models, skipped = find_models([feature_folder])
    assert sorted(models) == ["good", "poor"]
    assert len(skipped) == 2
    archive = feature_folder.parent / "all.npz"
    models, skipped = find_models([archive], Source(archive, "labels"))
    assert sorted(models) == ["good", "poor"]
    assert [line.split(" was ")[0].rpartition(":")[2] for line in skipped] == [
        "labels",
        "images_u8",
        "cube",
    ]
    models, _ = find_models([archive, feature_folder])
    assert sorted(models) == ["all/good", "all/poor", "feats/good", "feats/poor"]
    with pytest.raises(
        DataError,
        match=r"no files of \.npy, .*, only all\.npz; name a file of several arrays itself",
    ):
        find_models([feature_folder.parent / "feats" / ".."])
    for i in range(6):
        (feature_folder / f"{i}.log").touch()
    assert "not 0.log, 1.log, 2.log, 3.log, 4.log and 1 more" in find_models([feature_folder])[1][0]


def test_a_damaged_file_in_a_folder_does_not_stop_the_others(
    feature_folder: Path, labels: Any
) -> None:
    (feature_folder / "broken.npy").write_bytes(b"nothing")
    np.save(feature_folder / "words.npy", np.array([["a", "b"]]))
    models, skipped = find_models([feature_folder])
    assert sorted(models) == ["broken", "good", "poor"]
    assert "words.npy was skipped: its dtype <U1 is not numeric" in " ".join(skipped)
    ranking = tx.rank(models, labels)
    assert ranking.names == ("good", "poor", "broken")
    assert "broken.npy cannot be read" in str(ranking["broken"].error)


def test_labels_come_in_files(feature_folder: Path, tmp_path: Path, labels: Any) -> None:
    for name in (feature_folder / "labels.npy", tmp_path / "all.npz", f"{tmp_path}/all.npz:labels"):
        np.testing.assert_array_equal(load_labels(name), labels)
    (tmp_path / "y.csv").write_text("\n".join(map(str, labels)))
    assert load_labels(tmp_path / "y.csv") == labels.tolist()
    (tmp_path / "y.txt").write_text("cat\ndog\n")
    assert load_labels(tmp_path / "y.txt") == ["cat", "dog"]
    (tmp_path / "two.csv").write_text("1,2\n")
    with pytest.raises(DataError, match="line 1: 2 values"):
        load_labels(tmp_path / "two.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeff1\n-2\r\n+3", [1, -2, 3]),
        ("1\n2.5\n1e3\n.5", [1.0, 2.5, 1000.0, 0.5]),
        ("1_0\n2_0", ["1_0", "2_0"]),
        ("\u0661\nb", ["\u0661", "b"]),
        ('"a\nb"\n c ', ["a\nb", "c"]),
        ("cat\n\n?\ndog\n", "y.txt has 1 lines without a label .* first is line 2"),
        ("cat\n?\ndog\n", ["cat", "?", "dog"]),
        ("1\nNaN\n<NA>\nnull", "y.txt has 3 lines without a label .* first is line 2"),
        ("label\n1\n2", "y.txt, line 1: 'label' is unlike .* 2 hold numbers and 1 text"),
        ("1\n2\n1_0", "y.txt, line 3: '1_0' is unlike"),
        ("a\nb\n7", "y.txt, line 3: '7' is unlike"),
        ("1\n" + "9" * 5000, [1.0, np.inf]),  # refused with the other infinities
        (b"\xff\xfe", "y.txt cannot be read"),
    ],
)
def test_lines_of_labels(text: Any, expected: Any, tmp_path: Path) -> None:
    (tmp_path / "y.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            load_labels(tmp_path / "y.txt")
        return
    values = load_labels(tmp_path / "y.txt")
    assert values == expected
    assert {type(value) for value in values} == {type(expected[0])}
