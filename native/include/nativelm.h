/*
 * NativeLM: the one ABI between managed code and every backend (cpu, cuda, emulated).
 *
 * C11, fixed-width types, opaque handles. Rules:
 *  - Every function returns an nlm_status; nlm_last_error() has the message of this thread's last failure.
 *    No exception, abort or output crosses the boundary. Functions that only report a fact return it directly.
 *  - Wide ops take one const struct whose first field is its own size in bytes (an older caller is refused clearly).
 *  - Order of fields: outputs, inputs, weights, dimensions, scalars. Strides are in elements, sizes in bytes (int64_t).
 *  - Tensor pointers are device pointers (host pointers on cpu and emulated), 64-byte aligned at the start of a buffer.
 *  - Host counts are limits of the launch; a true count that varies per step may come by device pointer (`rows`).
 *  - Ops never allocate, never synchronise and never read device data on the host. The engine owns all memory.
 *  - Batch invariance: the bits of a row of any output depend on that row's inputs and on device options only.
 */
#ifndef NATIVELM_H
#define NATIVELM_H

#include <stdint.h>

#if defined(_WIN32)
#define NLM_API __declspec(dllexport)
#else
#define NLM_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- status ---------------------------------------------------------------------------------------------------- */

typedef enum nlm_status {
    NLM_OK = 0,
    NLM_INVALID_ARGUMENT = 1, /* a caller's bug: the message names symbol, argument, expected and found */
    NLM_UNSUPPORTED = 2,      /* this backend or machine cannot do it: the message says what can */
    NLM_OUT_OF_MEMORY = 3,
    NLM_DEVICE_ERROR = 4, /* this call failed, the device goes on */
    NLM_DEVICE_LOST = 5,  /* sticky: the process must stop using the device */
    NLM_INTERNAL = 6
} nlm_status;

typedef enum nlm_backend { NLM_BACKEND_CPU = 0, NLM_BACKEND_CUDA = 1, NLM_BACKEND_EMULATED = 2 } nlm_backend;

typedef enum nlm_dtype { NLM_F32 = 0, NLM_BF16 = 1, NLM_F16 = 2, NLM_I32 = 3 } nlm_dtype;

/* ABI version: raised by hand on a change of meaning. Layout changes show in the hash of the header's model. */
NLM_API int32_t nlm_abi_version(void);
NLM_API uint64_t nlm_abi_hash(void);
NLM_API int32_t nlm_backend_kind(void);
/* Message of this thread's last failed call; never null; valid until the thread's next failure. */
NLM_API const char* nlm_last_error(void);

/* ---- device ---------------------------------------------------------------------------------------------------- */

/* CPU instruction family: chosen when the device opens, an engine constant. Families differ in bits among themselves. */
typedef enum nlm_isa {
    NLM_ISA_AUTO = 0,
    NLM_ISA_SCALAR = 1,
    NLM_ISA_AVX2 = 2,
    NLM_ISA_AVX512 = 3,
    NLM_ISA_AVX512_BF16 = 4,
    NLM_ISA_AMX = 5
} nlm_isa;

typedef struct nlm_device nlm_device;
typedef struct nlm_stream nlm_stream;
typedef struct nlm_event nlm_event;
typedef struct nlm_graph nlm_graph;

typedef struct nlm_device_options {
    uint32_t size;
    int32_t ordinal;      /* device number; 0 on cpu */
    int32_t thread_count; /* cpu worker threads including the caller; 0: from affinity and cgroup quota */
    int32_t isa;          /* nlm_isa; NLM_ISA_AUTO: the best one this machine permits */
} nlm_device_options;

typedef struct nlm_device_info {
    uint32_t size;
    int32_t backend;      /* nlm_backend */
    int32_t isa;          /* nlm_isa in use; 0 on a GPU */
    int32_t thread_count; /* threads in use; 0 on a GPU */
    int64_t memory_bytes_total;
    int64_t memory_bytes_free;
    int32_t compute_capability; /* of a GPU: 90 is 9.0; 0 on cpu */
    int32_t multiprocessors;    /* of a GPU; 0 on cpu */
    char name[128];             /* processor or card */
    char driver[128];           /* driver and toolkit versions, or empty */
} nlm_device_info;

