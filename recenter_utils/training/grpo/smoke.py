"""A tiny model made on the spot, on which a GRPO run can be tried on a CPU. It is no model of anything.

Random weights never end an answer with the final line, and GRPO learns nothing from answers that all earn nothing.
So the tiny model is first shown made-up answers, whose YES or NO is drawn at random, YES twice as often as NO: it then
knows the form of an answer, and nothing of which pairs are relevant. Its words say what it is, wherever they are read.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from recenter_utils.inference.tasks import RELEVANCE_LINE
from recenter_utils.settings import Grpo
from recenter_utils.training.encoders import quiet
from recenter_utils.training.grpo.reasoners import Messages, prompt_ids

#: What `grpo.base` says to ask for it, and how tables call it: never like a model.
BASE, NAME = "smoke", "smoke-model"

#: Raised by hand when the tiny model is made or shown its first answers in another way.
VERSION = 2

#: The scale of a smoke run, whatever else study.yaml says, and its steps.
STEPS = 12
SCALE: dict[str, Any] = {
    "learning_rate": 3e-3,
    "kl": 0.1,  # the paper's lets so small a model drop all of its words for the final line
    "lora_rank": None,
    "rollouts": 4,
    "batch_size": 8,
    "max_tokens": 40,
    "generated_at_once": 48,
    "passed_at_once": 32,
    "validation_pairs": 24,
    "validate_every": 4,
    "save_every": 4,
    "vllm": False,
}

#: A tiny Qwen3; the vocabulary is the tokenizer's.
SHAPE: dict[str, Any] = {
    "model_type": "qwen3",
    "hidden_size": 48,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}

VOCABULARY = 1000
WARM_UP_STEPS, WARM_UP_BATCH, WARM_UP_RATE = 60, 8, 1e-2

_SENTENCES = (
    "These words come from a smoke run.",
    "No model has read the request.",
    "They are made up to try the training.",
    "They say nothing about the attribute.",
    "Nobody should read them as reasons.",
)
_PAD, _END = "<|pad|>", "<|end|>"
_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def name_of(base: str) -> str:
    """Return how tables, figures and bars call a base: the tiny model by its own name, others by their last part."""
    return NAME if base == BASE else Path(base).name


def scaled(rules: Grpo, pairs: int) -> Grpo:
    """Return the settings with the scale of a smoke run where they ask for one, and as they are elsewhere.

    pairs: In the training part.
    """
    if rules.base != BASE:
        return rules
    return rules.model_copy(update=SCALE | {"epochs": STEPS * min(1.0, SCALE["batch_size"] / max(1, pairs))})


@contextmanager
def one_thread(rules: Grpo) -> Iterator[None]:
    """Keep a smoke run to one thread: what is so tiny only waits for others, and gives the same on any machine."""
    before = torch.get_num_threads()
    if rules.base == BASE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make(folder: Path, texts: Sequence[str] = (), seed: int = 0, shape: dict[str, Any] | None = None) -> Path:
    """Write a model with random weights and a tokenizer trained on `texts` into a folder, and return the folder.

    shape: The model's config: transformers' `model_type` and whatever differs from that type's own defaults; default:
    `SHAPE`. With the shape of a real model it shows what a step costs, in time and memory, where its weights cannot be
    had; its vocabulary then needs to be given too (`vocab_size`).
    """
    shape = dict(shape or SHAPE)
    tokenizer = _tokenizer([*texts, *_SENTENCES, *RELEVANCE_LINE.lines])
    kind = shape.pop("model_type")
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = AutoConfig.for_model(kind, **({"vocab_size": len(tokenizer)} | shape | ends))
    transformers.set_seed(seed)
    with quiet():
        shutil.rmtree(folder, ignore_errors=True)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def warmed_up(folder: Path, prompts: Sequence[Messages], seed: int, steps: int = WARM_UP_STEPS) -> Path:
    """Show the model in a folder made-up answers to these prompts, until it knows their form, and return the folder."""
    from recenter_utils.training.grpo.reasoners import load

    tokenizer, model = load(str(folder), all_weights=True)
    transformers.set_seed(seed)
    draw = random.Random(seed)
    asked = prompt_ids(tokenizer, draw.sample(list(prompts), min(len(prompts), 8 * WARM_UP_BATCH)))
    optimiser = torch.optim.AdamW(model.parameters(), lr=WARM_UP_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, WARM_UP_RATE, total_steps=steps, pct_start=0.1)
    model.train()
    for _ in range(steps):
        rows = [
            (ids, [*tokenizer.encode(made_up(draw), add_special_tokens=False), tokenizer.eos_token_id])
            for ids in draw.choices(asked, k=WARM_UP_BATCH)
        ]
        batch = tokenizer.pad({"input_ids": [ids + said for ids, said in rows]}, return_tensors="pt").to(model.device)
        labels = torch.full_like(batch["input_ids"], -100)
        for row, (_, said) in enumerate(rows):
            labels[row, -len(said) :] = batch["input_ids"][row, -len(said) :]
        model(**batch, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    with quiet():
        model.save_pretrained(folder)
    return folder


def made_up(draw: random.Random) -> str:
    """Return a made-up answer: one or two sentences that say so, and a label that has nothing to do with any pair."""
    words = " ".join(draw.sample(_SENTENCES, draw.randint(1, 2)))
    yes, no = RELEVANCE_LINE.lines
    return f"{words}\n{draw.choice((yes, yes, no))}"


def _tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    special = [_PAD, _END, *(f"<|{role}|>" for role in ("system", "user", "assistant"))]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # Each text counts twice, so that a word of the instruction, which stands there once, becomes a token of its own.
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    plain.train_from_iterator([*texts, *texts], trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token=_PAD, eos_token=_END, padding_side="left", model_max_length=1 << 20
    )
    wrapped.chat_template = _TEMPLATE
    return wrapped
