"""What the pages of docs/ that need torch show runs."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image

import transferability as tx
from transferability.torch import TransferabilityMetric

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("page", ["b_tuning", "extraction", "fine_tuning", "models"])
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, f"docs/{page}.md", "exec"), names)


def blocks(page: str, language: str, word: str) -> list[str]:
    """Return the blocks of a page in a language that hold a word."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)
    return [block for block in found if word in block]


def photos(n: int, size: int = 32) -> list[Any]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 255, (size, size, 3), dtype=np.uint8)) for _ in range(n)
    ]


def known_names() -> list[str]:
    """Return the names of models that the libraries here know, without their weights."""
    import timm
    import torchvision

    networks = [*timm.list_models(), *timm.list_models(pretrained=True)]
    return [f"timm:{name}" for name in networks] + [
        f"torchvision:{name}" for name in torchvision.models.list_models()
    ]


@pytest.mark.parametrize(
    "page",
    [
        "../README.md",
        "from_transformer_ranker.md",
        "quickstart.md",
        "racing.md",
        "structured.md",
    ],
)
@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")
def test_sweeps_by_name_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny models of the kind stand for those of a hub; data and options are those of the page."""
    monkeypatch.chdir(tmp_path)
    berts = [f"hf:{tiny_models.bert(tmp_path / name, hidden_size=16)}" for name in ("one", "two")]
    nets = [f"timm:{name}?pretrained=false" for name in ("test_resnet", "test_convnext")]
    tiny = {"text": berts, "image": nets}
    for folder in ("photos", "pictures"):
        for i, photo in enumerate(photos(24)):
            place = tmp_path / folder / "ab"[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            photo.save(place / f"{i}.png")
    texts = [f"the cat sat on a mat {i}" for i in range(24)]
    stars = "".join(f"{text},{i % 3}\n" for i, text in enumerate(texts))
    Path("reviews.csv").write_text("text,stars\n" + stars)
    boxes = {name: np.arange(24.0) + i for i, name in enumerate(("left", "top", "right", "bottom"))}
    names = {
        "dataset": (texts, [i % 3 for i in range(24)]),
        "sentences": {"words": [["a", "cat", "sat"]] * 24, "tags": [["O", "B-X", "O"]] * 24},
        "images": (photos(24), [np.arange(1024).reshape(32, 32) % 3] * 24),
        "table": {"image": photos(24), **boxes},
    }
    run, known, called = tx.rank_models, known_names(), []

    def stand_in(models: Any, *data: Any, **options: Any) -> Any:
        wanted = [models] if isinstance(models, str) else models
        for name in wanted:
            assert name.startswith(("hf:", "st:")) or fnmatch.filter(known, name), name
        kind = "text" if any(name.startswith(("hf:", "st:")) for name in wanted) else "image"
        called.append(run(tiny[kind], *data, isolate=False, progress=False, **options))
        return called[-1]

    monkeypatch.setattr(tx, "rank_models", stand_in)
    found = blocks(page, "py", "rank_models")
    for block in found:
        ours = block.rpartition("# after\n")[2]  # what comes before is the code of another library
        exec(compile(ours, page, "exec"), {"tx": tx, **names})
    assert len(called) == "".join(found).count("rank_models(") > 0
    assert not [row.error for ranking in called for row in ranking.failed]


def test_the_loss_of_a_trainer_has_one_term_more(bert: Any) -> None:
    """Run the page's `compute_loss` without the loop of a Trainer, which needs one more package."""
    transformers = pytest.importorskip("transformers")
    (block,) = blocks("b_tuning.md", "py", "Trainer")

    class Trainer:
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool, **more: Any) -> Any:
            outputs = model(**inputs)
            return outputs.loss, outputs

    class Library:
        pass

    library = Library()
    library.Trainer = Trainer  # type: ignore[attr-defined]

    class Regulariser:
        def penalty(self, ours: torch.Tensor, *, predictive: torch.Tensor) -> torch.Tensor:
            return (ours.sum(dim=1, keepdim=True) - predictive).square().mean()

    names: dict[str, Any] = {"transformers": library, "regulariser": Regulariser()}
    exec(compile(block, "docs/b_tuning.md", "exec"), names)
    model = transformers.BertForSequenceClassification(bert.config).eval()
    batch = {"input_ids": torch.ones(4, 3, dtype=torch.long), "labels": torch.tensor([0, 1, 0, 1])}
    plain = model(**batch, output_hidden_states=True)
    predictive = torch.zeros(4, 1)
    loss = names["Tuner"]().compute_loss(model, {**batch, "predictive": predictive})
    ours = plain.hidden_states[-1][:, 0]
    torch.testing.assert_close(loss, plain.loss + ours.sum(dim=1).square().mean())


def test_the_metric_of_torchmetrics_on_a_loader() -> None:
    (block,) = blocks("distributed.md", "python", "TransferabilityMetric")
    features, labels = torch.randn(1600, 768), torch.arange(1600) % 10
    loader = list(zip(features.split(400), labels.split(400), strict=True))
    names: dict[str, Any] = {"first_features": features[:400], "loader": loader}
    exec(compile(block, "docs/distributed.md", "exec"), names)
    assert isinstance(names["metric"], TransferabilityMetric)
    expected = tx.logme(features.numpy(), labels.numpy())
    assert float(names["score"]) == pytest.approx(float(expected), rel=1e-9)
