/*
 * A benchmark's baseline, not part of the ABI: decode attention as the PagedAttention paper describes it (SOSP 2023, section 4.3;
 * its one-pass kernel), written anew and straightforwardly. One block of threads per (sequence, query head); groups of threads
 * take one key each, 16 bytes at a time; all logits of a row lie in shared memory; no matrix products, no splits, and every query
 * head reads its K and V for itself. libnativelm_cuda and libnativelm_emulated export it.
 */
#ifndef NATIVELM_PAPER_ATTENTION_H
#define NATIVELM_PAPER_ATTENTION_H

#include "nativelm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The paper's cache, laid out for this kernel alone: not the cache of nlm_write_kv. x is 8, the elements of 16 bytes. */
typedef struct nlm_bench_paper_attention_args {
    uint32_t size;
    int32_t type;                /* BF16 or F16, of every tensor here */
    void* out;                   /* [sequences, q_heads, head_dim] */
    const void* q;               /* [sequences, q_heads, head_dim] */
    const void* k_cache;         /* [blocks, kv_heads, head_dim / x, block_size, x] */
    const void* v_cache;         /* [blocks, kv_heads, head_dim, block_size] */
    const int32_t* lengths;      /* device [sequences] keys; a sequence of none is left alone */
    const int32_t* block_tables; /* device [sequences, table_stride] block ids, all of them valid */
    int32_t sequences, q_head_count, kv_head_count;
    int32_t head_dim;   /* 64 or 128 */
    int32_t block_size; /* 8, 16, 32, 64 or 128 */
    int32_t table_stride;
    int32_t length_max; /* largest of lengths; 4 bytes each of a block's shared memory */
    float scale;
} nlm_bench_paper_attention_args;

NLM_API int32_t nlm_bench_paper_attention(nlm_stream* stream, const nlm_bench_paper_attention_args* args);

#ifdef __cplusplus
}
#endif

#endif
