"""Make and study model soups: the package under the workflow (Wortsman et al., 2022)."""

__version__ = "0.1.0"
