"""A tiny template language for the corpus.

``[a|b|c]`` picks one alternative (they nest, and may be empty), ``{x}`` inserts a variable, ``{x.his}`` an attribute of it,
``{a:x}`` puts "a" or "an" before it and ``{cap:x}`` capitalises it. A variable may be a template itself.
Sentences are capitalised, doubled spaces removed.
"""

import re
from functools import lru_cache


@lru_cache(maxsize=None)
def _parse(text):
    """Returns a tuple of parts: a string, ("var", filter, path) or ("alt", (parts, parts, ...))."""
    stack = [[[]]]                      # stack of alternatives, each a list of parts
    for token in re.findall(r"[\[\]|]|\{[^}]*\}|[^\[\]|{]+", text):
        if token == "[":
            stack.append([[]])
        elif token == "]":
            alternatives = stack.pop()
            stack[-1][-1].append(("alt", tuple(tuple(parts) for parts in alternatives)))
        elif token == "|":
            stack[-1].append([])
        elif token[0] == "{":
            head, _, tail = token[1:-1].rpartition(":")
            stack[-1][-1].append(("var", head, tuple(tail.split("."))))
        else:
            stack[-1][-1].append(token)
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError(f"unbalanced template: {text}")
    return tuple(stack[0][0])


def _write(parts, rng, values, out):
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif part[0] == "alt":
            _write(part[1][int(rng.random() * len(part[1]))], rng, values, out)
        else:
            value = values[part[2][0]]
            for attribute in part[2][1:]:
                value = getattr(value, attribute)
            value = value if isinstance(value, str) else value.name
            if "[" in value or "{" in value:
                inner = []
                _write(_parse(value), rng, values, inner)
                value = "".join(inner)
            if part[1] == "a":
                value = ("an " if value[0] in "aeiouAEIOU" else "a ") + value
            elif part[1] == "cap":
                value = value[0].upper() + value[1:]
            out.append(value)


def tidy(text):
    text = re.sub(r"[ \t]+", " ", text)
    text = re.sub(r" ?\n ?", "\n", text).strip()
    text = re.sub(r" ([.,!?])", r"\1", text)
    return re.sub(r"(^|[.!?] |\n)(\"?)([a-z])", lambda m: m[1] + m[2] + m[3].upper(), text)


def expand(rng, template, **values):
    out = []
    _write(_parse(template), rng, values, out)
    return tidy("".join(out))


def join(items):
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
