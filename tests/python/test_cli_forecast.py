"""The command ``transferability forecast``: it prints what fit and plan return."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import transferability as tx
import transferability.forecast as tf
from transferability.cli import main

SIZES = [100, 200, 400, 800, 1600, 3200]
PILOT = [0.52, 0.61, 0.68, 0.735, 0.77, 0.80]


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    path = tmp_path / "curve.csv"
    lines = [f"{n},{value}" for n, value in zip(SIZES, PILOT, strict=True)]
    path.write_text("\n".join(["size,accuracy", *lines]))
    return path


def run(*arguments: Any, code: int = 0) -> Any:
    result = CliRunner().invoke(main, ["forecast", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_it_prints_the_forecast(curve: Path) -> None:
    forecast = tf.fit(SIZES, PILOT)
    assert run(curve).stdout.rstrip() == repr(forecast)
    text = run(curve, "--at", "5000, 9000", "--level", "0.5").stdout.rstrip()
    assert text == forecast.describe([5000, 9000], 0.5)
    low, high = forecast.interval(5000, 0.5)
    assert f"at 5000: {forecast.predict(5000):.4g} (50% interval {low:.4g} to {high:.4g})" in text


def test_a_target_adds_the_plan(curve: Path) -> None:
    plan = tf.plan(0.82, SIZES, PILOT)
    text = run(curve, "--target-value", 0.82).stdout
    assert text.rstrip().splitlines()[-1] == repr(plan)
    shorter = tf.plan(0.82, SIZES, PILOT, up_to=6400, level=0.8)
    facts = json.loads(
        run(curve, "--target-value", 0.82, "--up-to", 6400, "--level", 0.8, "--json").stdout
    )
    assert facts["plan"] == shorter.to_dict()


def test_json_has_the_curve_and_its_forecasts(curve: Path) -> None:
    forecast = tf.fit(SIZES, PILOT)
    facts = json.loads(run(curve, "--json").stdout)
    assert facts["sizes"] == SIZES
    assert facts["form"] == forecast.form
    assert [entry["size"] for entry in facts["forecasts"]] == [6400, 32000]
    assert facts["forecasts"] == json.loads(json.dumps(forecast.at()))
    assert "plan" not in facts


def test_options_of_the_fit(curve: Path) -> None:
    facts = json.loads(
        run(
            curve, "--json", "--form", "power_law", "--limit", "0.95", "--bounds", "0.1,0.95"
        ).stdout
    )
    expected = tf.fit(SIZES, PILOT, "power_law", limit=0.95, bounds=(0.1, 0.95))
    assert facts["parameters"] == json.loads(json.dumps(expected.to_dict()))["parameters"]
    assert (facts["limit"], facts["bounds"]) == (0.95, [0.1, 0.95])
    facts = json.loads(run(curve, "--json", "--limit", "none", "--bounds", "none").stdout)
    assert (facts["limit"], facts["bounds"]) == (None, [None, None])
    facts = json.loads(run(curve, "--json", "--limit", "none", "--bounds", "0,none").stdout)
    assert facts["bounds"] == [0, None]


def test_a_falling_accuracy_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text("size,accuracy\n100,0.8\n200,0.79\n400,0.77\n800,0.76\n")
    result = run(path, "--target-value", 0.85)
    assert "for an accuracy give --direction increasing" in result.stderr
    assert "lower values are better" in result.stdout
    result = run(path, "--target-value", 0.85, "--direction", "increasing")
    assert "0.85 is not reached" in result.stdout
    assert result.stderr == ""
    assert run(path, "--target-value", 0.85, "--quiet").stderr == ""


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("n,loss,accuracy\n{rows3}", ["--value-column", "accuracy"]),
        ("accuracy,samples\n{swapped}", []),
        ("epoch,rows,accuracy\n{rows3}", ["--size-column", "rows", "--value-column", "accuracy"]),
        ("run,size,accuracy\n{named}", []),
        ("# a comment\nx,y\n{rows}\n6400,NA", []),
    ],
)
def test_columns_are_found(tmp_path: Path, text: str, options: list[str]) -> None:
    pairs = [*zip(SIZES, PILOT, strict=True)]
    first = "run,size" in text or "epoch" in text
    parts = {
        "rows": "\n".join(f"{n},{v}" for n, v in pairs),
        "swapped": "\n".join(f"{v},{n}" for n, v in pairs),
        "rows3": "\n".join(f"3,{n},{v}" if first else f"{n},3,{v}" for n, v in pairs),
        "named": "\n".join(f"pilot,{n},{v}" for n, v in pairs),
    }
    path = tmp_path / "curve.csv"
    path.write_text(text.format(**parts))
    assert run(path, *options).stdout.rstrip() == repr(tf.fit(SIZES, PILOT))


@pytest.mark.parametrize("name", ["train_size", "n_train", "Examples", "num_samples"])
def test_sizes_go_by_their_name_before_other_numbers(tmp_path: Path, name: str) -> None:
    path = tmp_path / "curve.csv"
    pairs = zip(SIZES, PILOT, strict=True)
    lines = [f"{i},{n},{v}" for i, (n, v) in enumerate(pairs, start=1)]
    path.write_text("\n".join([f"epoch,{name},accuracy", *lines]))
    assert run(path, "--value-column", "accuracy").stdout.rstrip() == repr(tf.fit(SIZES, PILOT))


def test_a_column_of_other_numbers_is_not_taken_for_sizes(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    pairs = zip(SIZES, PILOT, strict=True)
    lines = [f"{i},{n},{v}" for i, (n, v) in enumerate(pairs, start=1)]
    path.write_text("\n".join(["seed,budget,accuracy", *lines]))
    result = run(path, "--value-column", "accuracy", code=3)
    assert "3 columns of numbers (seed, budget, accuracy); name those of sizes" in result.stderr
    named = run(path, "--value-column", "accuracy", "--size-column", "budget")
    assert named.stdout.rstrip() == repr(tf.fit(SIZES, PILOT))


def test_a_column_that_is_no_numbers_is_named_with_a_cell(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text('size,accuracy\n"1,000",52%\n"2,000",61%\n')
    said = run(path, code=3).stderr
    assert "0 columns of numbers (none)" in said
    assert "not numbers: size holds '1,000', accuracy holds '52%'" in said
    assert "accuracy holds '52%'" in run(path, "--value-column", "accuracy", code=3).stderr


@pytest.mark.parametrize("cell", ["", "NA", "nan"])
def test_lines_that_are_left_out_are_counted(curve: Path, cell: str) -> None:
    assert run(curve).stderr == ""
    curve.write_text(f"{curve.read_text()}\n6400,{cell}")
    result = run(curve)
    assert "1 of 7 lines were left out, without a 'size' or without a 'accuracy'" in result.stderr
    assert result.stdout.rstrip() == repr(tf.fit(SIZES, PILOT))


def test_a_target_in_another_unit_is_noted(curve: Path) -> None:
    """85 is a percentage, and the accuracies are shares."""
    result = run(curve, "--target-value", 85)
    assert "--target-value is 85, beyond 1, the best possible value" in result.stderr
    assert "which are 0.52 to 0.8" in result.stderr
    assert run(curve, "--target-value", 1).stderr == ""
    errors = [1 - value for value in PILOT]
    with pytest.warns(tx.TransferabilityWarning, match="target is -0.1, beyond 0"):
        assert tf.plan(-0.1, SIZES, errors).probability == 0
    assert tf.plan(1.2, SIZES, PILOT, bounds=None, limit=None).probability < 0.5


def test_a_table_of_tabs(tmp_path: Path) -> None:
    path = tmp_path / "curve.tsv"
    lines = [f"{n}\t{v}" for n, v in zip(SIZES, PILOT, strict=True)]
    path.write_text("\n".join(["size\taccuracy", *lines]))
    assert run(path).stdout.rstrip() == repr(tf.fit(SIZES, PILOT))


@pytest.mark.parametrize(
    ("text", "options", "code", "message"),
    [
        ("100,0.5\n200,0.6\n400,0.7", [], 3, "its first line is numbers; give it names"),
        ("size,a,b\n1,2,3\n2,3,4\n3,4,5", [], 3, "3 columns of numbers .*--value-column"),
        ("size,accuracy\n1,x\n2,y\n3,z", [], 3, "1 columns of numbers"),
        ("size,accuracy\n1,2\n2,3\n3,4", ["--value-column", "b"], 3, "no column of numbers 'b'"),
        ("size,accuracy\n1,2\n2,3", [], 3, "3 different positive sizes, there are 2"),
        ("size,a\n1,2\n2,3\n3,5", ["--form", "cubic"], 2, "--form is 'cubic'; choose from"),
        ("size,a\n1,2\n2,3\n3,5", ["--level", "90"], 2, "--level is 90"),
        ("size,a\n1,2\n2,3\n3,5", ["--up-to", "90"], 2, "goes with --target-value"),
        ("size,a\n1,2\n2,3\n3,5", ["--at", "many"], 2, "is not numbers with commas"),
        ("size,a\n1,2\n2,3\n3,5", ["--limit", "top"], 2, "'top' is not a number, none or auto"),
        ("size,a\n1,2\n2,3\n3,5", ["--bounds", "1"], 2, "two ends such as 0,1"),
        ("size,a\n1,2\n2,3\n3,5", ["--at", "0.5"], 3, "start at the smallest size"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, text: str, options: list[str], code: int, message: str
) -> None:
    path = tmp_path / "curve.csv"
    path.write_text(text)
    output = " ".join(run(path, *options, code=code).output.split())
    assert re.search(message, output), output


def test_columns_of_one_name_with_other_values_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    lines = [f"{n},{v},{1 - v}" for n, v in zip(SIZES, PILOT, strict=True)]
    path.write_text("\n".join(["size,accuracy,accuracy", *lines]))
    assert "several columns are called 'accuracy'" in run(path, code=3).stderr
    lines = [f"{n},{v},{v}" for n, v in zip(SIZES, PILOT, strict=True)]
    path.write_text("\n".join(["size,accuracy,accuracy", *lines]))
    assert run(path).stdout.rstrip() == repr(tf.fit(SIZES, PILOT))
