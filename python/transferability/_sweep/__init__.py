"""Rank models by running them: jobs, subprocesses, cache, layers."""
