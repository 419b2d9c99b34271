"""Plain transformers: its Trainer trains a small ResNet, then fine-tunes it four times."""

import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from transformers import (
    AutoModelForImageClassification,
    ConvNextImageProcessor,
    ResNetConfig,
    Trainer,
    TrainingArguments,
)

augment = v2.Compose([v2.RandomResizedCrop(32, (0.6, 1.0)), v2.RandomHorizontalFlip()])
other, train = ImageFolder("data/other", augment), ImageFolder("data/train", augment)
val = ImageFolder("data/val")
processor = ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=1.0)


def collate(examples):
    images, labels = zip(*examples, strict=True)
    return {**processor(list(images), return_tensors="pt"), "labels": torch.tensor(labels)}


def accuracy(outputs):
    return {"accuracy": (outputs.predictions.argmax(1) == outputs.label_ids).mean()}


def fit(model, data, folder, epochs, lr, seed):
    """Train a model; its checkpoints, and the accuracy of the last one."""
    arguments = TrainingArguments(
        folder,
        learning_rate=lr,
        seed=seed,
        num_train_epochs=epochs,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=64,
        lr_scheduler_type="cosine",
        label_smoothing_factor=0.1,
        save_strategy="epoch",
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=data,
        eval_dataset=val,
        data_collator=collate,
        compute_metrics=accuracy,
        processing_class=processor,
    )
    trainer.train()
    print(f"{folder}: {trainer.evaluate()['eval_accuracy']:.4f}", flush=True)
    return trainer


config = ResNetConfig(
    embedding_size=32,
    hidden_sizes=[32, 64, 128],
    depths=[1, 1, 1],
    layer_type="basic",
    downsample_in_first_stage=False,
    id2label=dict(enumerate(train.classes)),
    label2id=train.class_to_idx,
)
torch.manual_seed(0)
start = AutoModelForImageClassification.from_config(config)
fit(start, other, "start-trainer", 10, 3e-3, 0).save_model("start-trainer")
for lr, seed in ((3e-4, 0), (1e-3, 1), (1e-3, 2), (3e-3, 3)):
    model = AutoModelForImageClassification.from_pretrained("start-trainer")
    fit(model, train, f"runs/trainer/lr{lr}-seed{seed}", 4, lr, seed)