/* 1 if this machine can run the family, else 0. */
NLM_API int32_t nlm_isa_supported(int32_t isa);
NLM_API int32_t nlm_device_open(const nlm_device_options* options, nlm_device** device);
NLM_API int32_t nlm_device_close(nlm_device* device);
NLM_API int32_t nlm_device_get_info(nlm_device* device, nlm_device_info* info);

/* ---- memory ---------------------------------------------------------------------------------------------------- */

typedef enum nlm_memory { NLM_MEMORY_DEVICE = 0, NLM_MEMORY_PINNED = 1 } nlm_memory;

/* Zero-filled, 64-byte aligned. On cpu, pages cost nothing until they are touched. */
NLM_API int32_t nlm_memory_allocate(nlm_device* device, int64_t bytes, int32_t kind, void** memory);
NLM_API int32_t nlm_memory_free(nlm_device* device, void* memory);

/* ---- streams and events (in order; synchronous on cpu) --------------------------------------------------------- */

NLM_API int32_t nlm_stream_create(nlm_device* device, nlm_stream** stream);
NLM_API int32_t nlm_stream_destroy(nlm_stream* stream);
NLM_API int32_t nlm_stream_synchronize(nlm_stream* stream);
NLM_API int32_t nlm_event_create(nlm_device* device, nlm_event** event);
NLM_API int32_t nlm_event_destroy(nlm_event* event);
NLM_API int32_t nlm_event_record(nlm_event* event, nlm_stream* stream);
NLM_API int32_t nlm_event_synchronize(nlm_event* event);
/* done becomes 1 if all work recorded before the event has finished, else 0. */
NLM_API int32_t nlm_event_query(nlm_event* event, int32_t* done);
/* Work given to the stream from now on starts after the event's last record. */
NLM_API int32_t nlm_stream_wait_event(nlm_stream* stream, nlm_event* event);

typedef enum nlm_copy_kind { NLM_COPY_TO_DEVICE = 0, NLM_COPY_TO_HOST = 1, NLM_COPY_ON_DEVICE = 2 } nlm_copy_kind;

NLM_API int32_t nlm_copy(nlm_stream* stream, void* destination, const void* source, int64_t bytes, int32_t kind);
/* Sets every byte. */
NLM_API int32_t nlm_fill(nlm_stream* stream, void* destination, int32_t value, int64_t bytes);

/* ---- graphs: a sequence of ops recorded once and replayed ------------------------------------------------------ */

/*
 * Between begin and end, ops, copies and fills given to the stream are recorded, not run: with their arguments as they are now
 * and the memory they point to as it will be at each launch. Only device and pinned memory may be named; structs behind pointers
 * (nlm_kv_cache) and the pairs of nlm_copy_blocks and nlm_swap_blocks are read at record time. What reads long host lists
 * (nlm_pack_weight, nlm_count_tokens), waits, frees memory or launches a graph cannot be recorded: it is refused and voids what
 * was recorded, which nlm_graph_end then reports while it returns the stream to normal. Begin and end on one thread. A graph
 * belongs to its device and must be destroyed before the memory it names.
 */
NLM_API int32_t nlm_graph_begin(nlm_stream* stream);
NLM_API int32_t nlm_graph_end(nlm_stream* stream, nlm_graph** graph);
NLM_API int32_t nlm_graph_launch(nlm_stream* stream, nlm_graph* graph);
NLM_API int32_t nlm_graph_destroy(nlm_graph* graph);

/* ---- weights --------------------------------------------------------------------------------------------------- */

/*
 * A linear layer's weight W [n, k] lives in the backend's own packed form, which only its gemm and embed read.
 * One packed weight can be filled from several sources, so fused layers (q|k|v) need no copy of the parts.
 * Gate and up of a gated MLP are packed with roles GATE and UP into one weight of 2·f rows; the gemm epilogue
 * NLM_EPILOGUE_SILU_MUL then gives f columns. How the two are interleaved is the backend's business.
 */
