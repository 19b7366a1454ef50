"""Reimplementations of other libraries: their signatures, their numbers, their quirks.

Use them to reproduce a published number, and this package's own metrics for a new
comparison. Each module is named after the library that it reproduces, and
documents where its numbers differ from those of this package:

====================== =======================================================
`thuml`                ``LogME``, ``LEEP``, ``NCE`` of github.com/thuml/LogME
`tllib`                ``tllib.ranking`` of
                       github.com/thuml/Transfer-Learning-Library
`emms`                 ``EMMS`` of github.com/OpenGVLab/Multitask-Model-Selector
`transformer_ranker`   ``estimators`` of github.com/flairNLP/transformer-ranker, and
                       ``install``, which plugs this package's metrics into a ranker
====================== =======================================================

Where a library raises an exception of NumPy or torch, or returns NaN, these raise
a `transferability.errors.DataError` that says so. A LEEP of NaN is returned, with
a warning.
"""

from __future__ import annotations

from . import emms, thuml, tllib, transformer_ranker

__all__ = ["emms", "thuml", "tllib", "transformer_ranker"]
