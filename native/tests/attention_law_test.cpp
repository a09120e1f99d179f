// The law of attention, bit for bit: a row's bits depend on its q and on the K and V it sees, not on how it came, whether
// decoded, verified as part of a draft, or in a chunk of any size, and not on which kernel took it.
#include "attention_cases.h"

using namespace nlm::tests;

namespace {

// Chunks of the given sizes, the last one repeated until the sequence is done.
std::vector<Step> in_chunks(int32_t length, const std::vector<int32_t>& sizes) {
    std::vector<Step> steps;
    for (int32_t done = 0; done < length;) {
        const int32_t size = std::min(sizes[std::min(steps.size(), sizes.size() - 1)], length - done);
        steps.push_back({{0, size}});
        done += size;
    }
    return steps;
}

const char* describe(const AttentionCase& c) {
    static char text[160];
    std::snprintf(text, sizeof text, "type %d heads %d/%d dim %d block %d window %d split %d softcap %g%s%s%s", c.type, c.q_heads,
                  c.kv_heads, c.head_dim, c.block_size, c.window, c.split_keys, static_cast<double>(c.softcap),
                  c.alibi ? " alibi" : "", c.sinks ? " sinks" : "", c.hints ? " hints" : "");
    return text;
}

void check_rows_however_they_come(const AttentionCase& c, nlm_isa isa) {
    const int32_t length = c.lengths[0];
    AttentionRun whole(c, isa, 2);
    whole.run(in_chunks(length, {length}));
    AttentionCase hinted = c;
    hinted.hints = true;
    for (const std::vector<int32_t>& sizes : {std::vector<int32_t>{length - 5, 1}, {length - 30, 8}, {40, 9, 1, 2, 3, 64}}) {
        AttentionRun other(hinted, isa, 2, 5);
        other.run(in_chunks(length, sizes));
        CHECK(whole.output(0).data == other.output(0).data, "%s %s: first %d then %d rows", target_name(isa), describe(c),
              sizes[0], sizes[1]);
    }
}

} // namespace

TEST("Decoded_verified_and_prefilled_rows_have_the_same_bits_for_every_head_dim") {
    for (const nlm_isa isa : targets()) {
        for (const int32_t head_dim : {8, 20, 40, 64, 80, 96, 128, 160, 256}) {
            AttentionCase c;
            c.type = c.cache_type = head_dim % 3 == 1 ? NLM_F16 : NLM_BF16;
            c.head_dim = head_dim;
            c.q_heads = head_dim == 64 ? 8 : 3;
            c.kv_heads = 1;
            c.lengths = {134};
            check_rows_however_they_come(c, isa);
        }
    }
}

TEST("Decoded_verified_and_prefilled_rows_have_the_same_bits_under_every_mask") {
    for (const nlm_isa isa : targets()) {
        for (const int32_t type : float_types()) {
            for (const int32_t window : {0, 1, 63, 64, 65, 130}) {
                AttentionCase c;
                c.type = c.cache_type = type;
                c.window = window;
                c.block_size = window % 2 ? 8 : 24;
                c.softcap = window == 63 || window == 130 ? 4.0f : 0.0f;
                c.alibi = window == 65 || window == 130;
                c.sinks = window == 1 || window == 64;
                c.split_keys = window == 130 ? 128 : 64;
                c.lengths = {200};
                check_rows_however_they_come(c, isa);
            }
        }
    }
}

TEST("Rows_at_the_edges_of_tiles_and_splits_have_the_same_bits_decoded_and_prefilled") {
    for (const nlm_isa isa : targets()) {
        for (const int32_t length : {63, 64, 65, 127, 128, 129, 192, 193, 255, 256, 257}) {
            AttentionCase c;
            c.type = c.cache_type = NLM_BF16;
            c.split_keys = 128;
            c.lengths = {length};
            AttentionRun whole(c, isa, 1), decoded(c, isa, 1, 9);
            whole.run(in_chunks(length, {length}));
            decoded.run(in_chunks(length, {length - 1, 1}));
            CHECK(whole.output(0).data == decoded.output(0).data, "%s length %d", target_name(isa), length);
        }
    }
}