typedef enum nlm_weight_role { NLM_ROLE_PLAIN = 0, NLM_ROLE_GATE = 1, NLM_ROLE_UP = 2 } nlm_weight_role;

typedef struct nlm_pack_weight_args {
    uint32_t size;
    int32_t type;        /* packed element type: F32, BF16 or F16 */
    void* packed;        /* nlm_packed_weight_bytes(type, n, k) bytes; zero-filled before the first part */
    const void* source;  /* host memory, row-major [source_rows, k] */
    int32_t type_source; /* F32, BF16 or F16; conversion rounds to nearest even */
    int32_t role;        /* nlm_weight_role */
    int32_t n, k;        /* shape of the whole packed weight; n counts gate and up together */
    int32_t row_offset;  /* first row of W that this source fills; for GATE and UP counted inside the part */
    int32_t source_rows;
} nlm_pack_weight_args;

/* Bytes of a packed weight, or -1 for arguments out of range. Never more than 64 rows and 64 columns of padding. */
NLM_API int64_t nlm_packed_weight_bytes(int32_t type, int32_t n, int32_t k);
NLM_API int32_t nlm_pack_weight(nlm_stream* stream, const nlm_pack_weight_args* args);

/* ---- linear layer ---------------------------------------------------------------------------------------------- */

typedef enum nlm_epilogue {
    NLM_EPILOGUE_NONE = 0,
    NLM_EPILOGUE_SILU_MUL = 1, /* out[:, j] = silu(gate_j) * up_j; out has n / 2 columns; needs roles GATE and UP */
    NLM_EPILOGUE_RELU = 2,
    NLM_EPILOGUE_GELU = 3,      /* erf form */
    NLM_EPILOGUE_GELU_TANH = 4, /* tanh form */
    NLM_EPILOGUE_GELU_TANH_MUL = 5
} nlm_epilogue;

/*
 * out = epilogue(x · Wᵀ + bias) + residual, fp32 accumulation, one rounding to type_out at the end.
 * Every element is one fp32 chain over ascending k in steps of the instruction family, whatever the row count.
 */
typedef struct nlm_gemm_args {
    uint32_t size;
    int32_t epilogue;     /* nlm_epilogue */
    void* out;            /* [rows, n] or [rows, n / 2], row stride out_stride */
    const void* x;        /* [rows, k], row stride x_stride; type_x */
    const void* weight;   /* packed; type_weight; BF16 needs x BF16, F16 needs x F16, F32 needs x F32 */
    const void* bias;     /* [n] type_x, or null; for gated epilogues gate then up */
    const void* residual; /* [rows, n] type_out with stride out_stride, or null; may be out itself */
    const int32_t* rows;  /* device: true row count <= rows_max, or null: rows_max */
    void* workspace;      /* nlm_gemm_workspace_bytes */
    int64_t workspace_bytes;
    int64_t x_stride, out_stride;
    int32_t rows_max, n, k;
    int32_t type_x, type_weight, type_out; /* type_out: type_x or F32 */
} nlm_gemm_args;

/* Workspace for up to rows_max rows, or -1 for arguments out of range. Pointers in args are not read. */
NLM_API int64_t nlm_gemm_workspace_bytes(const nlm_gemm_args* args);
NLM_API int32_t nlm_gemm(nlm_stream* stream, const nlm_gemm_args* args);

/* ---- embedding ------------------------------------------------------------------------------------------------- */

/* out[r] = scale * table[ids[r]] (+ position_table[positions[r] + position_offset]). The table is a packed weight [vocabulary,
 * k], so a tied embedding is held once. An id outside the vocabulary gives a row of zeros and is never read past the table. */
