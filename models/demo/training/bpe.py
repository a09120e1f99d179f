"""Byte-level BPE: training, encoding and decoding, and the tokenizer.json layout that Hugging Face's libraries read."""

import json
import unicodedata
from collections import Counter, defaultdict


def _byte_symbols():
    """GPT-2's printable stand-in for each of the 256 bytes."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols, extra = {}, 0
    for byte in range(256):
        if byte in visible:
            symbols[byte] = chr(byte)
        else:
            symbols[byte] = chr(256 + extra)
            extra += 1
    return symbols


SYMBOL_OF_BYTE = _byte_symbols()
BYTE_OF_SYMBOL = {symbol: byte for byte, symbol in SYMBOL_OF_BYTE.items()}
CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


def _kind(char):
    if char.isspace():
        return "space"
    return {"L": "letter", "N": "number"}.get(unicodedata.category(char)[0], "other")


def split_words(text):
    """GPT-2's pre-tokenizer: 's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"""
    words, i, n = [], 0, len(text)
    while i < n:
        contraction = next((c for c in CONTRACTIONS if text.startswith(c, i)), None)
        if contraction:
            words.append(contraction)
            i += len(contraction)
            continue
        start = i
        if text[i] == " " and i + 1 < n and not text[i + 1].isspace():
            i += 1
        kind = _kind(text[i])
        end = i + 1
        while end < n and _kind(text[end]) == kind:
            end += 1
        if kind == "space" and end < n and end - i > 1:
            end -= 1                    # the last space belongs to the following word
        words.append(text[start:end])
        i = end
    return words


def _merge(symbols, pair, joined):
    out, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and symbols[i] == pair[0] and symbols[i + 1] == pair[1]:
            out.append(joined)
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def train(word_counts, merge_count):
    """Returns the merges, most frequent pair first; equal counts are ordered by the pair itself, so the result is reproducible."""
    words = [([SYMBOL_OF_BYTE[b] for b in word.encode()], count) for word, count in sorted(word_counts.items())]
    pair_counts, where = Counter(), defaultdict(set)
    for index, (symbols, count) in enumerate(words):
        for pair in zip(symbols, symbols[1:]):
            pair_counts[pair] += count
            where[pair].add(index)
    merges = []
    while len(merges) < merge_count and pair_counts:
        best = max(pair_counts, key=lambda p: (pair_counts[p], p))
        if pair_counts[best] < 2:
            break
        merges.append(best)
        joined = best[0] + best[1]
        for index in list(where[best]):
            symbols, count = words[index]
            for pair in zip(symbols, symbols[1:]):
                pair_counts[pair] -= count
            symbols = _merge(symbols, best, joined)
            words[index] = (symbols, count)
            for pair in zip(symbols, symbols[1:]):
                pair_counts[pair] += count
                where[pair].add(index)
        del pair_counts[best]
    return merges


class Tokenizer:
    def __init__(self, special_tokens, merges):
        self.special_tokens = list(special_tokens)
        self.merges = [tuple(m) for m in merges]
        texts = self.special_tokens + [SYMBOL_OF_BYTE[b] for b in sorted(SYMBOL_OF_BYTE, key=lambda b: SYMBOL_OF_BYTE[b])]
        texts += [a + b for a, b in self.merges]
        self.texts = texts
        self.ids = {text: i for i, text in enumerate(texts)}
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self._cache = {}

    def _encode_word(self, word):
        symbols = [SYMBOL_OF_BYTE[b] for b in word.encode()]
        while len(symbols) > 1:
            rank, pair = min((self.ranks.get(p, 1 << 30), p) for p in zip(symbols, symbols[1:]))
            if rank == 1 << 30:
                break
            symbols = _merge(symbols, pair, pair[0] + pair[1])
        return [self.ids[s] for s in symbols]

    def encode_ordinary(self, text):
        out = []
        for word in split_words(text):
            ids = self._cache.get(word)
            if ids is None:
                ids = self._encode_word(word)
                if len(self._cache) < 1 << 18:
                    self._cache[word] = ids
            out += ids
        return out

    def encode(self, text):
        """Encodes text in which special tokens may occur."""
        cut = [(text.find(s), s) for s in self.special_tokens if s in text]
        if not cut:
            return self.encode_ordinary(text)
        out = []
        while text:
            first = min(((text.find(s), s) for s in self.special_tokens if s in text), default=None)
            if first is None:
                return out + self.encode_ordinary(text)
            out += self.encode_ordinary(text[:first[0]])
            out.append(self.ids[first[1]])
            text = text[first[0] + len(first[1]):]
        return out

    def decode(self, ids, skip_special=True):
        data = bytearray()
        for i in ids:
            text = self.texts[i]
            if text in self.special_tokens:
                data += b"" if skip_special else text.encode()
            else:
                data += bytes(BYTE_OF_SYMBOL[c] for c in text)
        return data.decode("utf-8", errors="replace")

    def save(self, path, bos):
        added = [{"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                 for i, s in enumerate(self.special_tokens)]
        start = {"SpecialToken": {"id": bos, "type_id": 0}}
        layout = {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [start, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [start, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {bos: {"id": bos, "ids": [self.ids[bos]], "tokens": [bos]}},
            },
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": self.ids,
                      "merges": [f"{a} {b}" for a, b in self.merges]},
        }
        with open(path, "w", encoding="utf-8") as out:
            json.dump(layout, out, ensure_ascii=False, indent=0)
            out.write("\n")

    @staticmethod
    def load(path):
        with open(path, encoding="utf-8") as file:
            layout = json.load(file)
        tokenizer = Tokenizer([t["content"] for t in layout["added_tokens"]], [m.split(" ") for m in layout["model"]["merges"]])
        if tokenizer.ids != layout["model"]["vocab"]:
            raise ValueError(f"{path}: the vocabulary does not follow from the merges; train it again with train_tokenizer.py")
        return tokenizer


def count_words(texts):
    counts = Counter()
    for text in texts:
        counts.update(split_words(text))
    return counts
