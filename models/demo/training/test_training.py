"""Promises of the demo model's scripts and of the exported folder.

usage: python3 -m unittest test_training        (in this folder; needs numpy; about ten seconds)
"""

import json
import os
import re
import tempfile
import unittest
from itertools import islice

import numpy as np

import safetensors
from bpe import Tokenizer, split_words
from corpus import BOS, END, documents
from reference import MODEL_FOLDER, Reference, chat_prompt
from train_tokenizer import ROUND_TRIPS
from world import BY_NAME, VILLAGERS


class World(unittest.TestCase):
    def test_friendship_is_mutual(self):
        for villager in VILLAGERS:
            self.assertEqual(BY_NAME[villager.friend].friend, villager.name)


class Corpus(unittest.TestCase):
    def test_the_same_seed_gives_the_same_texts(self):
        self.assertEqual(list(islice(documents(3), 50)), list(islice(documents(3), 50)))

    def test_texts_do_not_repeat(self):
        stories = [d for d in islice(documents(4), 3000) if len(d) > 600]
        self.assertEqual(len(set(stories)), len(stories))

    def test_no_template_syntax_is_left(self):
        for document in islice(documents(5), 2000):
            self.assertIsNone(re.search(r"[{}\[\]]|!\.|\?\.|,,", document.replace(END, "").replace("...", "")), document)


class Tokenization(unittest.TestCase):
    def test_pieces_follow_the_pattern_of_gpt2(self):
        self.assertEqual(split_words("I'm here,  42 times!\n\n ok"), ["I", "'m", " here", ",", " ", " 42", " times", "!", "\n\n", " ok"])

    def test_every_text_round_trips(self):
        tokenizer = Tokenizer.load(os.path.join(MODEL_FOLDER, "tokenizer.json"))
        for text in ROUND_TRIPS + [chr(i) for i in range(0x250)] + list(islice(documents(6), 100)):
            self.assertEqual(tokenizer.decode(tokenizer.encode(text), skip_special=False), text)


class Export(unittest.TestCase):
    def test_bfloat16_rounds_to_nearest_even(self):
        values = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-7, 1 + 2**-8 + 2**-20, 3.0e38], dtype=np.float32)
        rounded = safetensors.from_bfloat16(safetensors.to_bfloat16(values))
        np.testing.assert_array_equal(rounded[:5], np.array([1.0, 1.0, 1 + 2**-6, -1 - 2**-7, 1 + 2**-7], dtype=np.float32))
        self.assertLess(abs(rounded[5] / 3.0e38 - 1), 2**-8)

    def test_safetensors_come_back_as_written(self):
        tensors = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones(5, dtype=np.float32)}
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.safetensors")
            safetensors.write_bfloat16(path, tensors)
            read = safetensors.read_bfloat16(path)
        self.assertEqual(sorted(read), ["a", "b"])
        np.testing.assert_array_equal(read["b"], tensors["b"])

    def test_the_model_repeats_its_samples(self):
        model = Reference()
        with open(os.path.join(MODEL_FOLDER, "samples.json"), encoding="utf-8") as file:
            samples = json.load(file)
        for sample in samples:
            if "messages" in sample:
                text = chat_prompt([(m["role"], m["content"]) for m in sample["messages"]])
            else:
                text = BOS + sample["prompt"]
            self.assertEqual(model.tokenizer.encode(text), sample["prompt_ids"])
            output, ended, _ = model.generate(sample["prompt_ids"], max(1, len(sample["output_ids"]) + sample["ended"]))
            self.assertEqual(output, sample["output_ids"])


if __name__ == "__main__":
    unittest.main()
