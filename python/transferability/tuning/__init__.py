r"""B-Tuning: fine-tune one model with a regulariser towards the K best models of a ranking.

LogME fits a linear head to every model k, with the posterior mean M_k (C, D_k) and the offset o_k
(0 without an intercept), and returns a score s_k. The K best models are the teachers. Their
posterior predictives are mixed with softmax weights:

    pi = softmax(s / temperature),    ybar(x) = sum_k pi_k (M_k phi_k(x) + o_k)

where phi_k(x) (D_k,) are the features of model k. The student t trains its features phi_t. Its own
LogME head is fixed, and a regulariser penalises the distance of its prediction from ybar:

    regulariser = mean over batch and outputs of (M_t phi_t(x) + o_t - ybar(x))^2
    loss = criterion + tradeoff * regulariser

Only C numbers of each sample are compared, so models may differ in dimension. This module needs
only NumPy; :class:`transferability.torch.BTuning` is the regulariser for training.

Source: You, Liu, Zhang, Wang, Jordan & Long, "Ranking and Tuning Pre-trained Models: A New Paradigm
for Exploiting Model Hubs", JMLR 23, 2022, section 5.
"""

from __future__ import annotations

from .._util.public import present
from ._ensemble import TeacherEnsemble
from ._head import Head, teacher_weights

__all__ = ["Head", "TeacherEnsemble", "teacher_weights"]

present(globals())
