"""How well scores agree with what models are really worth, in every convention tables use.

Scores and truth are sequences in one order of models, or mappings by model name. Higher is better
in both: pass minus a loss. All functions treat trouble alike:

- **NaN** is refused by default. ``nan="omit"`` leaves the model out; ``nan="last"`` puts a model
  without a score last, as rankings do (not for the Pearson correlations, which have no last place).
- **Constant** scores or truth have no order: the correlations are NaN, as in SciPy, with a
  warning. The measures that pick models are defined: see ties.
- **Ties**: the correlations follow SciPy. The measures that pick by score (Rel@k, recall@k,
  regret, RelAcc) pick the worst of equally scored models first: a tie earns nothing by luck, and
  nothing depends on the order in which models are given.
"""

from __future__ import annotations

from .._util.public import set_modules
from ._correlations import (
    kendall_tau,
    pearson,
    spearman,
    weighted_pearson,
    weighted_tau,
)
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

set_modules(globals())
