"""Rankings of models that are run: jobs, subprocesses, cache, layers."""
