"""Examples in docstrings: which of them need torch, and a registry of metrics for each."""

from importlib.util import find_spec

import pytest

_NEED_TORCH = ["torch/*", "models/*", "_sweep/rank_models.py"]
collect_ignore_glob = (
    [] if find_spec("torch") else [f"transferability/{path}" for path in _NEED_TORCH]
)


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the metrics that an example registers."""
    from transferability._metric import registry

    registry.metric_specs()
    monkeypatch.setattr(registry, "_specs", dict(registry._specs))
