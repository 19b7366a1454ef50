"""Validate array-likes and labels once and convert them to NumPy arrays."""
