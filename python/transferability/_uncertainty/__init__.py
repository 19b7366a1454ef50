"""Stability of rankings: bootstrap, jackknife, influence functions, empirical Bayes posterior."""
