"""What the command line says to a newcomer: help, exit codes, paths, and names of models."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import transferability as tx
from transferability import DataError
from transferability.cli import main
from transferability.models import SCHEMES, find_source

PACKAGE = Path(tx.__file__).parent


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A file with features and labels."""
    rng = np.random.default_rng(0)
    path = tmp_path / "all.npz"
    np.savez(path, features=rng.normal(size=(60, 4)), labels=np.arange(60) % 3)
    return path


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_help_has_whole_descriptions_and_all_exit_codes(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = " ".join(CliRunner().invoke(main, ["--help"], terminal_width=width).stdout.split())
    assert "..." not in text.replace("[ARGS]...", "")
    for name, command in main.commands.items():
        first = re.split(r"\.(?:\s|$)", (command.help or "").strip())[0]
        assert f"{name} {' '.join(first.split())}." in text
    codes = re.findall(r"\b(\d) (?:ok|another error|wrong usage|bad data|some models)", text)
    assert codes == ["0", "1", "2", "3", "4"]


def test_the_help_of_a_group_of_commands_is_whole() -> None:
    assert "..." not in run("cache", "--help").stdout.replace("[ARGS]...", "")


def test_score_finds_features_and_labels_in_one_file(archive: Path) -> None:
    expected = run("score", f"{archive}:features", f"{archive}:labels", "--json").stdout
    value = json.loads(expected)["logme"]["value"]
    for arguments in ([archive], [f"{archive}:features"], [archive, archive]):
        found = run("score", *arguments, "--json")
        assert json.loads(found.stdout)["logme"]["value"] == value, found.stderr
    assert json.loads(run("rank", f"{archive}:features", "--json").stdout)["rows"][0]["rank"] == 1


def test_score_names_what_it_cannot_choose(tmp_path: Path) -> None:
    x = np.zeros((4, 2))
    np.savez(tmp_path / "two.npz", a=x, b=x, labels=np.arange(4) % 2)
    np.savez(tmp_path / "bare.npz", a=x)
    two, bare = run("score", tmp_path / "two.npz"), run("score", tmp_path / "bare.npz")
    assert (two.exit_code, bare.exit_code) == (2, 2)
    assert "holds several arrays; name one as" in two.stderr
    assert "give LABELS" in bare.stderr


@pytest.mark.parametrize("name", ["nope", "nope.txt", "nope.npy", "gone/x.json"])
def test_a_path_that_does_not_exist_is_called_so(name: str, archive: Path) -> None:
    labels = f"{archive}:labels"
    for arguments in (
        ("rank", name, "--labels", labels),
        ("rank", name, "--labels", labels, "--dask", "tcp://127.0.0.1:1"),
        ("rank", f"{archive}:features", "--labels", name),
        ("score", name, labels),
        ("score", f"{archive}:features", name),
        ("stats", name, "--labels", labels, "-o", "x.stats"),
        ("health", name),
    ):
        found = run(*arguments)
        assert (found.exit_code, "there is no file" in found.stderr) == (2, True), found.stderr
        assert "neither" not in found.stderr
    with pytest.raises(DataError, match="there is no file"):
        tx.rank({"model": name}, [0, 1, 0, 1]).best  # noqa: B018


def test_metrics_of_all_that_lack_inputs_are_listed_by_reason(archive: Path) -> None:
    found = run("rank", archive, "--metrics", "all")
    lines = [line for line in found.stderr.splitlines() if " skipped: " in line]
    assert "lin_mse, lab_mse were skipped: each is for regression" in "\n".join(lines)
    assert (
        "leep was skipped: it needs the source model's probabilities; give --source-probs" in lines
    )
    assert len(lines) == len({line.partition(": ")[2] for line in lines})


def test_extras_are_quoted_for_every_shell() -> None:
    """Brackets are patterns in zsh, so a bare ``transferability[hub]`` matches no file there."""
    root = PACKAGE.parent.parent
    files = [*PACKAGE.rglob("*.py"), root / "README.md", *(root / "docs").glob("*.md")]
    for path in files:
        for found in re.finditer(
            r"pip install (\S)transferability\[|pip install (t)", path.read_text()
        ):
            if found[1] is None:
                continue
            assert found[1] == "'", f"{path}: {found[0]}"
        assert "pip install transferability[" not in path.read_text(), path


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("timm:resnet18?weights=none", "timm:resnet18?pretrained=false"),
        (
            "timm:resnet18?weights=None&image_size=64",
            "timm:resnet18?image_size=64&pretrained=false",
        ),
        ("timm:resnet18?weights=DEFAULT", "timm:resnet18?pretrained=true"),
        ("torchvision:resnet18?pretrained=false", "torchvision:resnet18?weights=none"),
        ("torchvision:resnet18?pretrained=true", "torchvision:resnet18"),
        (
            "torchvision:resnet18?weights=IMAGENET1K_V1",
            "torchvision:resnet18?weights=IMAGENET1K_V1",
        ),
    ],
)
def test_random_weights_have_one_option_in_every_source(name: str, same: str) -> None:
    assert str(find_source(name)[0]) == same
    assert find_source(same) == find_source(name)


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("bert-base-uncased", "hf:bert-base-uncased or st:bert-base-uncased"),
        ("google/vit-base-patch16-224", "hf:google/vit-base-patch16-224 or st:"),
        ("resnet18", "timm:resnet18 or torchvision:resnet18"),
        ("vit_tiny_patch16_224?pretrained=false", "timm:vit_tiny_patch16_224?pretrained=false or"),
    ],
)
def test_a_name_without_a_source_gets_one(name: str, suggested: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"(did you mean {suggested}")):
        find_source(name)
    assert set(re.findall(r"(\w+):", suggested)) <= set(SCHEMES)


