"""What the paper's analyses measure: mixes of weights, growing pools, seeds, the approximation."""
