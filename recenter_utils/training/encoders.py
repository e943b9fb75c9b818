"""Encoders to fine-tune: the one that comes with the package, one in a folder, or one of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from recenter_utils.errors import RecenterError
from recenter_utils.inference.embeddings import MINILM, best_device, packaged


class Averaged(torch.nn.Module):
    """A head for encoders that were made to be averaged, whose first token says little (sentence-transformers).

    It reads the mean of the text's tokens, that of the attribute's, and their product.
    """

    FILE = "head.safetensors"

    def __init__(self, encoder: PreTrainedModel, outputs: int = 2) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.norm = torch.nn.LayerNorm(3 * width)
        self.drop = torch.nn.Dropout(0.1)
        self.head = torch.nn.Linear(3 * width, outputs)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.head.weight.device

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> Any:
        """Return the logits, as an encoder with a head of its own would."""
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        means = []
        for part in (0, 1):
            mask = (attention_mask * (token_type_ids == part)).unsqueeze(-1).to(hidden.dtype)
            means.append((hidden * mask).sum(1) / mask.sum(1).clamp(min=1))
        features = torch.cat([*means, means[0] * means[1]], dim=-1)
        return SequenceClassifierOutput(logits=self.head(self.drop(self.norm(features))))

    def save_pretrained(self, folder: Path) -> None:
        """Write the encoder and the head into a folder."""
        self.encoder.save_pretrained(folder)
        own = {name: value.contiguous() for name, value in self.state_dict().items() if not name.startswith("encoder.")}
        save_file(own, folder / self.FILE)


def tokenizer_and_model(name: str, outputs: int = 2, layers: int | None = None) -> tuple[PreTrainedTokenizerBase, Any]:
    """Return an encoder's tokenizer, and the encoder with a head of so many outputs on the best device.

    name: `all-MiniLM-L6-v2`, which is installed with this package and never asks the network; a folder; or a model
    such as `roberta-base`, from the hub's local cache or else from the hub. A head that the files lack is drawn from
    torch's current seed. layers: How many of its layers are taken, the first ones; default: all.

    Raises RecenterError where it cannot be had, saying what to do.
    """
    place = packaged(name)
    try:
        return _load(str(place or name), outputs, layers, local=True)
    except Exception as absent:
        if place or Path(name).exists():
            raise RecenterError(
                f"The folder {place or name} holds no encoder that can be fine-tuned ({_line(absent)})."
            ) from absent
    try:
        from huggingface_hub import HfApi

        HfApi().model_info(name, timeout=10)  # loading would retry for a minute where the hub is out of reach
        return _load(name, outputs, layers, local=False)
    except Exception as problem:
        raise RecenterError(
            f"The encoder '{name}' is neither on this machine nor to be had from the hub ({_line(problem)}): check the "
            f"name and the network, or use '{MINILM}', which is installed with this package."
        ) from problem


def _load(name: str, outputs: int, layers: int | None, local: bool) -> tuple[PreTrainedTokenizerBase, Any]:
    with quiet():
        config = AutoConfig.from_pretrained(name, local_files_only=local)
        if layers:
            config.num_hidden_layers = min(layers, config.num_hidden_layers)
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local)
        head = Path(name) / Averaged.FILE
        model: Any
        if head.is_file() or (Path(name) / "modules.json").is_file():
            model = Averaged(AutoModel.from_pretrained(name, config=config, local_files_only=local), outputs)
            if head.is_file():
                model.load_state_dict(load_file(head), strict=False)
        else:
            config.num_labels = outputs
            model = AutoModelForSequenceClassification.from_pretrained(name, config=config, local_files_only=local)
    return tokenizer, model.float().to(best_device()[0])


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' bars and reports out of notebooks: that the head of an encoder is new is no news."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _line(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__
