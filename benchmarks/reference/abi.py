# Generated from nativelm.h by tools/BindingGenerator. Do not edit: run scripts/bindings.sh.
"""The ABI of NativeLM's backends as ctypes declarations. Pointers are plain addresses."""

import ctypes
import enum

ABI_VERSION = 1
ABI_HASH = 0x908a062c7d916264


class StatusCode(enum.IntEnum):  # nlm_status
    Ok = 0
    InvalidArgument = 1
    Unsupported = 2
    OutOfMemory = 3
    DeviceError = 4
    DeviceLost = 5
    Internal = 6


class Backend(enum.IntEnum):  # nlm_backend
    Cpu = 0
    Cuda = 1
    Emulated = 2


class DType(enum.IntEnum):  # nlm_dtype
    F32 = 0
    BF16 = 1
    F16 = 2
    I32 = 3


class Isa(enum.IntEnum):  # nlm_isa
    Auto = 0
    Scalar = 1
    Avx2 = 2
    Avx512 = 3
    Avx512BF16 = 4
    Amx = 5


class MemoryKind(enum.IntEnum):  # nlm_memory
    Device = 0
    Pinned = 1


class CopyKind(enum.IntEnum):  # nlm_copy_kind
    ToDevice = 0
    ToHost = 1
    OnDevice = 2


class WeightRole(enum.IntEnum):  # nlm_weight_role
    Plain = 0
    Gate = 1
    Up = 2


class Epilogue(enum.IntEnum):  # nlm_epilogue
    NONE = 0
    SiluMul = 1
    Relu = 2
    Gelu = 3
    GeluTanh = 4
    GeluTanhMul = 5


class NormKind(enum.IntEnum):  # nlm_norm_kind
    Rms = 0
    Layer = 1


class RopeStyle(enum.IntEnum):  # nlm_rope_style
    NONE = 0
    HalfSplit = 1
    Interleaved = 2


class SwapDirection(enum.IntEnum):  # nlm_swap
    Out = 0
    In = 1


class SampleFlags(enum.IntEnum):  # nlm_sample_flag
    Nonfinite = 1
    NothingAllowed = 2


class DeviceOptions(ctypes.Structure):  # nlm_device_options
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("ordinal", ctypes.c_int32),
        ("thread_count", ctypes.c_int32),
        ("isa", ctypes.c_int32),
    ]


class DeviceInfo(ctypes.Structure):  # nlm_device_info
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("backend", ctypes.c_int32),
        ("isa", ctypes.c_int32),
        ("thread_count", ctypes.c_int32),
        ("memory_bytes_total", ctypes.c_int64),
        ("memory_bytes_free", ctypes.c_int64),
        ("compute_capability", ctypes.c_int32),
        ("multiprocessors", ctypes.c_int32),
        ("name", ctypes.c_char * 128),
        ("driver", ctypes.c_char * 128),
    ]


class PackWeightArgs(ctypes.Structure):  # nlm_pack_weight_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("type", ctypes.c_int32),
        ("packed", ctypes.c_void_p),
        ("source", ctypes.c_void_p),
        ("type_source", ctypes.c_int32),
        ("role", ctypes.c_int32),
        ("n", ctypes.c_int32),
        ("k", ctypes.c_int32),
        ("row_offset", ctypes.c_int32),
        ("source_rows", ctypes.c_int32),
    ]