TEST("Random_batches_in_random_chunks_have_the_bits_of_each_sequence_alone") {
    for (const nlm_isa isa : targets()) {
        for (uint64_t seed = 1; seed <= 12; seed++) {
            Random random(seed);
            AttentionCase c;
            c.type = c.cache_type = random.integer(0, 3) == 0 ? NLM_F16 : random.integer(0, 5) == 0 ? NLM_F32 : NLM_BF16;
            c.kv_heads = random.integer(1, 2);
            c.q_heads = c.kv_heads * random.integer(1, 5);
            c.head_dim = 2 * random.integer(4, 48);
            c.block_size = 8 * random.integer(1, 6);
            c.window = random.integer(0, 2) == 0 ? random.integer(1, 150) : 0;
            c.split_keys = 64 * random.integer(1, 2);
            c.softcap = random.integer(0, 3) == 0 ? 6.0f : 0.0f;
            c.alibi = random.integer(0, 3) == 0;
            c.sinks = random.integer(0, 3) == 0;
            c.hints = random.integer(0, 1) == 0;
            const int32_t most = random.integer(1, 2) == 1 ? 8 : 90; // rows of a sequence in a step
            c.lengths.clear();
            for (int i = random.integer(2, 4); i > 0; i--) c.lengths.push_back(random.integer(1, most == 8 ? 40 : 180));
            AttentionRun batch(c, isa, 2, seed);
            std::vector<int32_t> done(c.lengths.size(), 0);
            for (bool more = true; more;) {
                Step step;
                more = false;
                for (size_t i = 0; i < c.lengths.size(); i++) {
                    const int32_t left = c.lengths[i] - done[i], count = std::min(left, random.integer(0, most));
                    if (count > 0) step.push_back({i, count});
                    done[i] += count;
                    more = more || done[i] < c.lengths[i];
                }
                if (!step.empty()) batch.run(step);
            }
            AttentionRun alone(c, isa, 1);
            for (size_t i = 0; i < c.lengths.size(); i++) {
                alone.run(Step{{i, c.lengths[i]}});
                CHECK(alone.output(i).data == batch.output(i).data, "%s seed %llu %s: sequence %zu of %d tokens",
                      target_name(isa), static_cast<unsigned long long>(seed), describe(c), i, c.lengths[i]);
            }
        }
    }
}

TEST("A_sequence_whose_states_find_no_room_has_the_bits_of_one_whose_states_do") {
    // Two sequences with the same q over the same blocks. A backend that keeps at most 2^17 states of splits has room for one.
    constexpr int32_t rows = 4, heads = 64, dim = 8, block_size = 128, length = 257 * 64 - 3, blocks = (length + 127) / 128;
    TestDevice device;
    nlm_kv_cache cache{sizeof cache, NLM_BF16, nullptr, blocks, block_size, 1, 1, dim};
    std::vector<unsigned char> bytes(static_cast<size_t>(nlm_kv_block_bytes(&cache) * blocks));
    Matrix values(NLM_BF16, 1, static_cast<int64_t>(bytes.size()) / 2), q(NLM_BF16, rows, int64_t{heads} * dim);
    values.randomize(3, 1);
    q.randomize(4, 1);
    std::copy(values.data.begin(), values.data.end(), bytes.begin());
    const Buffer<unsigned char> pool(device, bytes);
    cache.data = pool.data();
    std::vector<unsigned char> twice = q.data;
    twice.insert(twice.end(), q.data.begin(), q.data.end());
    const Buffer<unsigned char> queries(device, twice), out(device, twice.size());
    const Buffer<int32_t> starts(device, {0, rows, 2 * rows}), lengths(device, {length, length}), table_rows(device, {0, 0});
    std::vector<int32_t> ids(blocks);
    std::iota(ids.begin(), ids.end(), 0);
    const Buffer<int32_t> tables(device, ids);
    nlm_paged_attention_args args{};
    args.size = sizeof args;
    args.type = NLM_BF16;
    args.out = out.data();
    args.q = queries.data();
    args.cache = &cache;
    args.query_starts = starts.data();
    args.lengths = lengths.data();
    args.table_rows = table_rows.data();
    args.block_tables = tables.data();
    args.rows_max = 2 * rows;
    args.sequences_max = 2;
    args.q_head_count = heads;
    args.table_count = 1;
    args.table_stride = blocks;
    args.length_max = blocks * block_size;
    args.split_keys = 64;
    args.query_rows_max = rows;
    args.scale = 2;
    args.workspace_bytes = nlm_paged_attention_workspace_bytes(&args);
    const Buffer<unsigned char> workspace(device, static_cast<size_t>(args.workspace_bytes));
    args.workspace = workspace.data();
    require_ok(nlm_paged_attention(device.stream(), &args), "nlm_paged_attention");
    const std::vector<unsigned char> found = out.read();
    const auto middle = found.begin() + static_cast<std::ptrdiff_t>(found.size() / 2);
    CHECK(std::equal(found.begin(), middle, middle), "the two sequences differ");
    CHECK(std::any_of(found.begin(), middle, [](unsigned char byte) { return byte != 0; }), "nothing was written");
}
