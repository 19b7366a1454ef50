"""Measure the agreement of scores with the true performance of models.

The measures cover the conventions of published tables. Scores and truth are sequences in the same
order of models, or mappings by model name. Higher is better in both: pass the negative of a loss.
All functions share these rules:

- **NaN** raises an error by default. ``nan="omit"`` leaves the model out; ``nan="last"`` puts a
  model without a score last, as rankings do. The Pearson correlations cannot put a model last.
- **Constant** scores or truth have no order: the correlations are NaN with a warning. RelAcc is
  NaN, with a warning, for a constant truth. The other measures follow the rule for ties.
- **Ties**: the correlations follow SciPy. The measures that pick by score (Rel@k, recall@k,
  regret, RelAcc) pick the model with the worst truth first among equal scores. A tie is never an
  advantage, and the order in which models are given has no influence.
"""

from __future__ import annotations

from .._util.public import present
from ._correlations import kendall_tau, pearson, spearman, weighted_pearson, weighted_tau
from ._picks import recall_at_k, regret, rel_acc, rel_at_k, relative_accuracy

__all__ = [
    "kendall_tau",
    "pearson",
    "recall_at_k",
    "regret",
    "rel_acc",
    "rel_at_k",
    "relative_accuracy",
    "spearman",
    "weighted_pearson",
    "weighted_tau",
]

present(globals())
