"""Helpers that know nothing of metrics: threads, optional packages, files, text, progress."""
