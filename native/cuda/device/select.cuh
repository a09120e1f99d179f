// Thresholds over the tokens of a row without sorting: narrow an interval of ratings until what lies inside fits into shared
// memory, then halve it there. Weights are integers, so no result depends on the order of the work.
#pragma once

#include "logit_scan.cuh"

namespace nlm::simt {

constexpr int list_capacity = 2048;

struct Tally {
    uint64_t weight;
    int32_t count;
    NLM_DEVICE Tally operator+(const Tally& other) const { return {weight + other.weight, count + other.count}; }
};
NLM_DEVICE Tally shuffle_xor(const Tally& tally, int mask) {
    return {shuffle_xor(tally.weight, mask), shuffle_xor(tally.count, mask)};
}

struct SelectShared {
    Array<uint64_t, list_capacity> ratings, weights;
    Array<uint32_t, 1> next;
    WarpResults<Tally> tallies;
    WarpResults<uint64_t> words;
};

// For a second reduction over the same results: waits until the first has been read.
template <typename Operation, typename T>
NLM_DEVICE T reduce_block_again(T value, T neutral, Operation operation, WarpResults<T>& results) {
    sync_threads();
    return reduce_block(value, neutral, operation, results);
}

// Items of a row's tokens. Row gives load(first, v): the values of four tokens, and ceiling(m): the largest value of a segment
// whose stored maximum is m. Segments that cannot reach `low` are not read.
template <typename Row> struct RowItems {
    const Row& row;
    const RowCut& cut;
    const float* maxima;

    // f(first token, values) for every four tokens of segments that may reach low. For whole warps.
    template <typename Function> NLM_DEVICE void each_four(uint64_t low, const Function& f) const {
        for (int base = warp_index() * warp_size; base < cut.segments; base += thread_count()) {
            const int own = base + lane_index();
            uint32_t wanted = ballot(own < cut.segments && rating_of(row.ceiling(load(maxima + own)), 0) >= low);
            for (; wanted != 0; wanted &= wanted - 1) {
                const int first = (base + first_bit(wanted) - 1) * segment_tokens + lane_index() * four;
                float v[four];
                row.load(first, v);
                f(first, v);
            }
        }
    }
    // f(rating) for every token with at least the rating `low`.
    template <typename Function> NLM_DEVICE void each(uint64_t low, const Function& f) const {
        each_four(low, [&](int first, const float(&v)[four]) {
#pragma unroll
            for (int i = 0; i < four; ++i) {
                const uint64_t rating = rating_of(v[i], first + i);
                if (first + i < cut.vocabulary && rating >= low) f(rating);
            }
        });
    }
};

// Items of a list of values in memory, rated by value and place.
struct ListItems {
    const float* values;
    int count;
    template <typename Function> NLM_DEVICE void each(uint64_t low, const Function& f) const {
        for (int i = thread_index(); i < count; i += thread_count()) {
            const uint64_t rating = rating_of(load(values + i), i);
            if (rating >= low) f(rating);
        }
    }
};

struct UnitWeight {
    NLM_DEVICE uint64_t operator()(uint64_t) const { return 1; }
};

template <typename Items, typename Weight>
NLM_DEVICE uint64_t weigh(const Items& items, const Weight& weight, uint64_t low, SelectShared& shared) {
    uint64_t sum = 0;
    items.each(low, [&](uint64_t rating) { sum += weight(rating); });
    return reduce_block_again(sum, uint64_t{0}, Sum{}, shared.words);
}

// Halves [low, high) until one of the listed items is inside and returns its rating. All items from high up weigh `above` <
// target; with the `inside` items of the list from low up they reach it.
NLM_DEVICE uint64_t search_list(uint64_t low, uint64_t high, uint64_t above, uint64_t target, int inside, SelectShared& shared) {
    const int listed = inside;
    while (inside > 1) {
        const uint64_t middle = low + (high - low) / 2;
        Tally upper{0, 0};
        for (int i = thread_index(); i < listed; i += thread_count())
            if (shared.ratings[i] >= middle && shared.ratings[i] < high) upper = upper + Tally{shared.weights[i], 1};
        upper = reduce_block_again(upper, Tally{0, 0}, Sum{}, shared.tallies);
        if (above + upper.weight >= target) {
            low = middle;
            inside = upper.count;
        } else {
            high = middle;
            above += upper.weight;
            inside -= upper.count;
        }
    }
    uint64_t last = 0;
    for (int i = thread_index(); i < listed; i += thread_count())
        if (shared.ratings[i] >= low && shared.ratings[i] < high) last = shared.ratings[i];
    return reduce_block_again(last, uint64_t{0}, Maximum{}, shared.words);
}

// Where a threshold is looked for: from `first` up, then further down. They descend; `last` is the lowest allowed.
struct Lows {
    uint64_t first, second, last;
    NLM_DEVICE explicit Lows(uint64_t only) : first(only), second(only), last(only) {}
    NLM_DEVICE Lows(uint64_t first, uint64_t second, uint64_t last) : first(first), second(second), last(last) {}
};

// The rating t of an item such that the items from t up are the fewest whose weights reach the target (at least 1), or the
// lowest allowed rating if all from there up weigh less. For the whole block; every thread gets the result.
template <typename Items, typename Weight>
NLM_DEVICE uint64_t threshold(const Items& items, const Weight& weight, const Lows& lows, uint64_t target, SelectShared& shared) {
    uint64_t low = lows.first, next = lows.second, high = nonfinite_rating, above = 0;
    while (true) {
        const uint64_t quarter = (high - low) / 4;
        Tally from[4] = {}; // items of [low + i · quarter, high)
        bool room = true;
        sync_threads();
        if (thread_index() == 0) shared.next[0] = 0;
        sync_threads();
        items.each(low, [&](uint64_t rating) {
            if (rating >= high) return;
            const uint64_t w = weight(rating);
#pragma unroll
            for (int i = 0; i < 4; ++i)
                if (rating >= low + static_cast<uint64_t>(i) * quarter) from[i] = from[i] + Tally{w, 1};
            if (!room) return;
            const uint32_t place = atomic_add(&shared.next[0], 1u);
            room = place < list_capacity;
            if (!room) return;
            shared.ratings[static_cast<int>(place)] = rating;
            shared.weights[static_cast<int>(place)] = w;
        });
        from[0] = reduce_block_again(from[0], Tally{0, 0}, Sum{}, shared.tallies);
        if (above + from[0].weight < target) {
            if (low == lows.last) return lows.last;
            above += from[0].weight;
            high = low;
            low = next;
            next = lows.last;
            continue;
        }
        if (from[0].count <= list_capacity) return search_list(low, high, above, target, from[0].count, shared);
        uint64_t narrow_low = low, narrow_high = high, heavier = 0;
        bool found = false;
#pragma unroll
        for (int i = 3; i > 0; --i) {
            from[i] = reduce_block_again(from[i], Tally{0, 0}, Sum{}, shared.tallies);
            if (found) continue;
            found = above + from[i].weight >= target;
            (found ? narrow_low : narrow_high) = low + static_cast<uint64_t>(i) * quarter;
            if (!found) heavier = from[i].weight;
        }
        low = narrow_low;
        high = narrow_high;
        above += heavier;
    }
}

// Lists all items from `low` up, at most list_capacity, in any order; returns their number. For the whole block.
template <typename Items> NLM_DEVICE int list_items(const Items& items, uint64_t low, SelectShared& shared) {
    sync_threads();
    if (thread_index() == 0) shared.next[0] = 0;
    sync_threads();
    items.each(low, [&](uint64_t rating) { shared.ratings[static_cast<int>(atomic_add(&shared.next[0], 1u))] = rating; });
    sync_threads();
    return static_cast<int>(shared.next[0]);
}

// f(place, rating) for every listed item, place 0 the best: a rating's place is the number of better ones.
template <typename Function> NLM_DEVICE void each_placed(SelectShared& shared, int listed, const Function& f) {
    for (int i = thread_index(); i < listed; i += thread_count()) {
        const uint64_t rating = shared.ratings[i];
        int place = 0;
        for (int other = 0; other < listed; ++other) place += shared.ratings[other] > rating;
        f(place, rating);
    }
}

// The lowest rating of the value that is the rank-th largest of the segment maxima: at least `rank` tokens reach it. 0 if there
// are fewer segments.
NLM_DEVICE uint64_t low_for_rank(int rank, const float* maxima, int segments, SelectShared& shared) {
    if (rank > segments) return 0;
    const ListItems all{maxima, segments};
    const uint64_t last = threshold(all, UnitWeight{}, Lows{0}, static_cast<uint64_t>(rank), shared);
    return lowest_rating(value_of(last));
}

} // namespace nlm::simt
