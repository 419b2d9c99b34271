"""Evaluation: models' outputs on data sets, and every number computed from them."""
