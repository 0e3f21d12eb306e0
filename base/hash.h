/* Checksums, digests and the counter-based generator behind every seed. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, reflected), initial value and final xor included: crc of "123456789" is
 * 0xe3069283. Uses the SSE4.2 or ARMv8 instruction when the CPU has it. */
uint32_t hash_crc32c(const void *data, size_t len);
/* The same by table, as on CPUs without the instruction. */
uint32_t hash_crc32c_portable(const void *data, size_t len);

/* XXH3, 64 bits: keys of tables, session affinity. Not stable across xxHash major versions. */
uint64_t hash_xxh3(const void *data, size_t len);

/* SHA-256 into 32 bytes. */
void hash_sha256(const void *data, size_t len, uint8_t digest[32]);

/* 1 when the two digests are equal, in time that does not depend on where they differ. */
int hash_equal32(const uint8_t a[32], const uint8_t b[32]);

/* Parse 64 hexadecimal digits. 0 or -EINVAL. */
int hash_parse_hex32(const char *hex, uint8_t digest[32]);

/* 64 bits from the kernel's generator; aborts if it has none to give. */
uint64_t hash_random64(void);

/* splitmix64 finaliser of (seed, index): the simulated worker's token source, and derived seeds. */
uint64_t hash_mix(uint64_t seed, uint64_t index);

#endif
