"""Models: pre-trained backbones, heads, prompts, and how they are computed."""
