"""Reads and writes safetensors files: an 8-byte header length, a JSON header, then the tensors' bytes."""

import json
import struct

import numpy as np


def to_bfloat16(values):
    """float32 array to bfloat16 bit patterns (uint16), rounded to nearest, ties to even. Values must be finite."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def write_bfloat16(path, tensors):
    """Writes float32 numpy arrays, by name, as BF16."""
    header, offset, blobs = {"__metadata__": {"format": "pt"}}, 0, []
    for name, values in sorted(tensors.items()):
        blob = to_bfloat16(values).tobytes()
        header[name] = {"dtype": "BF16", "shape": list(values.shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)             # tensors start at a multiple of 8
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.writelines(blobs)


def read_bfloat16(path):
    """Returns the tensors of a file that ``write_bfloat16`` wrote, as float32 numpy arrays by name."""
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack_from("<Q", data)[0]
    tensors = {}
    for name, entry in json.loads(data[8:8 + length]).items():
        if name != "__metadata__":
            first, end = entry["data_offsets"]
            bits = np.frombuffer(data, np.uint16, (end - first) // 2, 8 + length + first)
            tensors[name] = from_bfloat16(bits).reshape(entry["shape"])
    return tensors
