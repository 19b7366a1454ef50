"""The numbers of other libraries, under their own signatures, quirks included.

For those who must reproduce a published number. For a new comparison use this
package's own metrics. Each module is named after the library whose numbers it
returns, and documents where they differ from those:

====================== =======================================================
`thuml`                ``LogME``, ``LEEP``, ``NCE`` of github.com/thuml/LogME
`tllib`                ``tllib.ranking`` of
                       github.com/thuml/Transfer-Learning-Library
`emms`                 ``EMMS`` of github.com/OpenGVLab/Multitask-Model-Selector
`transformer_ranker`   ``estimators`` of github.com/flairNLP/transformer-ranker, and
                       ``install``, which plugs this package's metrics into a ranker
====================== =======================================================

Where one of them raises an exception from its depths or returns NaN, these
raise a `transferability.errors.DataError` that says so; a LEEP of NaN is
returned, with a warning.
"""

from __future__ import annotations

from . import emms, thuml, tllib, transformer_ranker

__all__ = ["emms", "thuml", "tllib", "transformer_ranker"]