def test_columns_are_separated_by_commas() -> None:
    from transferability._data.tables import read_columns

    table: dict[str, Any] = {
        "text": ["a", "b"],
        "x": [1.5, 2.0],
        "y": [0.0, 1.0],
        "p,q": [3.0, 4.0],
    }
    several = read_columns(table, "x, y", "text", "data")
    assert np.asarray(several.labels).tolist() == [[1.5, 0.0], [2.0, 1.0]]
    assert list(read_columns(table, "p,q", "text", "data").labels) == [3.0, 4.0]
    with pytest.raises(DataError, match="no column 'z'; it has text, x, y, p,q"):
        read_columns(table, ["x,z"], "text", "data")


def test_eval_takes_metrics_with_blanks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    models = {name: x + i * rng.normal(size=x.shape) for i, name in enumerate("abcd")}
    ranking = tx.rank(models, x[:, 0] > 0, ["logme", "h_score"])
    (tmp_path / "r.csv").write_text(ranking.to_csv())
    (tmp_path / "t.csv").write_text("model,accuracy\na,0.9\nb,0.8\nc,0.7\nd,0.6\n")
    found = run("eval", tmp_path / "r.csv", tmp_path / "t.csv", "--metrics", "h_score, logme")
    assert found.exit_code == 0, found.stderr


