"""Turns a checkpoint into the model folder: model.safetensors (bf16), config.json, generation_config.json, tokenizer_config.json,
special_tokens_map.json and samples.json (greedy texts in float32, the model's golden).

usage: python3 export.py [--run folder] [--out ..]        (tokenizer.json must be there already)
"""

import argparse
import json
import os

import torch

import safetensors
from bpe import Tokenizer
from corpus import BOS, END, PAD, SPECIAL_TOKENS
from reference import Reference, chat_prompt

CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}")

COMPLETIONS = ["Once upon a time there was a gentle bear named Benno.", "One rainy morning, Mila the mouse", "One day, Tilda the toad"]
CHATS = [["Who is Mila?"], ["Hello!", "Tell me a story about Oskar and a lost whistle.", "Who helped him?"],
         ["Where does Grum live?", "And what does he like to eat?"], ["What is the capital of France?"], ["Who likes honey cakes?"],
         ["Tell me a story about Fenn and Runa."], ["Tell me a joke."]]


def write_json(folder, name, layout):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
        json.dump(layout, out, indent=2, ensure_ascii=False)
        out.write("\n")


def write_configs(folder, config, tokenizer):
    bos, end, pad = (tokenizer.ids[t] for t in (BOS, END, PAD))
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as out:
        out.write(config.to_json({"bos_token_id": bos, "eos_token_id": end, "pad_token_id": pad}))
    write_json(folder, "generation_config.json", {"bos_token_id": bos, "eos_token_id": [end, bos], "pad_token_id": pad,
                                                  "do_sample": True, "temperature": 0.7, "top_p": 0.9})
    names = {"bos_token": BOS, "eos_token": END, "pad_token": PAD}
    added = {str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
             for i, t in enumerate(SPECIAL_TOKENS)}
    write_json(folder, "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True, "clean_up_tokenization_spaces": False,
        "model_max_length": config.max_position_embeddings, **names, "added_tokens_decoder": added, "chat_template": CHAT_TEMPLATE})
    write_json(folder, "special_tokens_map.json", names)


def greedy_samples(folder):
    """Greedy continuations; ``smallest_gap`` is how far the best logit was ahead of the second at its closest."""
    model, samples = Reference(folder), []
    encode, decode = model.tokenizer.encode, model.tokenizer.decode

    def run(text):
        prompt = encode(text)
        out, ended, gap = model.generate(prompt, 320)
        return {"prompt_ids": prompt, "output_ids": out, "text": decode(out), "ended": ended, "smallest_gap": round(gap, 4)}

    for text in COMPLETIONS:
        samples.append({"prompt": text, **run(BOS + text)})
    for messages in CHATS:
        turns = []
        for message in messages:
            turns.append(("user", message))
            sample = {"messages": [{"role": role, "content": text} for role, text in turns], **run(chat_prompt(turns))}
            turns.append(("assistant", sample["text"]))
            samples.append(sample)
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="../../../artifacts/demo")
    parser.add_argument("--out", default="..")
    options = parser.parse_args()
    checkpoint = torch.load(os.path.join(options.run, "checkpoint.pt"))
    tokenizer = Tokenizer.load(os.path.join(options.out, "tokenizer.json"))
    path = os.path.join(options.out, "model.safetensors")
    safetensors.write_bfloat16(path, {name: values.numpy() for name, values in checkpoint["state"].items()})
    write_configs(options.out, checkpoint["config"], tokenizer)
    samples = greedy_samples(options.out)
    # one id list per line keeps the file readable
    with open(os.path.join(options.out, "samples.json"), "w", encoding="utf-8") as out:
        fields = [",\n  ".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in s.items()) for s in samples]
        out.write("[\n" + ",\n".join(" {" + f + "}" for f in fields) + "\n]\n")
    print(f"{path}: {os.path.getsize(path)} bytes")
    for sample in samples:
        print("-" * 20, sample.get("prompt") or sample["messages"][-1]["content"], f"(gap {sample['smallest_gap']})\n" + sample["text"])


if __name__ == "__main__":
    main()
