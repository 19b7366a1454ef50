"""The command line: output, messages, exit codes, start-up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import transferability as tx
from transferability.cli import main


def run(*arguments: object) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_rank_a_folder(feature_folder: Path) -> None:
    result = run("rank", feature_folder, "--labels", feature_folder / "labels.npy")
    assert result.exit_code == 0
    assert "2 models by LogME" in result.stdout
    assert result.stdout.index("good") < result.stdout.index("poor")
    assert "labels.npy was skipped: it holds the labels" in result.stderr
    assert "ids.npy was skipped: its shape (90,) is not 2-D" in result.stderr


def test_rank_an_archive_with_its_own_labels(feature_folder: Path) -> None:
    result = run("rank", feature_folder.parent / "all.npz", "--json", "--threads", 2)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert [row["name"] for row in json.loads(result.stdout)["rows"]] == ["good", "poor"]


def test_formats_and_quiet(feature_folder: Path, features: Any, labels: Any) -> None:
    arguments = ("rank", feature_folder, "--labels", feature_folder / "labels.npy", "--quiet")
    csv, markdown = run(*arguments, "--csv"), run(*arguments, "--markdown")
    assert csv.stdout.startswith("rank,model,logme")
    assert repr(float(tx.logme(features, labels))) in csv.stdout
    assert markdown.stdout.startswith("| rank | model | LogME")
    assert csv.stderr == markdown.stderr == ""
    assert run(*arguments, "--csv", "--json").exit_code == 2


def test_failed_models_give_4(feature_folder: Path, features: Any) -> None:
    np.save(feature_folder / "short.npy", features[:9])
    result = run("rank", feature_folder, "--labels", feature_folder / "labels.npy", "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["rows"][2]["scores"] == {"logme": None}
    assert "1 of 3 models failed" in result.stderr


def test_a_prior_of_a_file_is_a_column(feature_folder: Path, tmp_path: Path) -> None:
    prior = tmp_path / "prior.csv"
    prior.write_text("model,imagenet\ngood,0.8\nother,0.9\n")
    arguments = ("rank", feature_folder, "--labels", feature_folder / "labels.npy")
    result = run(*arguments, "--prior", prior, "--json")
    assert result.exit_code == 0
    assert "has no number for poor" in result.stderr
    found = {row["name"]: row["scores"]["prior"] for row in json.loads(result.stdout)["rows"]}
    assert found == {"good": 0.8, "poor": None}
    prior.write_text("model,imagenet\nother,0.9\n")
    result = run(*arguments, "--prior", prior)
    assert result.exit_code == 3
    assert "knows none of these models (good, poor)" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["rank"], 2, "give FEATURES, or models to run"),
        (["rank", "gone.npy", "--labels", "gone.npy"], 2, "no file or folder gone.npy"),
        (["rank", "{folder}"], 2, "give the labels with --labels"),
        (["rank", "{folder}", "--labels", "{folder}/labels.npy", "--task", "x"], 2, "'x' is not"),
        (["rank", "{folder}", "--labels", "{folder}/ids.npy"], 3, "error: labels has 90 distinct"),
        (["rank", "{folder}", "--labels", "{folder}/labels.npy", "--metrics", "y"], 2, "unknown"),
        (["rank", "{folder}", "--labels", "{folder}/labels.npy", "--metrics", ","], 2, "is empty"),
        (["rank", "{folder}", "--labels", "{folder}/labels.npy", "--threads", "999"], 2, "--thre"),
        (["rank", "{folder}/y.json", "--labels", "{folder}/labels.npy"], 2, "neither an .npy"),
        (["rank", "{folder}", "--labels", "{folder}/y.json"], 2, "neither an .npy"),
        (["score", "{folder}", "{folder}/labels.npy"], 2, "is a folder; give one file of .npy"),
        (["score", "{folder}/../all.npz", "{folder}/labels.npy"], 2, "name one as"),
        (["score", "{folder}/good.npy", "{folder}/labels.npy", "--metrics", "y"], 2, "unknown"),
        (["score", "{folder}/ids.npy", "{folder}/labels.npy"], 3, "features must be 2-D"),
        (["score", "{folder}/good.npy", "{folder}/../all.npz:gone"], 3, "no member 'gone'"),
    ],
)
def test_exit_codes(arguments: list[str], code: int, message: str, feature_folder: Path) -> None:
    (feature_folder / "y.json").touch()
    result = run(*(text.format(folder=feature_folder) for text in arguments))
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_score(feature_folder: Path, features: Any, labels: Any) -> None:
    arguments = ("score", feature_folder / "good.npy", feature_folder / "labels.npy")
    expected = float(tx.logme(features, labels))
    assert run(*arguments).stdout == f"logme\t{expected!r}\n"
    assert json.loads(run(*arguments, "--json").stdout)["logme"]["value"] == expected
    assert "know nothing" in run(*arguments, "--explain").stdout
    with_intercept = float(run(*arguments, "--intercept").stdout.split()[1])
    assert with_intercept == tx.logme(features, labels, intercept=True)


def test_score_as_csv(feature_folder: Path, features: Any, labels: Any) -> None:
    arguments = ("score", feature_folder.parent / "all.npz:good", feature_folder / "labels.npy")
    header, row = run(*arguments, "--csv").stdout.splitlines()
    assert header == "model,logme,n_features,n_samples,seconds,notes"
    assert row.startswith(f"good,{float(tx.logme(features, labels))!r},6,90,")
    assert run(*arguments, "--csv", "--explain").exit_code == 2


def test_what_a_folder_holds_besides_is_said(feature_folder: Path) -> None:
    np.savez(feature_folder / "more.npz", a=np.ones((90, 2)))
    (feature_folder / "notes.txt").touch()
    result = run("rank", feature_folder, "--labels", feature_folder / "labels.npy")
    assert "only files of .npy, .parquet, " in result.stderr
    assert " are read from a folder, not more.npz, notes.txt" in result.stderr


def test_warnings_of_a_ranking_go_to_stderr(feature_folder: Path, features: Any) -> None:
    np.save(feature_folder / "two.npy", np.column_stack([features[:, 0] > 0, np.ones(90)]))
    arguments = ("rank", feature_folder / "good.npy", "--labels", feature_folder / "two.npy")
    assert "warning: 1 of 2 label columns are all 0" in run(*arguments, "--csv").stderr
    assert run(*arguments, "--csv", "--quiet").stderr == ""


def test_score_says_warnings_on_stderr(feature_folder: Path) -> None:
    np.save(feature_folder / "one.npy", np.ones(90, int))
    result = run("score", feature_folder / "good.npy", feature_folder / "one.npy")
    assert result.exit_code == 0
    assert "single class" in result.stderr
    assert result.stdout.startswith("logme\t")


def test_metrics() -> None:
    assert run("metrics").stdout.startswith("logme\t")
    rows = json.loads(run("metrics", "--json").stdout)
    assert "logme" in rows
    shown = run("metrics").stdout
    for name, row in rows.items():
        assert f"{name}\t{', '.join(row['tasks'])}\t{row['summary']}\n  needs   " in shown
        for fact in ("cost", "source", "when"):
            assert row[fact] in shown


@pytest.fixture
def source_files(feature_folder: Path, features: Any) -> Path:
    """What the models' own heads say, beside the features."""
    folder = feature_folder.parent
    for name, rows in (("good", features), ("poor", features[::-1])):
        probs = np.exp(rows) / np.exp(rows).sum(axis=1, keepdims=True)
        (folder / "probs").mkdir(exist_ok=True)
        np.save(folder / "probs" / f"{name}.npy", probs)
    np.savez(folder / "heads.npz", good=features.argmax(axis=1), poor=np.arange(90) % 4)
    return folder


