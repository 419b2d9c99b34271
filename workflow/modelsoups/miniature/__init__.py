"""How the data and the backbone of the miniature study were made."""
