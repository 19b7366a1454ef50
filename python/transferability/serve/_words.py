"""Messages in the words of requests: parameters, JSON and arrays in place of Python.

The package advises in Python, as in ``task='regression'`` or "call transferability.knn". A client
sends parameters, options in JSON, and arrays by name. ``tests/python/test_words.py`` reads every
message that a worker may return, and fails for Python advice that nothing here translates.
"""

from __future__ import annotations

import json
import re

from .._metric.registry import known_specs
from .._util.words import ARGUMENT, CONSTANT, OF_ARRAYS, Phrases, read_literal

__all__ = ["PHRASES", "reword"]

_PARAMETERS = ("metrics", "task", "precision", "method")
_JSON = {"None": "null", "True": "true", "False": "false"}

#: What messages say in Python, as regular expressions, and what a client can send.
PHRASES: tuple[tuple[str, str], ...] = (
    *OF_ARRAYS,
    (r"; call rank\b", ""),
    (
        r", with its parts as attributes: it is defined among models, by rank",
        ": it is defined among models only",
    ),
    (
        r"make them with Stats\(class_scatters=True\)",
        'create the session with "class_scatters": true',
    ),
    (r"make them with Stats\('(\w+)'\)", r'create the session with "task": "\1"'),
    (
        r"; statistics take it as Stats\(task=\.\.\.\), or later by stats\.replace\(task=\.\.\.\)",
        "",
    ),
    (r"call transferability\.score with groups", "this service takes none"),
    (r": compare with permuted labels \(reference=\d+\)", ""),
)
_PHRASES = Phrases(PHRASES)


def reword(text: str) -> str:
    """Return a message in the words of requests; a message in them stays as it is."""
    text = ARGUMENT.sub(_write_argument, _PHRASES(text))
    return CONSTANT.sub(lambda found: _JSON[found[0]], text)


def _write_argument(found: re.Match[str]) -> str:
    name, value = found[1], read_literal(found[2])
    if name in _PARAMETERS:
        return f"{name}={value}"
    if name == "class_scatters":  # of a new session
        return f'"{name}": {json.dumps(value)}'
    if any(name in spec.option_names for spec in known_specs().values()):
        return f"options={json.dumps({name: value})}"
    return found[0]
