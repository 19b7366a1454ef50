"""Mergeable statistics of features and labels."""
