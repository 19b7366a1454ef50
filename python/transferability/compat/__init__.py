"""Reimplementations of other libraries: their signatures, their numbers, their quirks.

Use them to reproduce published numbers; use this package's own metrics for new comparisons. Each
module is named after the library that it reproduces, and documents the differences from this
package's metrics:

====================== =======================================================
`thuml`                ``LogME``, ``LEEP``, ``NCE`` of github.com/thuml/LogME
`tllib`                ``tllib.ranking`` of
                       github.com/thuml/Transfer-Learning-Library
`emms`                 ``EMMS`` of github.com/OpenGVLab/Multitask-Model-Selector
`surgical`             ``score_videos``, the scores by video of github.com/prabhant/
                       surgical_phase_transferability_estimation
`transformer_ranker`   ``estimators`` of github.com/flairNLP/transformer-ranker, and
                       ``install``, which plugs this package's metrics into a ranker
====================== =======================================================

Where a library returns NaN or raises an exception of NumPy or torch, these modules raise
`transferability.errors.DataError` with the reason. Only LEEP may return NaN, with a warning.
"""

from __future__ import annotations

from .._util.public import present
from . import emms, surgical, thuml, tllib, transformer_ranker

__all__ = ["emms", "surgical", "thuml", "tllib", "transformer_ranker"]

present(globals())
