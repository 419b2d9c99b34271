"""Files, paths on disk and logs: what every other room stands on."""
