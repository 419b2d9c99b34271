"""Data sets: what belongs to one, its labels and classes, and its images as models read them."""
