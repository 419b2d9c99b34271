"""Recipes and ensembles: from a pool of candidates to one model."""
