"""Make and study model soups: the package under the workflow (Wortsman et al., 2022)."""
