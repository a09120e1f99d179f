"""Trains the demo model's byte-level BPE tokenizer on a sample of the corpus and writes tokenizer.json.

usage: python3 train_tokenizer.py [--vocabulary 2048] [--documents 20000] [--out ../tokenizer.json]
"""

import argparse
from itertools import islice

import bpe
from corpus import BOS, SPECIAL_TOKENS, documents

# texts far from the corpus: whatever comes in must come out again
ROUND_TRIPS = ["", " ", "\n\n  x", "Hello, World! 12345", "naïve café — “quotes”", "日本語 и русский", "🦊🐻",
               "\t\x00\x7f", "it's we'll don't",
               "a  b   c ", "½²③"]


def train(vocabulary, document_count, seed):
    texts = []
    for document in islice(documents(seed), document_count):
        for special in SPECIAL_TOKENS:
            document = document.replace(special, "\n")
        texts.append(document)
    merges = bpe.train(bpe.count_words(texts), vocabulary - len(SPECIAL_TOKENS) - 256)
    tokenizer = bpe.Tokenizer(SPECIAL_TOKENS, merges)
    for text in ROUND_TRIPS + texts[:200]:
        if tokenizer.decode(tokenizer.encode_ordinary(text)) != text:
            raise AssertionError(f"does not round trip: {text!r}")
    sample = texts[:2000]
    print(f"{len(tokenizer.ids)} tokens, {sum(map(len, sample)) / sum(len(tokenizer.encode_ordinary(t)) for t in sample):.2f} characters per token")
    return tokenizer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--documents", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", default="../tokenizer.json")
    options = parser.parse_args()
    train(options.vocabulary, options.documents, options.seed).save(options.out, BOS)
