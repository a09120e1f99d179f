"""Writes a sample of the corpus as text, one document after the other: to read it, or to train the tokenizer on it.

usage: python3 generate_corpus.py [--seed 1] [--documents 20000] [--out corpus.txt]
"""

import argparse
from itertools import islice

from corpus import documents

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--documents", type=int, default=20000)
    parser.add_argument("--out", default="corpus.txt")
    options = parser.parse_args()
    with open(options.out, "w", encoding="utf-8") as out:
        for document in islice(documents(options.seed), options.documents):
            out.write(document + "\n")
