"""Score validated inputs: in one call, by groups of rows, and against null baselines."""