def test_reports_of_the_command_line_speak_of_its_options(archive: Path, tmp_path: Path) -> None:
    stats, page = tmp_path / "x.stats", tmp_path / "page.html"
    made = run("stats", f"{archive}:features", "--labels", f"{archive}:labels", "-o", stats)
    assert made.exit_code == 0, made.stderr
    other = tmp_path / "y.stats"
    other.write_bytes(stats.read_bytes())
    found = run("rank", stats, other, "--html", page)
    assert "the report has no intervals: the features cannot be read again" in found.stderr
    assert "stability=" not in page.read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", "--metrics", "logmee", "x.npy"),
        ("score", "--precision", "half", "x.npy"),
        ("rank", "--n-threads", "2"),
        ("nope",),
        ("cache", "nope"),
    ],
)
def test_usage_errors_break_between_words(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The words are those without a terminal; help that click shows as an error stays help."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.eye(4))
    whole = run(*arguments)
    monkeypatch.setattr("transferability.cli.find_width", lambda stream: 50)
    broken = run(*arguments)
    assert (whole.exit_code, broken.exit_code) == (2, 2)
    assert "Error: " in broken.stderr
    assert broken.stderr.split() == whole.stderr.split()
    lines = broken.stderr.partition("Error: ")[2].splitlines()
    assert max(map(len, lines)) <= 50
    assert run("cache").stderr.split() == run("cache", "--help").stdout.split()


@pytest.mark.parametrize("spec", ["labels.npy:y", "labels.csv:stars"])
def test_a_name_in_a_file_without_parts_is_explained(
    spec: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.eye(4))
    np.save("labels.npy", np.arange(4) % 2)
    Path("labels.csv").write_text("0\n1\n0\n1\n")
    found = run("score", "x.npy", spec)
    file = spec.partition(":")[0]
    assert found.exit_code == 2
    assert f"there is no file or folder {spec}; {file} has no parts with names" in found.stderr
    assert "parts" not in run("score", "x.npy", "gone.npy").stderr


def test_score_and_rank_tell_which_metrics_were_skipped(archive: Path) -> None:
    line = "leep was skipped: it needs the source model's probabilities; give --source-probs"
    features = f"{archive}:features"
    for command in (["score", features], ["rank", features]):
        assert line in run(*command, "--metrics", "all").stderr
        assert "skipped" not in run(*command, "--metrics", "all", "--quiet").stderr
        assert "skipped" not in run(*command, "--metrics", "lda").stderr


def test_the_summary_of_a_race_is_no_warning(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(60, 4)))
    np.save(tmp_path / "labels.npy", np.arange(60) % 3)
    files = [tmp_path / "a.npy", tmp_path / "b.npy", "--labels", tmp_path / "labels.npy"]
    assert "note: race of 1 round" in run("rank", *files, "--race").stderr
    assert "warning" not in run("rank", *files, "--race").stderr
    saved = run("stats", files[0], *files[2:], "-o", tmp_path / "a.stats")
    assert "60 rows x 4 features of 1 file," in saved.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--aggregate", "min"], "--aggregate min needs groups: give --groups"),
        (["--groups", "{x}:labels", "--aggregate", "maen"], "'maen' (did you mean 'mean' or"),
        (
            ["--groups", "{x}:labels", "--aggregate", "quantile(2)"],
            "is 'quantile(2)'; ",
        ),
        (["--metrics", "knn", "--leave-out", "group"], "no groups to leave out; give --groups"),
        (["--groups", "{x}:labels", "--leave-out", "group"], "unknown option --leave-out; logme "),
        (["--metrics", "knn", "-o", "k=0"], "k is 0; give a whole number"),
        (["--metrics", "knn", "-o", "kk=5"], "-o kk (did you mean 'k'?); knn takes -o k, --leave-"),
        (["-o", "intercept=maybe"], "--intercept is 'maybe'; choose true, false or 'auto'"),
        (["-o", "kep_coef=true"], "(did you mean 'keep_coef'?); logme takes --intercept, -o keep_"),
        (
            ["--metrics", "knn", "-o", "leave_out=5"],
            "--leave-out is 5; choose none, 'row'",
        ),
        (["--metrics", "recommende"], "(did you mean 'recommended'?)"),
        (["--metrics", "leep"], "needs the source model's probabilities; give --source-probs"),
        (["--metrics", "emms"], "needs embeddings of the labels; give --label-embeddings"),
        (["--metrics", "lda", "--task", "regression"], "lda is for classification, and this task"),
        (["--metrics", "lda,lin_mse"], "no labels suit all of these metrics"),
    ],
)
def test_what_no_data_can_change_is_wrong_usage(
    arguments: list[str], words: str, archive: Path
) -> None:
    arguments = [argument.format(x=archive) for argument in arguments]
    for command in (["score", f"{archive}:features"], ["rank", f"{archive}:features"]):
        found = run(*command, *arguments)
        assert found.exit_code == 2, found.stderr
        assert words in found.stderr


def test_other_wrong_usage_has_the_exit_code_of_wrong_usage(archive: Path) -> None:
    features = f"{archive}:features"
    for arguments, words in (
        (["score", features, "--reference", "-1"], "--reference is -1; give 0, or at least 2"),
        (["layers", "resnet18"], "did you mean timm:resnet18"),
        (["rank", "--models", "bert", "--images", archive.parent], "did you mean timm:bert"),
        (["rank", features, "--models", "timm:x"], "--models takes the place of FEATURES"),
        (["score", archive.parent, features], "is a folder; give one file of .npy"),
    ):
        found = run(*arguments)
        assert found.exit_code == 2, found.stderr
        assert words in found.stderr


def test_bad_data_stay_bad_data(archive: Path) -> None:
    features = f"{archive}:features"
    for arguments, words in (
        (["score", features, "--metrics", "knn", "-o", "k=500"], "each row has 59 other rows"),
        (["score", f"{archive}:feature"], "(did you mean 'features'?)"),
        (["rank", features, "--pareto", "n_feature"], "'n_feature' (did you mean 'n_features'?)"),
        (["rank", features, f"{archive}:features"], "features is given twice"),
    ):
        found = run(*arguments)
        assert found.exit_code == 3, found.stderr
        assert words in found.stderr


