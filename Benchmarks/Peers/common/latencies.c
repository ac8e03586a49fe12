#include "latencies.h"

// Values from 256 << shift to 511 << shift have 256 buckets of their own.
static unsigned bucket_of(uint64_t value) {
    unsigned bits = value ? 64 - (unsigned)__builtin_clzll(value) : 0;
    unsigned shift = bits > 9 ? bits - 9 : 0;
    unsigned bucket = shift * 256 + (unsigned)(value >> shift);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

// The middle of the values that a bucket counts.
static double value_of(unsigned bucket) {
    if (bucket < 512) return bucket;
    unsigned shift = bucket / 256 - 1;
    uint64_t first = (uint64_t)(bucket - shift * 256) << shift;
    return (double)first + (double)(1ULL << shift) / 2;
}

void latencies_record(struct latencies *latencies, uint64_t nanoseconds) {
    latencies->counts[bucket_of(nanoseconds)] += 1;
    latencies->count += 1;
}

double latencies_percentile(const struct latencies *latencies, double fraction) {
    double wanted = fraction * (double)latencies->count;
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
        seen += latencies->counts[bucket];
        if (seen > 0 && (double)seen >= wanted) return value_of(bucket) / 1000;
    }
    return 0;
}
