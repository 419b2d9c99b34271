"""The emoji of two vendors as folders of classes, of two others in a folder of their own."""

import sys
from pathlib import Path

import pyarrow.parquet as pq

emoji = pq.read_table(sys.argv[1]).to_pylist()  # resources/emoji/emoji.parquet
for number, each in enumerate(emoji):
    split = {"held-out": "val"}.get(each["split"], each["split"])
    if each["style"] in ("fxemoji", "emojione-v1"):
        split = "other"
    elif each["style"] not in ("noto", "twemoji"):
        continue
    path = Path("data", split, each["subgroup"], f"{number}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(each["image"]["bytes"])
