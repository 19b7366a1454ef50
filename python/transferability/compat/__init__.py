"""The numbers of other libraries, under their own signatures, quirks included.

For those who must reproduce a published number. For a new comparison use
`transferability.logme`, which returns the true maximum of the evidence. Each
module is named after the library whose numbers it returns, and documents where
they differ from that:

====================== =======================================================
`thuml`                ``LogME`` of github.com/thuml/LogME
`tllib`                ``log_maximum_evidence``, ``h_score`` and
                       ``regularized_h_score`` of
                       github.com/thuml/Transfer-Learning-Library
`transformer_ranker`   ``estimators.LogME`` and ``estimators.HScore`` of
                       github.com/flairNLP/transformer-ranker
====================== =======================================================

Where one of them raises an exception from its depths or returns NaN, these
raise a `transferability.errors.DataError` that says so.
"""

from __future__ import annotations

from transferability.compat import thuml, tllib, transformer_ranker

__all__ = ["thuml", "tllib", "transformer_ranker"]
