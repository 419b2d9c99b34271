"""A loop like torchvision's reference script: a small network, four fine-tunings of one start."""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import get_model
from torchvision.transforms import v2

normalize = [
    v2.ToImage(),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
]
train = ImageFolder(
    "data/train",
    v2.Compose([v2.RandomResizedCrop(64, (0.6, 1.0)), v2.RandomHorizontalFlip(), *normalize]),
)
val = ImageFolder("data/val", v2.Compose([v2.Resize(64), v2.CenterCrop(64), *normalize]))


def fit(model, args):
    torch.manual_seed(args.seed)
    loader = DataLoader(train, batch_size=32, shuffle=True, drop_last=True)
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * len(loader))
    for _ in range(args.epochs):
        model.train()
        for images, labels in loader:
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
    model.eval()
    with torch.inference_mode():
        right = [(model(x).argmax(1) == y).sum().item() for x, y in DataLoader(val, batch_size=64)]
    print(f"{args.output_dir}: {sum(right) / len(val):.4f}", flush=True)
    Path(args.output_dir).mkdir(parents=True, exist_ok=True)
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": scheduler.state_dict(),
        "epoch": args.epochs - 1,
        "args": args,
    }
    torch.save(checkpoint, f"{args.output_dir}/checkpoint.pth")


torch.manual_seed(0)
sizes = {"val_resize_size": 64, "val_crop_size": 64, "interpolation": "bilinear"}
start = get_model("shufflenet_v2_x1_0", num_classes=54)
first = argparse.Namespace(output_dir="start", lr=0.1, epochs=15, seed=0, **sizes)
fit(start, first)
for lr, seed in ((0.003, 1), (0.01, 2), (0.01, 3), (0.03, 4)):
    model = get_model("shufflenet_v2_x1_0", num_classes=54)
    model.load_state_dict(start.state_dict())
    folder = f"runs/torchvision/lr{lr}-seed{seed}"
    fit(model, argparse.Namespace(output_dir=folder, lr=lr, epochs=5, seed=seed, **sizes))
