"""Runs the exported model in float32 with numpy alone: an independent check of model.safetensors, config.json and tokenizer.json.

usage: python3 reference.py [--prompt "Once upon a time"] [--chat "Who is Mila?"] [--temperature 0.7] [--top-p 0.9] [--seed 1] [--tokens 300]
"""

import argparse
import json
import os

import numpy as np

from bpe import Tokenizer
from corpus import BOS, END, START
from safetensors import read_bfloat16

MODEL_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


class Reference:
    def __init__(self, folder=MODEL_FOLDER):
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)
        self.weights = read_bfloat16(os.path.join(folder, "model.safetensors"))
        self.tokenizer = Tokenizer.load(os.path.join(folder, "tokenizer.json"))
        self.stops = {self.tokenizer.ids[END], self.tokenizer.ids[BOS]}
        c = self.config
        frequency = c["rope_theta"] ** (-np.arange(0, c["head_dim"], 2) / c["head_dim"])
        self.angles = np.arange(c["max_position_embeddings"])[:, None, None] * frequency       # [positions, 1, head_dim / 2]

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.config["rms_norm_eps"]) * self.weights[name + ".weight"]

    def rotate(self, x, first):
        angles = self.angles[first:first + len(x)]
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        a, b = np.split(x, 2, -1)
        return np.concatenate((a * cos - b * sin, b * cos + a * sin), -1)

    def forward(self, ids, cache):
        """Logits [length, vocabulary] of new ids; ``cache`` (a list, empty at first) holds one (keys, values) pair per layer."""
        c = self.config
        heads, kv_heads, size = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        first = len(cache[0][0]) if cache else 0
        x = self.weights["model.embed_tokens.weight"][ids]
        for layer in range(c["num_hidden_layers"]):
            name = f"model.layers.{layer}."
            h = self.norm(x, name + "input_layernorm")
            q = self.rotate(self.linear(h, name + "self_attn.q_proj").reshape(len(ids), heads, size), first)
            k = self.rotate(self.linear(h, name + "self_attn.k_proj").reshape(len(ids), kv_heads, size), first)
            v = self.linear(h, name + "self_attn.v_proj").reshape(len(ids), kv_heads, size)
            if first:
                k, v = np.concatenate((cache[layer][0], k)), np.concatenate((cache[layer][1], v))
                cache[layer] = (k, v)
            else:
                cache.append((k, v))
            k, v = (np.repeat(t, heads // kv_heads, 1) for t in (k, v))
            scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(np.float32(size))
            hidden = np.arange(len(k))[None, :] > first + np.arange(len(ids))[:, None]
            scores = np.where(hidden, -np.inf, scores)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            x = x + self.linear(np.einsum("hqk,khd->qhd", weights, v).reshape(len(ids), -1), name + "self_attn.o_proj")
            h = self.norm(x, name + "post_attention_layernorm")
            gate = self.linear(h, name + "mlp.gate_proj")
            x = x + self.linear(gate / (1 + np.exp(-gate)) * self.linear(h, name + "mlp.up_proj"), name + "mlp.down_proj")
        return self.norm(x, "model.norm") @ self.weights["model.embed_tokens.weight"].T

    def generate(self, prompt, limit, temperature=0.0, top_p=1.0, seed=0):
        """Returns (new ids without the end token, whether an end token came, the smallest gap between the two best logits)."""
        rng, cache, out, gap = np.random.default_rng(seed), [], [], np.inf
        logits = self.forward(np.array(prompt), cache)[-1]
        while len(out) < limit and len(prompt) + len(out) < self.config["max_position_embeddings"]:
            second, best = np.sort(logits)[-2:]
            gap = min(gap, best - second)
            token = int(logits.argmax()) if temperature == 0 else sample(rng, logits / temperature, top_p)
            if token in self.stops:
                return out, True, float(gap)
            out.append(token)
            logits = self.forward(np.array([token]), cache)[-1]
        return out, False, float(gap)


def sample(rng, logits, top_p):
    probabilities = np.exp(logits.astype(np.float64) - logits.max())
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities)
    kept = order[:int(np.searchsorted(np.cumsum(probabilities[order]), top_p)) + 1]
    return int(rng.choice(kept, p=probabilities[kept] / probabilities[kept].sum()))


def chat_prompt(turns):
    return BOS + "".join(f"{START}{role}\n{text}{END}\n" for role, text in turns) + f"{START}assistant\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", default="Once upon a time")
    parser.add_argument("--chat", action="append", help="a user message; give it several times for several turns")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=300)
    options = parser.parse_args()
    model = Reference()
    encode, decode = model.tokenizer.encode, model.tokenizer.decode
    if not options.chat:
        out, _, _ = model.generate(encode(BOS + options.prompt), options.tokens, options.temperature, options.top_p, options.seed)
        print(options.prompt + decode(out))
        return
    turns = []
    for message in options.chat:
        turns.append(("user", message))
        out, _, _ = model.generate(encode(chat_prompt(turns)), options.tokens, options.temperature, options.top_p, options.seed)
        turns.append(("assistant", decode(out)))
        print(f"> {message}\n{turns[-1][1]}\n")


if __name__ == "__main__":
    main()
