"""Tiny icon sets."""


def icon_set(aliases=None, **bodies):
    """A tiny icon set of 32 x 32 icons."""
    icons = {name.replace("_", "-"): {"body": body} for name, body in bodies.items()}
    return {"prefix": "tiny", "icons": icons, "aliases": aliases or {}, "width": 32, "height": 32}
