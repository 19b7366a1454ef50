"""Time of a sweep's pass over pictures, against the forward passes alone on ready batches.

    .venv-torch/bin/python benches/python/bench_pictures.py [--pictures 2000] [--threads 2] [--json]

JPEG files of 500 x 375 pixels through a ResNet-18 with random weights: decoding, resizing, forward
pass and statistics of the default layer. The forward passes, the preparation in one thread, the
pass, and a plain loop (prepare, run, prepare, …) take turns. The features are compared first. See
benches/README.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from transferability._data.read import read_data
from transferability._sweep.extract import ExtractionRun
from transferability._sweep.job import FEATURES, ExtractionOptions
from transferability.models import open_model

BATCH = 32
MODEL = "torchvision:resnet18?weights=none"
#: Wall time of the pass over that of the forward passes alone, at most.
BAR = 1.05


def write_pictures(folder: Path, n: int) -> None:
    """Write pictures of noise at several scales, about 100 kB each as photographs are."""
    rng = np.random.default_rng(0)
    for i in range(n):
        shape = (375, 500) if i % 3 else (500, 375)
        pixels = np.full((*shape, 3), 128.0)
        for scale in (3, 12, 48):
            small = rng.normal(size=(shape[0] // scale + 2, shape[1] // scale + 2, 3)) * 15
            grown = small.repeat(scale, axis=0).repeat(scale, axis=1)
            pixels += grown[: shape[0], : shape[1]]
        pixels[:, :, i % 2] *= 0.8
        place = folder / ("a", "b")[i % 2]
        place.mkdir(exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place / f"{i}.jpg", quality=90)


def measure(run: Callable[[], Any]) -> tuple[float, float]:
    """Return the wall time and the processor time of a call."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - start, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), args.pictures)
        data = read_data(Path(folder))
        size = sum(path.stat().st_size for path in data.items.source) / len(data)
        model = open_model(MODEL, device="cpu")
        options = ExtractionOptions(
            layers=(model.default_layer,), pool="mean", batch_size=BATCH, keep_features=True,
            task="classification", n_threads=args.threads,
        )  # fmt: skip

        def collate(start: int) -> Any:
            stop = min(start + BATCH, len(data))
            return model.collate([data.items[row] for row in range(start, stop)])

        starts = range(0, len(data), BATCH)
        ready = [collate(start) for start in starts]
        found: list[Any] = []
        features: list[Any] = []
        hook = model.module.fc.register_forward_pre_hook(lambda _, x: features.append(x[0]))

        def forward(batches: Any) -> None:
            with torch.inference_mode():
                for batch in batches:
                    model.run(batch)

        def prepare() -> None:
            torch.set_num_threads(1)
            for start in starts:
                collate(start)
            torch.set_num_threads(args.threads)

        def sweep() -> None:
            run = ExtractionRun(model, data, options, lambda *_: None, [])
            found.append(run.run()[model.default_layer].files[FEATURES])

        forward(ready)
        hook.remove()
        sweep()
        expected = torch.cat(features).numpy()
        assert np.array_equal(found[0], expected), "features differ from those of ready batches"
        routes = {
            "forward passes on ready batches": lambda: forward(ready),
            "preparation alone, in one thread": prepare,
            "the pass of a sweep": sweep,
            "a plain loop": lambda: forward(map(collate, starts)),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in routes}
        for _ in range(args.repeats):
            for name, run in routes.items():
                times[name].append(measure(run))
    wall = {name: statistics.median(t[0] for t in own) for name, own in times.items()}
    cpu = {name: statistics.median(t[1] for t in own) for name, own in times.items()}
    bare = next(iter(routes))
    ratios = [a[0] / b[0] for a, b in zip(times["the pass of a sweep"], times[bare], strict=True)]
    facts = {"wall": wall, "cpu": cpu, "ratio": statistics.median(ratios), "bytes": size}
    if args.json:
        print(json.dumps(facts))
        return
    print(f"{args.pictures:,} pictures of {size / 1000:.0f} kB, {args.threads} threads")
    for name in routes:
        print(f"{name:34} {wall[name]:7.1f} s  {cpu[name]:7.1f} s of processor time")
    print(f"pass over forward passes: {facts['ratio']:.3f} (at most {BAR})")


if __name__ == "__main__":
    main()