typedef struct nlm_embed_args {
    uint32_t size;
    int32_t type_out;           /* F32, BF16 or F16 */
    void* out;                  /* [rows, columns] dense */
    const int32_t* ids;         /* device [rows] */
    const void* table;          /* packed [vocabulary, columns], type_table */
    const void* position_table; /* row-major [position_rows, columns] type_table, or null */
    const int32_t* positions;   /* device [rows], or null without position_table */
    const int32_t* rows;        /* device true count or null */
    int32_t rows_max, vocabulary, columns, position_rows, position_offset;
    int32_t type_table;
    float scale;
} nlm_embed_args;
NLM_API int32_t nlm_embed(nlm_stream* stream, const nlm_embed_args* args);

/* ---- normalisation --------------------------------------------------------------------------------------------- */

typedef enum nlm_norm_kind { NLM_NORM_RMS = 0, NLM_NORM_LAYER = 1 } nlm_norm_kind;

/*
 * s = x + residual_in (either alone if the other is null); residual_out = s; out = norm(s) * (weight + weight_offset) + bias.
 * Statistics in fp32 with a fixed reduction tree that depends on the column count only. With residual_out null s is not stored.
 */
typedef struct nlm_norm_args {
    uint32_t size;
    int32_t kind;                 /* nlm_norm_kind */
    void* out;                    /* [rows, columns] */
    void* residual_out;           /* [rows, columns] or null; may be residual_in or x */
    const void* x;                /* [rows, columns] */
    const void* residual_in;      /* [rows, columns] or null */
    const void* weight;           /* [columns], or null: ones */
    const void* bias;             /* [columns] or null */
    const int32_t* rows;          /* device true count or null */
    int64_t x_stride, out_stride; /* row strides; residuals are dense */
    int32_t rows_max, columns;
    int32_t type; /* of every tensor here */
    float epsilon;
    float weight_offset; /* 1 for models that store weight - 1, else 0 */
} nlm_norm_args;
NLM_API int32_t nlm_norm(nlm_stream* stream, const nlm_norm_args* args);

/* ---- activation (where it is not a gemm epilogue) --------------------------------------------------------------- */

/* out[r, j] = act(x[r, j]) or, for the gated kinds, act(x[r, j]) * x[r, columns + j]. kind is an nlm_epilogue other than NONE. */
typedef struct nlm_activate_args {
    uint32_t size;
    int32_t kind;
    void* out;           /* [rows, columns] dense */
    const void* x;       /* [rows, columns] or [rows, 2 columns] dense */
    const int32_t* rows; /* device true count or null */
    int32_t rows_max, columns;
    int32_t type;
} nlm_activate_args;
NLM_API int32_t nlm_activate(nlm_stream* stream, const nlm_activate_args* args);

/* out[i] = x[indices[i]] for dense rows: picks the rows that need logits. An index < 0 leaves the row as it is. */
typedef struct nlm_gather_rows_args {
    uint32_t size;
    int32_t type;
    void* out;              /* [rows, columns] */
    const void* x;          /* [x_rows, columns] */
    const int32_t* indices; /* device [rows] */
    const int32_t* rows;    /* device true count or null */
    int32_t rows_max, x_rows, columns;
} nlm_gather_rows_args;
NLM_API int32_t nlm_gather_rows(nlm_stream* stream, const nlm_gather_rows_args* args);

/* ---- KV cache -------------------------------------------------------------------------------------------------- */

/*
 * One pool of block_count blocks of block_size token slots (a multiple of 8), block-major: a block's K and V of all layers are
 * one run of nlm_kv_block_bytes. What is inside a block is the backend's own; the engine only copies whole blocks.
 * Slot number of token t of a sequence = block_table[t / block_size] * block_size + t % block_size.
 */
typedef struct nlm_kv_cache {
    uint32_t size;
    int32_t type; /* F32, BF16 or F16 */
    void* data;   /* block_count * nlm_kv_block_bytes */
    int32_t block_count, block_size, layer_count, kv_head_count, head_dim;
} nlm_kv_cache;

/* Bytes of one block over all layers, or -1 for arguments out of range. data is not read. */
NLM_API int64_t nlm_kv_block_bytes(const nlm_kv_cache* cache);

