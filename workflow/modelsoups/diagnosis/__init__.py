"""Diagnosis: why the soup of a pool is no better than its best model, and what to do."""
