"""Examples in docstrings: which of them need torch, and a registry of metrics for each."""

from importlib.util import find_spec

import pytest

# These import their names lazily; tests/python/test_public_names.py runs the examples.
collect_ignore = ["transferability/__init__.py", "transferability/torch/__init__.py"]
collect_ignore_glob = (
    [] if find_spec("torch") else ["transferability/torch/*", "transferability/models/*"]
)
if not (find_spec("starlette") and find_spec("uvicorn") and find_spec("prometheus_client")):
    collect_ignore_glob.append("transferability/serve/*")


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the metrics that an example registers."""
    from transferability._metric import registry

    registry.metric_specs()
    monkeypatch.setattr(registry, "_specs", dict(registry._specs))
