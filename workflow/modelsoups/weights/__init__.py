"""Weights: files, averages, geometry, layers, and checkpoints made elsewhere."""
