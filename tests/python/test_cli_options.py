"""The command line has every argument of ``rank`` and ``rank_models``, and honours --quiet."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

import transferability as tx
from transferability._metric.score import issue
from transferability.cli import main
from transferability.cli._shared import note, tell, warnings_as_notes

#: Options of ``transferability rank`` by arguments of the functions whose names differ.
OPTION = {
    "aggregate": "layer_choice",
    "data": "images",  # or audio, or text
    "label": "label_column",
    "n_threads": "threads",
    "progress": "quiet",
    "text": "text_column",
}
#: Arguments without an option, with the reason.
WITHOUT = {
    "positions": "no file that --images and --text read has labels of pixels",
    "ignore": "no file that --images and --text read has labels of pixels",
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_prior_of_several_columns_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(40, 3)) for name in ("a", "b")}
    np.savez(tmp_path / "data.npz", labels=np.arange(40) % 2, **arrays)
    prior = tmp_path / "prior.csv"
    prior.write_text("model,top1,params\na,0.7,5\nb,0.8,6\nother,0.9,7\n")
    given = ("rank", tmp_path / "data.npz", "--prior", prior)
    result = run(*given)
    assert result.exit_code == 3
    assert "(top1, params); name the one with the prior by --prior-column" in result.output
    facts = json.loads(run(*given, "--prior-column", "top1", "--json").stdout)
    assert {row["name"]: row["scores"]["prior"] for row in facts["rows"]} == {"a": 0.7, "b": 0.8}
    assert run(*given, "--prior-column", "top5").exit_code == 3
    result = run("rank", tmp_path / "data.npz", "--prior-column", "top1")
    assert (result.exit_code, "--prior-column needs --prior" in result.output) == (2, True)


def test_an_unknown_option_of_a_race_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", labels=np.arange(40) % 2, a=np.eye(40), b=np.ones((40, 2)))
    result = run("rank", tmp_path / "data.npz", "--race", "--race-option", "topp=3")
    assert result.exit_code == 2
    assert "--race-option topp does not exist; set top, confidence, level" in result.output


@pytest.mark.parametrize("function", [tx.rank, tx.rank_models])
def test_every_argument_has_an_option(function: Any) -> None:
    command = main.commands["rank"]
    options = {parameter.name for parameter in command.params}
    given = {**OPTION, "aggregate": "aggregate"} if function is tx.rank else OPTION
    names = {*inspect.signature(function).parameters} - {*WITHOUT}
    named = {"models": "features" if function is tx.rank else "models", **given}
    assert {named.get(name, name) for name in names} <= options
    assert not {named.get(name, name) for name in WITHOUT} & options


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--amp", "bfloat16"], {"amp": "bfloat16"}),
        (["--dtype", "float64"], {"dtype": "float64"}),
        (["--compile"], {"compile": True}),
        (["--keep-features"], {"keep_features": True}),
        (["--outputs"], {"outputs": True}),
        (["--bio", "keep"], {"bio": "keep"}),
        (["--no-cache"], {"cache": False}),
        (["--cache", "there"], {"cache": "there"}),
        (["--stability"], {"keep_features": True}),
        (["--shortlist"], {"keep_features": True}),
        (["--race"], {"race": True, "keep_features": False}),
        (["--race-option", "top=2", "--race"], {"race": tx.Race(top=2)}),
        (["--leave-out", "group", "--metrics", "knn"], {"leave_out": "group"}),
        ([], {"cache": True, "compile": False, "keep_features": False, "bio": "strip"}),
    ],
)
def test_options_reach_rank_models(
    arguments: list[str], expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.csv").write_text("text,label\na,x\nb,y\n")
    given: dict[str, Any] = {}

    def record(models: Any, data: Any, **options: Any) -> Any:
        given.update(options)
        raise tx.DataError("enough")

    monkeypatch.setattr("transferability._sweep.rank_models.rank_models", record)
    result = run("rank", "--models", "a:b", "--text", tmp_path / "d.csv", *arguments)
    assert result.exit_code == 3, result.output
    assert {name: given[name] for name in expected} == expected
    left_out = {"amp", "dtype", "device", "max_length", "bag", "window"} - {*expected}
    assert not left_out & given.keys(), "those that are not given keep their defaults"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--amp", "int8"], "'int8' is not one of 'bfloat16', 'float16'"),
        (["--dtype", "int8"], "'int8' is not one of"),
        (["--cache", "x", "--no-cache"], "--cache and --no-cache exclude each other"),
        (["--no-cache", "--shortlist"], "--shortlist reads the features from the cache again"),
        (["--no-cache", "--stability"], "--stability reads the features from the cache again"),
        (["--agreement", "0.9"], "--agreement goes with --shortlist"),
        (["--agreement", "2", "--shortlist"], "2.0 is not in the range 0<x<=1"),
    ],
)
def test_wrong_options_are_usage_errors(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\na,x\nb,y\n")
    result = run("rank", "--models", "a:b", "--text", tmp_path / "d.csv", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_options_of_models_go_with_models(feature_folder: Path) -> None:
    for option in (["--amp", "float16"], ["--compile"], ["--keep-features"], ["--no-cache"]):
        result = run("rank", feature_folder, "--labels", feature_folder / "labels.npy", *option)
        assert result.exit_code == 2
        assert f"{option[0]} goes with --models" in result.stderr


def test_label_embeddings_of_files(feature_folder: Path, labels: Any) -> None:
    rng = np.random.default_rng(0)
    views = {"one": rng.normal(size=(3, 4)), "two": rng.normal(size=(3, 4))}
    rows = {name: view[np.unique(labels, return_inverse=True)[1]] for name, view in views.items()}
    np.savez(feature_folder.parent / "views.npz", **rows)
    features = {name: np.load(feature_folder / f"{name}.npy") for name in ("good", "poor")}
    expected = tx.rank(features, labels, "emms", label_embeddings=rows)
    labelled = ("--labels", feature_folder / "labels.npy", "--metrics", "emms")
    embedded = ("--label-embeddings", feature_folder.parent / "views.npz", "--json")
    result = run("rank", feature_folder, *labelled, *embedded)
    assert result.exit_code == 0, result.output
    found = {row["name"]: row["scores"]["emms"] for row in json.loads(result.stdout)["rows"]}
    assert found == {row.name: float(row.emms) for row in expected}
    good = feature_folder / "good.npy"
    scored = run("score", good, feature_folder / "labels.npy", *labelled[2:], *embedded)
    assert scored.exit_code == 0, scored.output
    assert json.loads(scored.stdout)["emms"]["value"] == float(expected["good"].emms)
    missing = run("score", good, feature_folder / "labels.npy", *labelled[2:])
    assert missing.exit_code == 2
    assert "give --label-embeddings" in missing.stderr


def test_agreement_reaches_the_shortlist(feature_folder: Path) -> None:
    arguments = ("rank", feature_folder, "--labels", feature_folder / "labels.npy")
    plain = json.loads(run(*arguments, "--shortlist", "--json").stdout)
    told = json.loads(run(*arguments, "--shortlist", "--agreement", "0.5", "--json").stdout)
    assert plain["agreement"] is None
    assert told["agreement"] == pytest.approx(0.5)
    assert told["models"]["good"] < plain["models"]["good"]


# --- notes, warnings, and --quiet ------------------------------------


def warn(self: Any, *given: Any, **options: Any) -> Any:
    issue(["the order is not sure"])
    issue(["the order is not sure"])
    raise tx.DataError("enough")


def test_warnings_are_one_line_without_a_place_in_code(
    feature_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tx.Ranking, "stability", warn)
    models = (feature_folder / "good.npy", feature_folder / "poor.npy")
    arguments = ("rank", *models, "--labels", feature_folder / "labels.npy", "--stability")
    result = run(*arguments)
    assert result.stderr == "warning: the order is not sure\nerror: enough\n"
    assert run(*arguments, "--quiet").stderr == "error: enough\n"


@pytest.mark.parametrize("option", ["--stability", "--shortlist"])
def test_a_warning_is_shown_once(feature_folder: Path, option: str) -> None:
    """On standard error, and not below the table as well; with --quiet only there."""
    np.save(feature_folder.parent / "groups.npy", np.arange(90) % 5)
    models = (feature_folder / "good.npy", feature_folder / "poor.npy")
    arguments = ("rank", *models, "--labels", feature_folder / "labels.npy", option)
    arguments += ("--groups", feature_folder.parent / "groups.npy")
    text = "5 groups are few for a standard error, so errors are rough"
    result = run(*arguments)
    assert result.stderr.splitlines().count(f"warning: {text}") == 1
    assert result.output.count(text) == 1
    assert not result.stdout.endswith("\n\n")
    result = run(*arguments, "--quiet")
    assert (result.stderr, result.stdout.count(f"Note: {text}")) == ("", 1)
    result = run(*arguments, "--json")
    assert result.stderr == f"warning: {text}\n"
    assert json.loads(result.stdout)["warnings"] == [text]


def test_a_command_of_a_shell_shows_no_path_of_click(tmp_path: Path) -> None:
    """As an installed command, where Python itself would print the file and line of a warning."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3))
    np.savez(tmp_path / "models.npz", a=x, b=x + rng.normal(size=x.shape), labels=x[:, 0] > 0)
    code = (
        "import sys, transferability as tx\n"
        "from transferability._metric.score import issue\n"
        "plain = tx.Ranking.stability\n"
        "def stability(self, *given, **options):\n"
        "    issue(['few rows'])\n"
        "    return plain(self, *given, **options)\n"
        "tx.Ranking.stability = stability\n"
        "from transferability.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, "rank", str(tmp_path / "models.npz"), "--stability"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "warning: few rows\n" in done.stderr
    assert not re.search(r"\.py|Warning", done.stderr)


def test_quiet_hides_every_note(
    feature_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing priors, costs and predictions; arrays that are no models; intervals of a report."""
    (tmp_path / "known.csv").write_text("model,known\ngood,0.8\n")
    (tmp_path / "past.csv").write_text("model,other\ngood,0.8\n")
    np.savez(tmp_path / "probs.npz", good=np.full((90, 3), 1 / 3))
    (feature_folder / "notes.txt").touch()
    arguments = (
        *("rank", feature_folder, "--labels", feature_folder / "labels.npy"),
        *("--prior", tmp_path / "known.csv", "--costs", tmp_path / "past.csv"),
        *("--source-probs", tmp_path / "probs.npz", "--html", tmp_path / "page.html"),
    )

    def refuse(self: Any, *given: Any, **options: Any) -> Any:
        raise tx.DataError("no features")

    monkeypatch.setattr(tx.Ranking, "stability", refuse)
    loud, quiet = run(*arguments), run(*arguments, "--quiet")
    assert loud.exit_code == quiet.exit_code == 0, loud.output
    for text in (
        "has no number for poor",
        "has no cost for poor",
        "has no array for poor",
        "not notes.txt",
        "the report has no intervals: no features",
    ):
        assert text in loud.stderr
    assert quiet.stderr == ""
    assert quiet.stdout.split()[:4] == loud.stdout.split()[:4]


def test_failures_are_said_although_quiet(feature_folder: Path, features: Any) -> None:
    np.save(feature_folder / "short.npy", features[:9])
    result = run("rank", feature_folder, "--labels", feature_folder / "labels.npy", "--quiet")
    assert result.exit_code == 4
    assert result.stderr == "1 of 3 models failed\n"


@pytest.mark.parametrize("command", ["score", "health", "eval", "stats", "merge", "rank"])
def test_commands_that_tell_something_have_quiet(command: str) -> None:
    assert "quiet" in {parameter.name for parameter in main.commands[command].params}


def test_notes_outside_of_a_command_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    note("one")
    tell("two")
    with warnings_as_notes():
        warnings.warn("three", tx.TransferabilityWarning, stacklevel=1)
    assert capsys.readouterr().err == "note: one\ntwo\nwarning: three\n"


def test_other_warnings_are_shown_as_usual() -> None:
    with pytest.warns(UserWarning, match="of another package"), warnings_as_notes():
        warnings.warn("of another package", UserWarning, stacklevel=1)


def test_help_names_the_rule_of_recommended() -> None:
    text = " ".join(click.unstyle(run("rank", "--help").output).split())
    assert "'recommended': pairs of models by ridge_probe" in text
