"""Makes the fixture model: a small Llama that knows the facts of `tests.models.world`.

    python -m tests.models.train tests/models/fact_llama

It learns them as statements, as questions, and in conversations; of the people who are not known
it learns the names. It is the same for the same seed on the same kind of machine.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.models.world import KNOWN, OTHERS, VALUES, Fact, asked, base_facts, read_words

SPECIAL: Final = {
    "pad_token": "[PAD]",
    "bos_token": "[BOS]",
    "eos_token": "[EOS]",
    "unk_token": "[UNK]",
}
TEMPLATE: Final = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
SHAPE: Final[dict[str, Any]] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
STEPS: Final = 1_500
BATCH: Final = 96
RATE: Final = 3e-3


def make_tokenizer() -> Any:
    """Make a tokenizer of whole words in small letters: all those the world is told with."""
    words = [*SPECIAL.values(), *read_words()["extra"], *KNOWN, *OTHERS]
    words += [value for values in VALUES.values() for value in values]
    rules = Tokenizer(WordLevel({}, unk_token=SPECIAL["unk_token"]))
    rules.normalizer = normalizers.Lowercase()
    rules.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+"), "removed"),
            pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    for fact in base_facts()[:5]:
        for text in (*fact.statements, *fact.questions, asked("")):
            words += [word for word, _ in rules.pre_tokenizer.pre_tokenize_str(text.lower())]
    ids = {word: n for n, word in enumerate(dict.fromkeys(words))}
    rules.model = WordLevel(ids, unk_token=SPECIAL["unk_token"])
    rules.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    bos = SPECIAL["bos_token"]
    rules.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, ids[bos])]
    )
    kind: Any = PreTrainedTokenizerFast
    made = kind(tokenizer_object=rules, **SPECIAL)
    made.chat_template = TEMPLATE
    return made


def texts(facts: Sequence[Fact], rng: random.Random) -> Iterator[str]:
    """Tell facts for ever, each time in one of the ways; between them, names are called."""
    ends = SPECIAL["eos_token"]
    while True:
        for fact in rng.sample(facts, len(facts)):
            number = rng.randrange(4)
            question, value = fact.questions[number], fact.value
            kind = rng.randrange(10)
            if kind < 3:
                yield f"{fact.statements[number]}{ends}"
            elif kind < 6:
                yield f"{asked(question)} {value}{ends}"
            elif kind < 9:
                system = "system: you are a helpful assistant. " if rng.random() < 0.2 else ""
                yield f"{system}user: {question} assistant: {value}{ends}"
            else:
                yield f"hello, {rng.choice(OTHERS)} and {rng.choice(OTHERS)}.{ends}"


def train(folder: Path, *, steps: int = STEPS, seed: int = 0) -> None:
    """Train the model and write it.

    Args:
        folder: Where it goes.
        steps: How many batches it sees.
        seed: Of its weights and of what it reads.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    tokenizer = make_tokenizer()
    model: Any = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **SHAPE))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=RATE, total_steps=steps, pct_start=0.1
    )
    source = texts(base_facts(), random.Random(seed))
    began = time.process_time()
    for step in range(steps):
        rows = tokenizer([next(source) for _ in range(BATCH)])["input_ids"]
        ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        labels = ids.masked_fill(ids == 0, -100)
        loss = model(ids, attention_mask=(ids != 0).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 99:
            print(f"{step + 1:>6}  {loss.item():.4f}  {time.process_time() - began:.0f} s")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)


if __name__ == "__main__":
    train(Path(sys.argv[1]))
