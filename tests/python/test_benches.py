"""The benchmarks of speed at tiny sizes: what they print for programs is what the suite reads."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import transferability as tx

pytest.importorskip("threadpoolctl")
pytest.importorskip("matplotlib")

FOLDER = Path(__file__).resolve().parents[2] / "benches" / "python"
PEERS = ("LOGME_REPO", "TLLIB_REPO", "TRANSFORMER_RANKER_PYTHON")


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    for variable in PEERS:
        monkeypatch.delenv(variable, raising=False)
    return importlib.import_module(name)


def run(bench: Any, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments, "--json"])
    bench.main()
    return json.loads(capsys.readouterr().out)


def test_the_suite_writes_a_page_of_what_the_benchmarks_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    logme = load("bench_logme", monkeypatch)
    latency = load("bench_latency", monkeypatch)
    growth = load("bench_growth", monkeypatch)
    metrics = load("bench_metrics", monkeypatch)
    rank = load("bench_rank", monkeypatch)
    suite = load("suite", monkeypatch)
    shape, longer, more = logme.Shape(60, 8, 2), logme.Shape(120, 8, 2), logme.Shape(60, 8, 6)
    monkeypatch.setattr(logme, "REPEATS", (1, 1))
    monkeypatch.setattr(logme, "measure_peak_gflops", lambda threads: 50.0)
    monkeypatch.setattr(latency, "CASES", ((shape, "logme"),))
    monkeypatch.setattr(growth, "GROWTH", {"N": ([shape, longer], -99), "C": ([shape, more], 99)})
    monkeypatch.setattr(growth, "MANY", shape)
    monkeypatch.setattr(growth, "MANY_BAR", 1e9)
    monkeypatch.setattr(metrics, "SHAPES", [(logme.Shape(90, 40, 2), 0.0, 1.0)])
    files = ["--models", "2", "--rows", "60", "--features", "4", "--repeats", "1"]
    found = {
        "machine": suite.describe_machine(),
        "logme": run(logme, ["60x8x2"], monkeypatch, capsys),
        "latency": run(latency, ["--calls", "3"], monkeypatch, capsys),
        "growth": run(growth, ["--repeats", "1"], monkeypatch, capsys),
        "metrics": run(metrics, ["--repeats", "1"], monkeypatch, capsys),
        "rank": run(rank, files, monkeypatch, capsys),
    }
    assert found.keys() == {"machine", *suite.PARTS}
    # As if peers had been found.
    found["logme"][0] |= {"thuml/LogME_s": 1.0, "ratio": 2.0, "bar": 3.0, "single_ratio": 2.0}
    found["metrics"][0] |= {"tllib_s": 1.0, "ratio": 0.5, "times_bar": 1.0}
    found["rank"][0] |= {"throughput": 0.5}
    found["latency"][0] |= {"met": False}
    results = tmp_path / "results.json"
    results.write_text(json.dumps(found))
    monkeypatch.setattr(sys, "argv", ["suite", "--from", str(results), "--docs", str(tmp_path)])
    suite.main()
    printed = capsys.readouterr().out
    page = (tmp_path / "benchmarks.md").read_text()
    assert page in printed
    for title in ("LogME", "All metrics from one pass", "Growth", "Many models", "Latency"):
        assert f"\n## {title}\n" in page
    for plot in ("benchmarks_logme.png", "benchmarks_growth.png"):
        assert f"({plot})" in page
        assert (tmp_path / plot).read_bytes().startswith(b"\x89PNG")
    missed = [line for line in printed.splitlines() if line.startswith("missed: ")]
    assert [line.partition(",")[0] for line in missed] == [
        "missed: 60x8x2: ratio 2",
        "missed: 90x40x2",  # four metrics
        "missed: 2 models: 0.5",
        "missed: 60x8x2",  # latency
        "missed: 90x40x2",  # all metrics
        "missed: growth",
    ]


def change(name: str, monkeypatch: pytest.MonkeyPatch, least_rows: int = 0) -> None:
    """Make ``score`` return another number for a metric, of data with so many rows at least."""
    original = tx.score

    def score(features: Any, labels: Any, metrics: Any, **options: Any) -> Any:
        found = original(features, labels, metrics, **options)
        found = {metrics: found} if isinstance(metrics, str) else {**found}
        if name in found and len(features) >= least_rows:
            value, parts = float(found[name]), dict(found[name].details)
            if name == "ncti":  # which of a single model is no number
                parts["spread"] *= 1.001
            found[name] = found[name].replace(value=1.001 * value, details=parts)
        return found[metrics] if isinstance(metrics, str) else found

    monkeypatch.setattr(tx, "score", score)


@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")
def test_a_wrong_number_stops_the_benchmark_of_many_metrics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics = load("bench_metrics", monkeypatch)
    latency = load("bench_latency", monkeypatch)
    names = list(dict.fromkeys(metrics.of_statistics() + latency.metrics_of_the_core()))
    metrics.check(names)
    for name in names:
        if name == "logme":
            continue
        with monkeypatch.context() as changed:
            change(name, changed)
            with pytest.raises(SystemExit, match=f"{name} and its reference differ"):
                metrics.check(names)


def test_a_wrong_number_of_many_classes_stops_the_benchmark_of_growth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    growth = load("bench_growth", monkeypatch)
    for name in growth.FAST:
        with monkeypatch.context() as changed:
            change(name, changed, growth.MORE.n_samples)
            with pytest.raises(SystemExit, match=f"{name} and its reference differ"):
                growth.check_metrics(growth.MORE, [name], 1)


def test_a_number_unlike_that_of_tllib_stops_before_times_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics = load("bench_metrics", monkeypatch)
    monkeypatch.setattr(metrics, "best_of", lambda call, repeats: pytest.fail("a time was taken"))
    peers = {"h_score": lambda features, labels: 1.0}
    with pytest.raises(SystemExit, match="h_score and that of tllib differ"):
        metrics.measure(metrics.Shape(90, 40, 2), (None, 1.0), peers, 1, 1)
