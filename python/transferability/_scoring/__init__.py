"""From validated inputs to scores: one call, groups of rows, null baselines."""
