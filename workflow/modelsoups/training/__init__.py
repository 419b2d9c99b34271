"""Fine-tuning: the loop, augmentation, and several processes for one run."""
