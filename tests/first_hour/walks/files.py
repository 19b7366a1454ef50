"""Write the files of the walks to the current folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

N_ROWS, N_CLASSES = 240, 4


def main() -> None:
    """Write features of three models, labels, groups, a learning curve and true accuracies."""
    rng = np.random.default_rng(0)
    labels = np.arange(N_ROWS) % N_CLASSES
    for name, strength, width in (
        *(("resnet50", 1.0, 16), ("vit_small", 1.3, 8), ("random", 0.0, 12)),
    ):
        centres = strength * rng.normal(size=(N_CLASSES, width))
        np.save(f"{name}.npy", centres[labels] + rng.normal(size=(N_ROWS, width)))
    np.save("labels.npy", labels)
    np.save("videos.npy", np.arange(N_ROWS) // 40)
    np.save("onehot.npy", np.eye(N_CLASSES)[labels])
    np.save("short.npy", rng.normal(size=(20, 8)))
    np.save("flat.npy", rng.normal(size=N_ROWS))
    np.savez("all.npz", features=np.load("vit_small.npy"), labels=labels)
    np.save("ages.npy", np.arange(N_ROWS) % 73 + 18)
    np.save("wide.npy", rng.normal(size=(N_ROWS, 60)))
    np.save("phases.npy", np.where(np.arange(N_ROWS) // 40 == 3, 1, labels))  # one in video 3
    curve = "size,accuracy\n100,55\n200,63\n400,70\n800,75\n1600,78\n"
    Path("curve.csv").write_text(curve)
    Path("truth.csv").write_text("model,accuracy\nresnet50,0.91\nvit_small,0.89\nrandom,0.31\n")
    Path("texts.csv").write_text("text,label\na good film,1\na bad film,0\n")


if __name__ == "__main__":
    main()