typedef enum nlm_rope_style { NLM_ROPE_NONE = 0, NLM_ROPE_HALF_SPLIT = 1, NLM_ROPE_INTERLEAVED = 2 } nlm_rope_style;

/*
 * From the fused projection qkv: (q/k norm per head), rotary embedding on the first rotary_dim dims, then q to q_out and
 * k, v to the cache slots. Slot -1 = padding: nothing is written for that row. rope_table rows hold cos then sin, fp32.
 */
typedef struct nlm_write_kv_args {
    uint32_t size;
    int32_t type;              /* of qkv, q_out and norm weights */
    void* q_out;               /* [rows, q_heads, head_dim] dense */
    const nlm_kv_cache* cache; /* host pointer */
    const void* qkv;           /* [rows, (q_heads + 2 kv_heads) * head_dim] dense: q heads, k heads, v heads */
    const void* q_norm;        /* [head_dim] RMSNorm weight or null */
    const void* k_norm;        /* [head_dim] or null */
    const float*
        rope_table; /* device [positions_max, rotary_dim] fp32: cos[rotary_dim / 2], sin[rotary_dim / 2]; null for NONE */
    const int32_t* positions; /* device [rows]; clamped to positions_max - 1 */
    const int32_t* slots;     /* device [rows] slot number or -1 */
    const int32_t* rows;      /* device true count or null */
    int32_t rows_max, q_head_count, layer, positions_max, rotary_dim;
    int32_t rope_style; /* nlm_rope_style */
    float norm_epsilon;
} nlm_write_kv_args;
NLM_API int32_t nlm_write_kv(nlm_stream* stream, const nlm_write_kv_args* args);

/*
 * Attention of a mixed batch: prefill chunks and decode rows in one call, read through block tables.
 * Sequence s has query rows query_starts[s] .. query_starts[s + 1]; its last row sits at position lengths[s] - 1, row i from the
 * end at lengths[s] - 1 - i, and each row sees keys 0 .. its own position (or the last `window` of them).
 * Arithmetic is the same for every row, however it came: key tiles of 64 at absolute positions 64 j, fp32 state, splits of
 * split_keys at absolute positions, merged ascending. Slots past a row's position are never read into the result.
 */
typedef struct nlm_paged_attention_args {
    uint32_t size;
    int32_t type;                /* of q and out */
    void* out;                   /* [rows, q_heads, head_dim] dense */
    const void* q;               /* [rows, q_heads, head_dim] dense */
    const nlm_kv_cache* cache;   /* host pointer */
    const int32_t* query_starts; /* device [sequences + 1], ascending, first 0 */
    const int32_t* lengths;      /* device [sequences] keys including this step's */
    const int32_t* table_rows;   /* device [sequences] row of block_tables, or null: s */
    const int32_t* block_tables; /* device [table_count, table_stride] block ids */
    const int32_t* sequences;    /* device true sequence count or null: sequences_max */
    const float* alibi_slopes;   /* device [q_heads] or null */
    const float* sinks;          /* device [q_heads] extra logit per head or null */
    void* workspace;             /* nlm_paged_attention_workspace_bytes */
    int64_t workspace_bytes;
    int32_t rows_max, sequences_max, q_head_count, layer;
    int32_t table_count, table_stride;
    int32_t length_max;     /* largest lengths[s] the engine can produce */
    int32_t split_keys;     /* engine constant: multiple of 64; 0 means 256 */
    int32_t window;         /* 0: none */
    int32_t query_rows_max; /* most rows of one sequence in this call; 0: unknown. A hint: bits do not depend on it */
    float scale, softcap;   /* softcap 0: none */
} nlm_paged_attention_args;

NLM_API int64_t nlm_paged_attention_workspace_bytes(const nlm_paged_attention_args* args);
NLM_API int32_t nlm_paged_attention(nlm_stream* stream, const nlm_paged_attention_args* args);

/* Copy-on-write: for each pair copies block pairs[2 i] to pairs[2 i + 1], all layers. Destinations are distinct, and no block
 * is both source and destination. Ids outside the pool are refused (cpu) or skipped (device). */
