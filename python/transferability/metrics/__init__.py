"""The metrics: one module each, with the function of the same name.

Written by ``make derive``. A new module is a new metric.
"""

from __future__ import annotations

from .._util.public import present
from .alpha_req import alpha_req
from .cka import cka
from .effective_rank import effective_rank
from .emms import emms
from .energy import energy
from .gbc import gbc
from .h_score import h_score
from .knn import knn
from .lab_mse import lab_mse
from .lda import lda
from .leep import leep
from .lfc import lfc
from .lidar import lidar
from .lin_mse import lin_mse
from .logme import logme
from .n_leep import n_leep
from .nce import nce
from .ncti import ncti
from .pactran import pactran
from .parc import parc
from .participation_ratio import participation_ratio
from .regularized_h_score import regularized_h_score
from .ridge_probe import ridge_probe
from .sfda import sfda
from .transrate import transrate

__all__ = [
    "alpha_req",
    "cka",
    "effective_rank",
    "emms",
    "energy",
    "gbc",
    "h_score",
    "knn",
    "lab_mse",
    "lda",
    "leep",
    "lfc",
    "lidar",
    "lin_mse",
    "logme",
    "n_leep",
    "nce",
    "ncti",
    "pactran",
    "parc",
    "participation_ratio",
    "regularized_h_score",
    "ridge_probe",
    "sfda",
    "transrate",
]

present(globals())
