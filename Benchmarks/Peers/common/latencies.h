// A histogram of times: exact below 512 ns, above that within 0.4 %.
#ifndef PEERS_LATENCIES_H
#define PEERS_LATENCIES_H

#include <stdint.h>

enum { LATENCY_BUCKETS = 36 * 256 + 512 };

struct latencies {
    uint64_t count;
    uint64_t counts[LATENCY_BUCKETS];
};

void latencies_record(struct latencies *latencies, uint64_t nanoseconds);

// In microseconds; 0 when nothing was recorded. `fraction` is 0.5 for the median.
double latencies_percentile(const struct latencies *latencies, double fraction);

#endif
