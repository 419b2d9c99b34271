"""The emoji of two vendors as folders of classes: data/train, data/val, data/test."""

import sys
from pathlib import Path

import pyarrow.parquet as pq

emoji = pq.read_table(sys.argv[1]).to_pylist()  # resources/emoji/emoji.parquet
for number, each in enumerate(emoji):
    if each["style"] in ("noto", "twemoji"):
        split = {"held-out": "val"}.get(each["split"], each["split"])
        path = Path("data", split, each["subgroup"], f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each["image"]["bytes"])
