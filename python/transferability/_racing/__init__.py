"""Races: score models on growing prefixes of the rows, and drop those that have fallen behind."""
