"""The stream of training texts: plain stories and conversations, without end and reproducible from a seed."""

import random

from conversations import converse
from stories import tell
from world import guest

BOS, START, END, PAD = "<|bos|>", "<|im_start|>", "<|im_end|>", "<|pad|>"
SPECIAL_TOKENS = [BOS, START, END, PAD]           # ids 0, 1, 2, 3


def render(turns):
    """The same text as the chat template in tokenizer_config.json writes."""
    return BOS + "".join(f"{START}{role}\n{text}{END}\n" for role, text in turns)


def documents(seed):
    rng = random.Random(seed)
    while True:
        kind = rng.random()
        if kind < 0.3:
            yield BOS + (tell(rng, hero=guest(rng)) if rng.random() < 0.25 else tell(rng)).text + END
        else:
            yield render(converse(rng, story_count=0 if kind < 0.7 else 1 if kind < 0.92 else rng.choice([2, 3])))
