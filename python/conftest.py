"""Collect the docstring examples that need torch only where torch is installed."""

from importlib.util import find_spec

_NEED_TORCH = ["torch/*", "models/*", "_sweep/rank_models.py"]
collect_ignore_glob = (
    [] if find_spec("torch") else [f"transferability/{path}" for path in _NEED_TORCH]
)
