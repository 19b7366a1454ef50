"""Python in messages: arguments with values, and constants, which a front end writes in its words.

Messages advise in Python, as in ``task='regression'`` or "choose True or False". The command line
and the service have tables of phrases for all other advice.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["ARGUMENT", "CONSTANT", "OF_ARRAYS", "Phrases", "read_literal"]

_VALUE = r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\.\.\.|True|False|None|[-+]?\d[\w.]*(?<!\.)|(?![\w({])"
#: An argument with its value, which may be missing; neither in a path nor in the name of a model.
ARGUMENT = re.compile(rf"(?<![\w?&.\-/:'\"=@])(?<!-o )([a-z][a-z_]*)=(?!=)({_VALUE})")
#: A constant that stands by itself.
CONSTANT = re.compile(r"(?<![\w'\"=./])(?:None|True|False)(?![\w'\"./])")
#: What messages say of arrays in Python, as regular expressions, and what anybody can do.
OF_ARRAYS: tuple[tuple[str, str], ...] = (
    (
        r"call transferability\.\w+ with features and labels",
        "give the features and labels themselves, not their statistics",
    ),
    (r"pass labels\.argmax\(axis=1\)", "give one class for each row, the column of its 1"),
    (r" or convert them with labels\.astype\(float\)", ""),
    (
        r"one column is \S+\.reshape\(-1, 1\), one sample \S+\.reshape\(1, -1\)",
        "give one column in the shape (n, 1), one sample in the shape (1, d)",
    ),
    (r"pool first, for example features\.mean\(axis=(?:\d|\([\d, ]+\))\)", "pool to 2-D first"),
    (
        r"pass numpy\.lib\.recfunctions\.structured_to_unstructured\([^)]*\)",
        "give its fields as the columns of one array",
    ),
    (
        r"decode them first, for example with np\.char\.decode\(labels, 'latin-1'\)",
        "give them as text in UTF-8",
    ),
    (
        r"decode it again, for example with os\.fsencode\(label\)\.decode\(\)",
        "give them as text in UTF-8",
    ),
    (r"leave it out, for example with features\.drop\(columns=\[[^\]]*\]\)", "leave it out"),
    (r"or source_probs\.argmax\(axis=1\) as source_labels", "or the likeliest class of each row"),
    (
        r"; a single view is \w+\[:, :, None\], or a dict of views",
        "; an array (n_samples, dimension) is one view",
    ),
    (
        r"convert it with np\.asarray\(\w+\)\.astype\(np\.float64\)(?:\.reshape\(-1, 1\))?",
        "convert it to float64",
    ),
    (r"pass \S+\.(?:dequantize|to_dense|float)\(\)", "give a dense tensor of float32"),
)


class Phrases:
    """Replace phrases: pairs of regular expressions and what to say in their place."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = tuple((re.compile(pattern), words) for pattern, words in pairs)

    def __call__(self, text: str) -> str:
        """Return a text with all phrases replaced."""
        for pattern, words in self._pairs:
            text = pattern.sub(words, text)
        return text


def read_literal(value: str) -> Any:
    """Return the value of a literal, "" for none or an ellipsis, and other text as it is."""
    if value in ("", "..."):
        return ""
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
