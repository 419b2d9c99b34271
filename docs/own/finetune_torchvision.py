"""Plain torchvision: a ResNet-18 in the way of its reference script, with that script's files.

It is trained on the other emoji (data/other), and from there fine-tuned four times, at 32 pixels.
"""

import argparse
from pathlib import Path

import torch
import torchvision
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

NORMAL = v2.Compose(
    [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    augment = v2.Compose([v2.RandomResizedCrop(32, (0.6, 1.0)), v2.RandomHorizontalFlip(), NORMAL])
    data = ImageFolder(args.data_path, augment)
    crop = v2.Compose([v2.Resize(args.val_resize_size), v2.CenterCrop(args.val_crop_size), NORMAL])
    val = ImageFolder("data/val", crop)
    model = torchvision.models.get_model(args.model, weights=None, num_classes=54)
    if args.start:
        model.load_state_dict(torch.load(args.start, weights_only=False)["model"])
    loader = DataLoader(data, batch_size=args.batch_size, shuffle=True, drop_last=True)
    optimizer = torch.optim.SGD(
        model.parameters(), args.lr, momentum=args.momentum, weight_decay=args.weight_decay
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    Path(args.output_dir).mkdir(parents=True)
    for epoch in range(args.epochs):
        model.train()
        for images, labels in loader:
            loss = torch.nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        checkpoint = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "lr_scheduler": scheduler.state_dict(),
            "epoch": epoch,
            "args": args,
        }
        torch.save(checkpoint, Path(args.output_dir, f"model_{epoch}.pth"))
        torch.save(checkpoint, Path(args.output_dir, "checkpoint.pth"))
    model.eval()
    with torch.inference_mode():
        right = [(model(x).argmax(1) == y).sum().item() for x, y in DataLoader(val, batch_size=64)]
    print(f"{args.output_dir}: {sum(right) / len(val):.4f}", flush=True)


common = {"model": "resnet18", "batch_size": 32, "momentum": 0.9, "weight_decay": 1e-4}
common |= {"val_resize_size": 32, "val_crop_size": 32, "interpolation": "bilinear"}
start = {"data_path": "data/other", "output_dir": "start-torchvision", "start": None}
train(argparse.Namespace(**common, **start, epochs=8, lr=0.05, seed=0))
for lr, seed in ((0.003, 0), (0.01, 1), (0.01, 2), (0.03, 3)):
    run = {"data_path": "data/train", "output_dir": f"runs/torchvision/lr{lr}-seed{seed}"}
    run |= {"start": "start-torchvision/checkpoint.pth"}
    train(argparse.Namespace(**common, **run, epochs=4, lr=lr, seed=seed))
