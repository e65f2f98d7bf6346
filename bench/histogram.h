/* Latencies, counted in buckets whose width grows with the time: a percentile is off by less than
 * 0.8 % at any magnitude. Times of 2^40 ns (18 minutes) and more share the last bucket. */
#ifndef KVS_BENCH_HISTOGRAM_H
#define KVS_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_SUB      ((size_t)1 << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_NS_BITS  40
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_NS_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB)

struct histogram { /* all zero: empty */
    uint64_t total;
    uint64_t max_ns;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns, uint64_t times);

/* The time that this fraction of them stays below. */
double histogram_percentile_us(const struct histogram *h, double fraction);

#endif