def test_score_of_source_predictions(source_files: Path, labels: Any) -> None:
    arguments = [source_files / "feats" / "good.npy", source_files / "feats" / "labels.npy"]
    arguments += ["--metrics", "leep,nce", "--source-probs", source_files / "probs" / "good.npy"]
    arguments += ["--source-labels", f"{source_files}/heads.npz:good"]
    lines = dict(line.split() for line in run("score", *arguments).stdout.splitlines())
    probs = np.load(source_files / "probs" / "good.npy")
    assert float(lines["leep"]) == tx.leep(probs, labels)
    assert float(lines["nce"]) == tx.nce(probs.argmax(axis=1), labels)
    result = run("score", *arguments[:4])
    assert result.exit_code == 2
    assert "leep needs the source model's probabilities; give --source-probs" in result.stderr


def test_rank_by_source_predictions(source_files: Path, labels: Any) -> None:
    arguments = ["rank", source_files / "feats", "--labels", source_files / "feats" / "labels.npy"]
    arguments += ["--metrics", "leep,nce", "--json", "--source-probs", source_files / "probs"]
    result = run(*arguments, "--source-labels", source_files / "heads.npz")
    rows = {row["name"]: row["scores"] for row in json.loads(result.stdout)["rows"]}
    probs = np.load(source_files / "probs" / "good.npy")
    assert rows["good"]["leep"] == tx.leep(probs, labels)
    assert rows["poor"]["nce"] == tx.nce(np.arange(90) % 4, labels)
    (source_files / "probs" / "poor.npy").unlink()
    result = run(*arguments, "--source-labels", source_files / "heads.npz")
    assert result.exit_code == 4
    assert "has no array for poor" in result.stderr
    (source_files / "probs" / "good.npy").rename(source_files / "probs" / "other.npy")
    result = run(*arguments, "--source-labels", source_files / "heads.npz")
    assert result.exit_code == 3
    assert "has no array named as a model (good, poor); it has other" in result.stderr


