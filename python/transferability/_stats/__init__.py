"""Mergeable sufficient statistics of features and labels."""
