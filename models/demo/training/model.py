"""The demo model in PyTorch: Llama blocks (RMSNorm, rotary positions, grouped-query attention, SwiGLU) with tied embeddings.

Parameter names are those of Hugging Face's Llama checkpoints, so that a state dict is a checkpoint.
"""

import json
import math
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F

QUERY_BLOCK = 128


@dataclass(frozen=True)
class Config:
    vocab_size: int = 2048
    hidden_size: int = 192
    intermediate_size: int = 512
    num_hidden_layers: int = 6
    num_attention_heads: int = 6
    num_key_value_heads: int = 2
    head_dim: int = 32
    max_position_embeddings: int = 1024
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0

    def to_json(self, special):
        """config.json as transformers writes it; ``special``: the bos, eos and pad ids."""
        layout = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "attention_dropout": 0.0,
                  "hidden_act": "silu", "initializer_range": 0.02, "mlp_bias": False, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
                  "use_cache": True, **asdict(self), **special}
        return json.dumps(layout, indent=2, sort_keys=True) + "\n"

    @staticmethod
    def load(path):
        with open(path, encoding="utf-8") as file:
            layout = json.load(file)
        return Config(**{key: layout[key] for key in Config.__dataclass_fields__})


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        scale = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + self.eps).to(x.dtype)
        return x * scale * self.weight


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.q_proj = nn.Linear(c.hidden_size, c.num_attention_heads * c.head_dim, bias=False)
        self.k_proj = nn.Linear(c.hidden_size, c.num_key_value_heads * c.head_dim, bias=False)
        self.v_proj = nn.Linear(c.hidden_size, c.num_key_value_heads * c.head_dim, bias=False)
        self.o_proj = nn.Linear(c.num_attention_heads * c.head_dim, c.hidden_size, bias=False)

    def forward(self, x, cos, sin, mask):
        c, (batch, length, _) = self.c, x.shape
        groups = c.num_attention_heads // c.num_key_value_heads
        q = rotate(self.q_proj(x).view(batch, length, -1, c.head_dim), cos, sin)     # [batch, length, heads, head_dim]
        k = rotate(self.k_proj(x).view(batch, length, -1, c.head_dim), cos, sin)
        v = self.v_proj(x).view(batch, length, -1, c.head_dim)
        # query head h reads key head h // groups; blocks of queries skip the keys that all of them must not see
        q = (q * (1 / math.sqrt(c.head_dim))).view(batch, length, c.num_key_value_heads, groups, c.head_dim).permute(0, 2, 3, 1, 4)
        k, v = k.permute(0, 2, 3, 1), v.permute(0, 2, 1, 3)
        out = []
        for first in range(0, length, QUERY_BLOCK):
            end = min(first + QUERY_BLOCK, length)
            rows = q[:, :, :, first:end].reshape(batch, c.num_key_value_heads, groups * (end - first), c.head_dim)
            scores = (rows @ k[..., :end]).view(batch, c.num_key_value_heads, groups, end - first, end)
            weights = torch.softmax(scores + mask[first:end, :end], -1).view(batch, c.num_key_value_heads, groups * (end - first), end)
            out.append((weights @ v[:, :, :end]).view(batch, c.num_key_value_heads, groups, end - first, c.head_dim))
        return self.o_proj(torch.cat(out, 3).permute(0, 3, 1, 2, 4).reshape(batch, length, -1))


def rotate(x, cos, sin):
    """Rotary positions over halves; x: [batch, length, heads, head_dim], cos and sin: [length, 1, head_dim / 2]."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RMSNorm(c.hidden_size, c.rms_norm_eps)
        self.mlp = Mlp(c)

    def forward(self, x, cos, sin, mask):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.model = nn.ModuleDict({"embed_tokens": nn.Embedding(c.vocab_size, c.hidden_size),
                                    "layers": nn.ModuleList(Block(c) for _ in range(c.num_hidden_layers)),
                                    "norm": RMSNorm(c.hidden_size, c.rms_norm_eps)})
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * c.num_hidden_layers) if residual else 0.02)
        angles = torch.arange(c.max_position_embeddings)[:, None] * c.rope_theta ** (-torch.arange(0, c.head_dim, 2) / c.head_dim)[None]
        self.angles = angles[:, None, :]           # [positions, 1, head_dim / 2]

    def forward(self, ids):
        """ids: [batch, length] of int64; returns logits [batch, length, vocabulary]."""
        weight = self.model["embed_tokens"].weight
        x, length = F.embedding(ids, weight), ids.shape[1]
        angles = self.angles[:length]
        mask = torch.full((length, length), float("-inf")).triu(1)
        cos, sin, mask = angles.cos().to(x.dtype), angles.sin().to(x.dtype), mask.to(x.dtype)
        for layer in self.model["layers"]:
            x = layer(x, cos, sin, mask)
        return F.linear(self.model["norm"](x), weight)