NLM_API int32_t nlm_copy_blocks(nlm_stream* stream, const nlm_kv_cache* cache, const int32_t* pairs, int32_t pair_count);

/* Swap between the pool and a pinned host pool of host_block_count blocks: pairs are (pool block, host block), in host memory. */
typedef enum nlm_swap { NLM_SWAP_OUT = 0, NLM_SWAP_IN = 1 } nlm_swap;
NLM_API int32_t nlm_swap_blocks(nlm_stream* stream, const nlm_kv_cache* cache, void* host_pool, int32_t host_block_count,
                                const int32_t* pairs, int32_t pair_count, int32_t direction);

/* ---- sampling -------------------------------------------------------------------------------------------------- */

/* What one row needs. Plain data, filled on the host, uploaded with the step. Neutral values are named in brackets. */
typedef struct nlm_sample_row {
    uint64_t seed;            /* of the request */
    int32_t position;         /* index of the token being drawn in its sequence: with seed the whole state of the generator */
    int32_t forced_token;     /* [-1] otherwise nothing is drawn: the row reports this token's log-probability */
    float temperature;        /* 0: greedy */
    float top_p;              /* [1] */
    float min_p;              /* [0] */
    int32_t top_k;            /* [0] */
    float repetition_penalty; /* [1] over prompt and output tokens */
    float presence_penalty;   /* [0] over output tokens */
    float frequency_penalty;  /* [0] over output tokens */
    int32_t count_row;        /* row of token_counts and prompt_mask, or [-1] */
    int32_t mask_row;         /* row of allowed_mask, or [-1] */
    int32_t bias_start, bias_count; /* range in bias_ids and bias_values */
    int32_t top_logprobs;           /* [0] how many alternatives to report, <= top_logprobs_max; -1: not even the chosen one */
} nlm_sample_row;

/* What one row got. */
typedef struct nlm_sample_result {
    int32_t token; /* -1 if the row is not finite or nothing is allowed */
    int32_t rank;  /* of the token among raw logits, 1 = best (ties count as equal or better ids only if lower); 0 if not asked */
    float logprob; /* of the token: log softmax of the raw logits; 0 if not asked */
    int32_t flags; /* nlm_sample_flag bits */
} nlm_sample_result;

typedef enum nlm_sample_flag { NLM_SAMPLE_NONFINITE = 1, NLM_SAMPLE_NOTHING_ALLOWED = 2 } nlm_sample_flag;

/*
 * Order per row: allowed mask and bias, then repetition, frequency and presence penalties, temperature, min-p, top-k, top-p (each
 * over what the filter before it left), then Gumbel-max; the noise of token t is word t % 4 of philox4x32-10(key = seed,
 * counter = (t / 4, 0, position, 0)). min-p keeps what has at least min_p times the largest probability; top-k keeps everything
 * equal to the k-th value; top-p keeps the smallest set of most probable tokens whose share of the remaining mass reaches p, at
 * least one (ties: lower ids first). Greedy is argmax after mask, bias and penalties, ties to the lowest id.
 * Log-probabilities and ranks are of the raw logits. A row with NaN or +inf is flagged; -inf is a legal logit.
 */
typedef struct nlm_sample_args {
    uint32_t size;
    int32_t rows_max;
    nlm_sample_result* results; /* device [rows] */
    int32_t* top_ids;           /* device [rows, top_logprobs_max], best first, or null */
    float* top_values;          /* device [rows, top_logprobs_max] log-probabilities, or null */
    float* processed;    /* device [rows, vocabulary] (logit - best) / temperature after every filter, -inf = removed; or null */
    const float* logits; /* device [rows, logits_stride] fp32 */
    const nlm_sample_row* parameters; /* device [rows] */
    uint16_t* token_counts; /* device [count_rows, vocabulary] output tokens so far, saturating; the drawn token is counted */
    const uint32_t* prompt_mask;  /* device [count_rows, (vocabulary + 31) / 32] */
    const uint32_t* allowed_mask; /* device [mask_rows, (vocabulary + 31) / 32], or null */
    const int32_t* bias_ids;      /* device [bias_total]; ids outside the vocabulary are ignored */
    const float* bias_values;     /* device [bias_total] */
    const int32_t* rows;          /* device true count or null */
    void* workspace;              /* nlm_sample_workspace_bytes */
    int64_t workspace_bytes;
    int64_t logits_stride;
    int32_t vocabulary, count_rows, mask_rows, bias_total, top_logprobs_max;
} nlm_sample_args;

