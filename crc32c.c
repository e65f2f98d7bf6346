/* CRC-32C, reflected polynomial 0x82F63B78. See crc32c.h.
 *
 * A log computes it over every byte that is written, so x86-64 uses its instruction (SSE 4.2),
 * where it has it; everybody else goes over tables, as hash_crc32() does.
 */
#include "crc32c.h"

#include "crc.h"

static struct crc castagnoli;

__attribute__((constructor)) static void fill(void) {
    crc_fill(&castagnoli, 0x82F63B78u);
}

uint32_t crc32c_by_tables(uint32_t so_far, struct slice s) {
    return crc_take(&castagnoli, so_far, s);
}

#ifdef __x86_64__

__attribute__((target("sse4.2"))) static uint32_t crc32c_by_machine(uint32_t so_far,
                                                                    struct slice s) {
    uint64_t crc = ~so_far;
    for (; s.len >= 8; s.at += 8, s.len -= 8)
        crc = __builtin_ia32_crc32di(crc, word_load(s.at));
    for (size_t i = 0; i < s.len; i++)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, (unsigned char)s.at[i]);
    return ~(uint32_t)crc;
}

uint32_t crc32c(uint32_t so_far, struct slice s) {
    return __builtin_cpu_supports("sse4.2") ? crc32c_by_machine(so_far, s)
                                            : crc32c_by_tables(so_far, s);
}

#else

uint32_t crc32c(uint32_t so_far, struct slice s) {
    return crc32c_by_tables(so_far, s);
}

#endif