def test_version_and_help() -> None:
    assert tx.__version__ in run("--version").stdout
    for command in ((), ("rank",), ("score",), ("metrics",)):
        assert run(*command, "--help").exit_code == 0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom transferability.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "bad = {'numpy', 'torch', 'pandas', 'matplotlib', 'transferability._core'}\n"
        "sys.exit(','.join(bad & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_broken_pipe_is_quiet(feature_folder: Path) -> None:
    command = (
        f"'{sys.executable}' -m transferability rank '{feature_folder.parent / 'all.npz'}' -q "
        f"--csv | true"
    )
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("redirect", "message"), [(">/dev/full", "No space left on device"), (">&-", "is closed")]
)
@pytest.mark.parametrize("command", ["rank", "score", "metrics", "--help"])
def test_output_that_cannot_be_written(
    command: str, redirect: str, message: str, feature_folder: Path
) -> None:
    arguments = {
        "rank": f"rank '{feature_folder.parent / 'all.npz'}' -q --csv",
        "score": f"score '{feature_folder}/good.npy' '{feature_folder}/labels.npy'",
    }.get(command, command)
    line = f"'{sys.executable}' -m transferability {arguments} {redirect}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_options_of_metrics(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 5)), np.arange(60) % 3
    np.save(tmp_path / "x.npy", features)
    np.save(tmp_path / "y.npy", labels)
    arguments = ("score", tmp_path / "x.npy", tmp_path / "y.npy", "--metrics", "h_score")
    result = run(*arguments, "-o", "shrinkage=oas", "--json")
    assert json.loads(result.stdout)["h_score"]["value"] == tx.h_score(
        features, labels, shrinkage="oas"
    )
    result = run(*arguments, "-o", "shrinkage=0.25", "--json")
    assert json.loads(result.stdout)["h_score"]["value"] == tx.h_score(
        features, labels, shrinkage=0.25
    )
    assert run(*arguments, "-o", "shrinkage").exit_code == 2
