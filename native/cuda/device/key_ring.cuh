// K and V on their way from the cache to the matrix products: a ring of buffers of some keys each, filled by asynchronous copies,
// shared by a warp or by a block. Tiles of 64 keys come ascending, each as its K buffers, then its V buffers.
//
// A row of a buffer is one key's head in 16-byte chunks, zeros past the head's dims and for keys outside the range: what no row
// sees may be NaN, and 0 · NaN is NaN. Chunk c of row r lies at c ^ swizzle(r), so that the eight rows of an ldmatrix meet eight
// different banks.
#pragma once

#include "attention_call.cuh"

namespace nlm::simt {

using Chunk = Vec<uint32_t, 4>;

// body(std::integral_constant) for First to Last - 1.
template <int First, int Last, typename Body> NLM_DEVICE void static_for(const Body& body) {
    if constexpr (First < Last) {
        body(std::integral_constant<int, First>{});
        static_for<First + 1, Last>(body);
    }
}

template <int Dim> struct KeyRow {
    static constexpr int chunks = Dim / 8;
    // Largest power of two that divides the row's chunks, at most 8: rows that lie 8 / span apart would share banks.
    static constexpr int span = chunks % 8 == 0 ? 8 : chunks % 4 == 0 ? 4 : 2;
    static NLM_DEVICE int swizzle(int row) { return row / (8 / span) % span; }
    static NLM_DEVICE int place(int row, int chunk) { return row * chunks + (chunk ^ swizzle(row)); }
};

template <int Dim, int Keys, int Buffers> struct KeyRingShared {
    Array<Chunk, Buffers * Keys * KeyRow<Dim>::chunks> chunks;
    Array<int32_t, 2 * key_tile / group_tokens> groups; // of two tiles: where in the pool each group of 8 tokens lies
};

// Threads: 32, each warp has its own ring, or the whole block's. A tile takes `steps` buffers, a multiple of Buffers, so that
// which buffer a step uses is known when this is compiled.
template <int Dim, int Keys, int Buffers, int Threads> class KeyRing {
public:
    using Shared = KeyRingShared<Dim, Keys, Buffers>;
    static constexpr int keys = Keys;
    static constexpr int steps = 2 * key_tile / Keys; // first K, then V
    static_assert(steps % Buffers == 0, "a tile takes whole rounds of the ring");

    NLM_DEVICE KeyRing(Shared& shared, const AttentionCall& call) : shared_(shared), call_(call) {}

    // Starts to fetch keys [begin, end) of one head of a sequence.
    NLM_DEVICE void open(const SequencePlan& sequence, int kv_head, int begin, int end) {
        table_ = call_.block_tables + int64_t{sequence.table_row} * call_.table_stride;
        kv_head_ = kv_head;
        begin_ = begin;
        end_ = end;
        const int tile = begin / key_tile * key_tile;
        synchronize(); // what was fetched before has been read
        locate(tile);
        synchronize();
        static_for<0, Buffers - 1>([&](auto step) { fill<step>(tile); });
    }

    // First chunk of the buffer of this step of a tile. It may be read until the next call.
    template <int Step> NLM_DEVICE int next(int tile) {
        cp_async_wait<Buffers - 2>();
        synchronize();
        constexpr int ahead = Step + Buffers - 1; // goes into the buffer that everybody has left
        fill<ahead % steps>(ahead < steps ? tile : tile + key_tile);
        return Step % Buffers * buffer_chunks;
    }

    // A kernel ends with every group of copies waited for, empty ones too.
    NLM_DEVICE void close() { cp_async_wait<0>(); }

    NLM_DEVICE Chunk* chunk(int first, int row, int chunk) { return &shared_.chunks[first + Row::place(row, chunk)]; }

private:
    using Row = KeyRow<Dim>;
    static constexpr int tile_groups = key_tile / group_tokens;
    static constexpr int buffer_chunks = Keys * Row::chunks;
    static constexpr int at_once = Dim <= 128 ? 8 : 2; // copies whose addresses are held together: wide heads leave few registers

    static NLM_DEVICE void synchronize() {
        if constexpr (Threads == warp_size)
            sync_warp();
        else
            sync_threads();
    }
    static NLM_DEVICE int thread() { return thread_index() % Threads; }
    static NLM_DEVICE int group_index(int tile, int key) { return tile / key_tile % 2 * tile_groups + key / group_tokens; }

    // Looks up the blocks of a tile, at least one barrier before they are used. An id that no pool has gives block 0: what is
    // read through it means nothing anyway.
    NLM_DEVICE void locate(int tile) {
        if (thread() >= tile_groups) return;
        const int token = tile + thread() * group_tokens;
        int32_t group = 0;
        if (token + group_tokens > begin_ && token < end_) {
            const int block = load_readonly(table_ + token / call_.pool.block_size);
            group = call_.pool.group(call_.pool.has_block(block) ? block : 0, kv_head_, token % call_.pool.block_size);
        }
        shared_.groups[group_index(tile, thread() * group_tokens)] = group;
    }

    // Starts the copies of one buffer, or of none past the last tile: every step is a group of copies of its own.
    template <int Step> NLM_DEVICE void fill(int tile) {
        constexpr bool values = Step >= steps / 2;
        constexpr int first = Step % (steps / 2) * Keys; // key of the tile
        if (tile < end_) {
            if (Step == 0) locate(tile + key_tile);
            const int thread = recomputed(thread_index()) & (Threads - 1);
            const char* data = call_.pool.data + (values ? call_.pool.half_bytes : 0);
            const int row_bytes = call_.pool.row_bytes;
            const int low = begin_ - tile - first; // rows from here to the last key exist
            const unsigned rows = static_cast<unsigned>(end_ - begin_);
#pragma unroll at_once
            for (int i = 0; i < buffer_chunks / Threads; ++i) {
                const int index = thread + i * Threads, row = index / Row::chunks, chunk = index % Row::chunks;
                const bool valid = static_cast<unsigned>(row - low) < rows && chunk * 16 < row_bytes;
                const char* group = data + shared_.groups[group_index(tile, first + row)] * group_unit;
                cp_async16(&shared_.chunks[Step % Buffers * buffer_chunks + Row::place(row, chunk)],
                           group + (row % group_tokens * row_bytes + chunk * 16), valid);
            }
        }
        cp_async_commit();
    }

    Shared& shared_;
    const AttentionCall& call_;
    const int32_t* table_ = nullptr;
    int kv_head_ = 0, begin_ = 0, end_ = 0;
};

} // namespace nlm::simt