class GemmArgs(ctypes.Structure):  # nlm_gemm_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("epilogue", ctypes.c_int32),
        ("out", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("residual", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("workspace_bytes", ctypes.c_int64),
        ("x_stride", ctypes.c_int64),
        ("out_stride", ctypes.c_int64),
        ("rows_max", ctypes.c_int32),
        ("n", ctypes.c_int32),
        ("k", ctypes.c_int32),
        ("type_x", ctypes.c_int32),
        ("type_weight", ctypes.c_int32),
        ("type_out", ctypes.c_int32),
    ]


class EmbedArgs(ctypes.Structure):  # nlm_embed_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("type_out", ctypes.c_int32),
        ("out", ctypes.c_void_p),
        ("ids", ctypes.c_void_p),
        ("table", ctypes.c_void_p),
        ("position_table", ctypes.c_void_p),
        ("positions", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("rows_max", ctypes.c_int32),
        ("vocabulary", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        ("position_rows", ctypes.c_int32),
        ("position_offset", ctypes.c_int32),
        ("type_table", ctypes.c_int32),
        ("scale", ctypes.c_float),
    ]


class NormArgs(ctypes.Structure):  # nlm_norm_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("kind", ctypes.c_int32),
        ("out", ctypes.c_void_p),
        ("residual_out", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("residual_in", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("x_stride", ctypes.c_int64),
        ("out_stride", ctypes.c_int64),
        ("rows_max", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        ("type", ctypes.c_int32),
        ("epsilon", ctypes.c_float),
        ("weight_offset", ctypes.c_float),
    ]


class ActivateArgs(ctypes.Structure):  # nlm_activate_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("kind", ctypes.c_int32),
        ("out", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("rows_max", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        ("type", ctypes.c_int32),
    ]


class GatherRowsArgs(ctypes.Structure):  # nlm_gather_rows_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("type", ctypes.c_int32),
        ("out", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("indices", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("rows_max", ctypes.c_int32),
        ("x_rows", ctypes.c_int32),
        ("columns", ctypes.c_int32),
    ]


class KvCache(ctypes.Structure):  # nlm_kv_cache
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("type", ctypes.c_int32),
        ("data", ctypes.c_void_p),
        ("block_count", ctypes.c_int32),
        ("block_size", ctypes.c_int32),
        ("layer_count", ctypes.c_int32),
        ("kv_head_count", ctypes.c_int32),
        ("head_dim", ctypes.c_int32),
    ]


class WriteKvArgs(ctypes.Structure):  # nlm_write_kv_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("type", ctypes.c_int32),
        ("q_out", ctypes.c_void_p),
        ("cache", ctypes.c_void_p),
        ("qkv", ctypes.c_void_p),
        ("q_norm", ctypes.c_void_p),
        ("k_norm", ctypes.c_void_p),
        ("rope_table", ctypes.c_void_p),
        ("positions", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("rows_max", ctypes.c_int32),
        ("q_head_count", ctypes.c_int32),
        ("layer", ctypes.c_int32),
        ("positions_max", ctypes.c_int32),
        ("rotary_dim", ctypes.c_int32),
        ("rope_style", ctypes.c_int32),
        ("norm_epsilon", ctypes.c_float),
    ]


class PagedAttentionArgs(ctypes.Structure):  # nlm_paged_attention_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("type", ctypes.c_int32),
        ("out", ctypes.c_void_p),
        ("q", ctypes.c_void_p),
        ("cache", ctypes.c_void_p),
        ("query_starts", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
        ("table_rows", ctypes.c_void_p),
        ("block_tables", ctypes.c_void_p),
        ("sequences", ctypes.c_void_p),
        ("alibi_slopes", ctypes.c_void_p),
        ("sinks", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("workspace_bytes", ctypes.c_int64),
        ("rows_max", ctypes.c_int32),
        ("sequences_max", ctypes.c_int32),
        ("q_head_count", ctypes.c_int32),
        ("layer", ctypes.c_int32),
        ("table_count", ctypes.c_int32),
        ("table_stride", ctypes.c_int32),
        ("length_max", ctypes.c_int32),
        ("split_keys", ctypes.c_int32),
        ("window", ctypes.c_int32),
        ("query_rows_max", ctypes.c_int32),
        ("scale", ctypes.c_float),
        ("softcap", ctypes.c_float),
    ]


class SampleRow(ctypes.Structure):  # nlm_sample_row
    _fields_ = [
        ("seed", ctypes.c_uint64),
        ("position", ctypes.c_int32),
        ("forced_token", ctypes.c_int32),
        ("temperature", ctypes.c_float),
        ("top_p", ctypes.c_float),
        ("min_p", ctypes.c_float),
        ("top_k", ctypes.c_int32),
        ("repetition_penalty", ctypes.c_float),
        ("presence_penalty", ctypes.c_float),
        ("frequency_penalty", ctypes.c_float),
        ("count_row", ctypes.c_int32),
        ("mask_row", ctypes.c_int32),
        ("bias_start", ctypes.c_int32),
        ("bias_count", ctypes.c_int32),
        ("top_logprobs", ctypes.c_int32),
    ]


class SampleResult(ctypes.Structure):  # nlm_sample_result
    _fields_ = [
        ("token", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("logprob", ctypes.c_float),
        ("flags", ctypes.c_int32),
    ]


class SampleArgs(ctypes.Structure):  # nlm_sample_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("rows_max", ctypes.c_int32),
        ("results", ctypes.c_void_p),
        ("top_ids", ctypes.c_void_p),
        ("top_values", ctypes.c_void_p),
        ("processed", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
        ("parameters", ctypes.c_void_p),
        ("token_counts", ctypes.c_void_p),
        ("prompt_mask", ctypes.c_void_p),
        ("allowed_mask", ctypes.c_void_p),
        ("bias_ids", ctypes.c_void_p),
        ("bias_values", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("workspace_bytes", ctypes.c_int64),
        ("logits_stride", ctypes.c_int64),
        ("vocabulary", ctypes.c_int32),
        ("count_rows", ctypes.c_int32),
        ("mask_rows", ctypes.c_int32),
        ("bias_total", ctypes.c_int32),
        ("top_logprobs_max", ctypes.c_int32),
    ]


class FeedTokensArgs(ctypes.Structure):  # nlm_feed_tokens_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("rows_max", ctypes.c_int32),
        ("ids", ctypes.c_void_p),
        ("sources", ctypes.c_void_p),
        ("results", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("result_rows", ctypes.c_int32),
        ("vocabulary", ctypes.c_int32),
    ]


class BeamCandidate(ctypes.Structure):  # nlm_beam_candidate
    _fields_ = [
        ("row", ctypes.c_int32),
        ("token", ctypes.c_int32),
        ("score", ctypes.c_float),
        ("logprob", ctypes.c_float),
    ]


class BeamTopkArgs(ctypes.Structure):  # nlm_beam_topk_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("groups_max", ctypes.c_int32),
        ("candidates", ctypes.c_void_p),
        ("flags", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
        ("row_starts", ctypes.c_void_p),
        ("cumulative", ctypes.c_void_p),
        ("groups", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("workspace_bytes", ctypes.c_int64),
        ("logits_stride", ctypes.c_int64),
        ("rows_max", ctypes.c_int32),
        ("vocabulary", ctypes.c_int32),
        ("count", ctypes.c_int32),
    ]


class CountTokensArgs(ctypes.Structure):  # nlm_count_tokens_args
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("row", ctypes.c_int32),
        ("token_counts", ctypes.c_void_p),
        ("prompt_mask", ctypes.c_void_p),
        ("prompt", ctypes.c_void_p),
        ("output", ctypes.c_void_p),
        ("prompt_count", ctypes.c_int32),
        ("output_count", ctypes.c_int32),
        ("count_rows", ctypes.c_int32),
        ("vocabulary", ctypes.c_int32),
    ]


# Bytes of each struct in C.
SIZES = {
    DeviceOptions: 16,
    DeviceInfo: 296,
    PackWeightArgs: 48,
    GemmArgs: 112,
    EmbedArgs: 88,
    NormArgs: 104,
    ActivateArgs: 48,
    GatherRowsArgs: 56,
    KvCache: 40,
    WriteKvArgs: 112,
    PagedAttentionArgs: 152,
    SampleRow: 64,
    SampleResult: 16,
    SampleArgs: 152,
    FeedTokensArgs: 48,
    BeamCandidate: 16,
    BeamTopkArgs: 96,
    CountTokensArgs: 56,
}

# Result and parameters of each function.
FUNCTIONS = {
    "nlm_abi_version": (ctypes.c_int32, []),
    "nlm_abi_hash": (ctypes.c_uint64, []),
    "nlm_backend_kind": (ctypes.c_int32, []),
    "nlm_last_error": (ctypes.c_char_p, []),
    "nlm_isa_supported": (ctypes.c_int32, [ctypes.c_int32]),
    "nlm_device_open": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_device_close": (ctypes.c_int32, [ctypes.c_void_p]),
    "nlm_device_get_info": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_memory_allocate": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_void_p]),
    "nlm_memory_free": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_stream_create": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_stream_destroy": (ctypes.c_int32, [ctypes.c_void_p]),
    "nlm_stream_synchronize": (ctypes.c_int32, [ctypes.c_void_p]),
    "nlm_event_create": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_event_destroy": (ctypes.c_int32, [ctypes.c_void_p]),
    "nlm_event_record": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_event_synchronize": (ctypes.c_int32, [ctypes.c_void_p]),
    "nlm_event_query": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_stream_wait_event": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_copy": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32]),
    "nlm_fill": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64]),
    "nlm_graph_begin": (ctypes.c_int32, [ctypes.c_void_p]),
    "nlm_graph_end": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_graph_launch": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_graph_destroy": (ctypes.c_int32, [ctypes.c_void_p]),
    "nlm_packed_weight_bytes": (ctypes.c_int64, [ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]),
    "nlm_pack_weight": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_gemm_workspace_bytes": (ctypes.c_int64, [ctypes.c_void_p]),
    "nlm_gemm": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_embed": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_norm": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_activate": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_gather_rows": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_kv_block_bytes": (ctypes.c_int64, [ctypes.c_void_p]),
    "nlm_write_kv": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_paged_attention_workspace_bytes": (ctypes.c_int64, [ctypes.c_void_p]),
    "nlm_paged_attention": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_copy_blocks": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32]),
    "nlm_swap_blocks": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32]),
    "nlm_sample_workspace_bytes": (ctypes.c_int64, [ctypes.c_void_p]),
    "nlm_sample": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_feed_tokens": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_beam_topk_workspace_bytes": (ctypes.c_int64, [ctypes.c_void_p]),
    "nlm_beam_topk": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "nlm_count_tokens": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
}
