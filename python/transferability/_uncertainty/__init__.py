"""How stable a ranking is: bootstrap, jackknife, influence functions, rank probabilities."""
