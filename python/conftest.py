"""Examples in docstrings that need torch run where it is installed: ``make test-torch``."""

from importlib.util import find_spec

collect_ignore_glob = (
    [] if find_spec("torch") else ["transferability/torch/*", "transferability/models/*"]
)
