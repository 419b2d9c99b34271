"""A study's config and what follows from it: specs, search spaces, sweeps, the plan. No torch."""