NLM_API int64_t nlm_sample_workspace_bytes(const nlm_sample_args* args);
NLM_API int32_t nlm_sample(nlm_stream* stream, const nlm_sample_args* args);

/*
 * Feeds drawn tokens to the next step without the host: where sources[r] >= 0, ids[r] = results[sources[r]].token, and 0 where
 * that is not a token of the vocabulary (the host ends that request when it reads the result); other ids stay.
 */
typedef struct nlm_feed_tokens_args {
    uint32_t size;
    int32_t rows_max;
    int32_t* ids;                     /* device [rows] */
    const int32_t* sources;           /* device [rows] row of results, or -1; out of range counts as -1 */
    const nlm_sample_result* results; /* device [result_rows] of the step before */
    const int32_t* rows;              /* device true count or null */
    int32_t result_rows, vocabulary;
} nlm_feed_tokens_args;
NLM_API int32_t nlm_feed_tokens(nlm_stream* stream, const nlm_feed_tokens_args* args);

/*
 * Beam search: for each group of rows (the beams of one request) the best `count` continuations over all of them, by
 * cumulative[row] + log softmax(logits[row])[token] in fp32; best first, ties by row then token. Tokens whose logit is -inf are
 * never reported; where fewer are left, token is -1. A row with NaN or +inf flags its group with NLM_SAMPLE_NONFINITE.
 */
typedef struct nlm_beam_candidate {
    int32_t row; /* of logits */
    int32_t token;
    float score;   /* cumulative of the row + log-probability of the token */
    float logprob; /* of the token alone */
} nlm_beam_candidate;

typedef struct nlm_beam_topk_args {
    uint32_t size;
    int32_t groups_max;
    nlm_beam_candidate* candidates; /* device [groups, count] */
    int32_t* flags;                 /* device [groups] nlm_sample_flag bits */
    const float* logits;            /* device [rows, logits_stride] fp32, after mask, bias and penalties where those apply */
    const int32_t* row_starts;      /* device [groups + 1] first row of each group, ascending */
    const float* cumulative;        /* device [rows] sum of log-probabilities so far; -inf switches a row off */
    const int32_t* groups;          /* device true count or null */
    void* workspace;                /* nlm_beam_topk_workspace_bytes */
    int64_t workspace_bytes;
    int64_t logits_stride;
    int32_t rows_max, vocabulary;
    int32_t count; /* 1 to 128: twice the beam width */
} nlm_beam_topk_args;
NLM_API int64_t nlm_beam_topk_workspace_bytes(const nlm_beam_topk_args* args);
NLM_API int32_t nlm_beam_topk(nlm_stream* stream, const nlm_beam_topk_args* args);

/* Rebuilds one row of the penalty state: clears it, then marks prompt tokens and counts output tokens (host pointers). */
typedef struct nlm_count_tokens_args {
    uint32_t size;
    int32_t row;
    uint16_t* token_counts; /* device [count_rows, vocabulary] */
    uint32_t* prompt_mask;  /* device [count_rows, (vocabulary + 31) / 32] */
    const int32_t* prompt;  /* host [prompt_count] */
    const int32_t* output;  /* host [output_count] */
    int32_t prompt_count, output_count, count_rows, vocabulary;
} nlm_count_tokens_args;
NLM_API int32_t nlm_count_tokens(nlm_stream* stream, const nlm_count_tokens_args* args);

#ifdef __cplusplus
}
#endif

#endif
