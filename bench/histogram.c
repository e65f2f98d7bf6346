/* Log-linear: each power of two of nanoseconds is cut into HISTOGRAM_SUB equal buckets. */
#include "histogram.h"

static size_t histogram_bucket_of(uint64_t ns) {
    if (ns < HISTOGRAM_SUB) return (size_t)ns;
    if (ns >> HISTOGRAM_NS_BITS != 0) return HISTOGRAM_BUCKETS - 1;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
    return shift * HISTOGRAM_SUB + (size_t)(ns >> shift);
}

/* The middle of what falls into a bucket: the inverse of the above. */
static uint64_t histogram_bucket_ns(size_t bucket) {
    if (bucket < 2 * HISTOGRAM_SUB) return bucket;
    unsigned shift = (unsigned)(bucket / HISTOGRAM_SUB) - 1;
    uint64_t low = (uint64_t)(bucket - shift * HISTOGRAM_SUB) << shift;
    return low + (((uint64_t)1 << shift) / 2);
}

void histogram_add(struct histogram *h, uint64_t ns, uint64_t times) {
    h->bucket[histogram_bucket_of(ns)] += times;
    h->total += times;
    if (ns > h->max_ns) h->max_ns = ns;
}

double histogram_percentile_us(const struct histogram *h, double fraction) {
    uint64_t wanted = (uint64_t)((double)h->total * fraction), seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen > wanted) return (double)histogram_bucket_ns(i) / 1e3;
    }
    return (double)h->max_ns / 1e3;
}
