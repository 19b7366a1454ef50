"""Metrics: their contract and registry, and the result of one."""