def test_statistics_with_an_open_task_are_reported_in_options(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(300, 3)))
    np.save(tmp_path / "ages.npy", np.clip(rng.normal(45, 15, 300).round(), 18, 90).astype(int))
    files = (tmp_path / "x.npy", "--labels", tmp_path / "ages.npy")
    made = run("stats", *files, "-o", tmp_path / "x.stats")
    assert made.exit_code == 0
    assert made.stderr.rstrip().endswith("choose --task classification or --task regression")


def test_merging_names_the_files_that_do_not_go_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"a": 4, "b": 4, "wide": 6}
    for name, n_features in shapes.items():
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(30, n_features)))
    np.save(tmp_path / "labels.npy", np.arange(30) % 3)
    for name in shapes:
        files = (tmp_path / f"{name}.npy", "--labels", tmp_path / "labels.npy")
        assert run("stats", *files, "-o", tmp_path / f"{name}.stats").exit_code == 0
    assert run("stats", files[0], "--task", "unlabelled", "-o", tmp_path / "u.stats").exit_code == 0
    a, b, wide, free = (tmp_path / f"{name}.stats" for name in ("a", "b", "wide", "u"))
    for files, message in (
        ((a, b, wide), f"{wide} does not go with {a}: features has 6 columns, expected 4"),
        ((wide, a), f"{a} does not go with {wide}: features has 4 columns, expected 6"),
        ((wide, free), f"{free} does not go with {wide}: "),
    ):
        found = run("merge", *files, "-o", tmp_path / "all.stats")
        assert (found.exit_code, message in found.stderr) == (3, True), found.stderr
    assert run("merge", a, b, "-o", tmp_path / "all.stats").exit_code == 0


def test_arguments_are_named_as_options(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.stats"
    made = run("stats", f"{archive}:features", "--labels", f"{archive}:labels", "-o", path)
    assert made.exit_code == 0
    assert "LABELS cannot be given with" in run("score", path, archive).stderr
    assert "--method cannot be given with" in run("score", path, "--method", "svd").stderr
    assert "--stability cannot be given" in run("rank", path, "--stability").stderr
    alone = run("score", f"{archive}:features", "--metrics", "ncti").stderr
    assert "ncti is NaN here: it is defined among models only; use 'transferability rank'" in alone


def test_a_model_without_torch_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    found = run("layers", "torchvision:resnet18?weights=none")
    assert (found.exit_code, "pip install 'transferability[hub]'" in found.stderr) == (1, True)


def test_errors_of_failed_models_are_shown_without_the_table(archive: Path, tmp_path: Path) -> None:
    whole = tmp_path / "good.npz"
    arrays = {name: np.load(archive)["features"] + i for i, name in enumerate("abc")}
    np.savez(whole, labels=np.load(archive)["labels"], **arrays, bad=np.full((60, 2), np.nan))
    for option in ("--stability", "--shortlist"):
        found = run("rank", whole, option)
        assert found.exit_code == 4, found.stderr
        assert "bad: features[0, 0] is NaN" in found.stderr
        assert "1 of 4 models failed" in found.stderr


@pytest.mark.parametrize("option", ["--prior-column", "--column"])
def test_misspelt_columns_get_a_suggestion(option: str, archive: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("model,accuracy\nfeatures,0.9\nb,0.8\nc,0.7\n")
    if option == "--column":
        scores = tmp_path / "scores.csv"
        scores.write_text("model,logme\nfeatures,1\nb,2\nc,3\n")
        found = run("eval", scores, truth, option, "accurac")
    else:
        found = run("rank", f"{archive}:features", "--prior", truth, option, "accurac")
    assert (found.exit_code, "(did you mean 'accuracy'?)" in found.stderr) == (3, True)


@pytest.mark.parametrize("names", ["hf:a,hf:b", "timm:resnet18, st:b", "resnet18,resnet50"])
def test_several_names_of_models_are_no_name(names: str) -> None:
    with pytest.raises(tx.DataError, match="holds several names of models; give each by itself"):
        find_source(names)


@pytest.mark.parametrize("name", ["features:a,b", "onnx:a,b.onnx", "timm:vit?layers=a,b"])
def test_commas_stay_part_of_paths_and_options(name: str) -> None:
    assert find_source(name)[0].scheme == name.partition(":")[0]
