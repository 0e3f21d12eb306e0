#include "base/hash.h"

#include "base/check.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CRC32C_POLY_REFLECTED 0x82f63b78u

static uint32_t crc_table[256];
static int crc_has_instruction;

__attribute__((constructor)) static void prepare_crc(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? (c >> 1) ^ CRC32C_POLY_REFLECTED : c >> 1;
        crc_table[i] = c;
    }
#if defined(__x86_64__)
    crc_has_instruction = __builtin_cpu_supports("sse4.2");
#endif
}

static uint32_t crc_by_table(uint32_t c, const uint8_t *p, size_t len)
{
    while (len--)
        c = crc_table[(c ^ *p++) & 0xff] ^ (c >> 8);
    return c;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(uint32_t crc, const uint8_t *p,
                                                                     size_t len)
{
    uint64_t c = crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = __builtin_ia32_crc32di(c, word);
    }
    uint32_t c32 = (uint32_t)c;
    while (len--)
        c32 = __builtin_ia32_crc32qi(c32, *p++);
    return c32;
}
#endif

uint32_t hash_crc32c(const void *data, size_t len)
{
#if defined(__x86_64__)
    if (crc_has_instruction)
        return ~crc_by_instruction(~0u, data, len);
#endif
    return hash_crc32c_portable(data, len);
}

uint32_t hash_crc32c_portable(const void *data, size_t len)
{
    return ~crc_by_table(~0u, data, len);
}

uint64_t hash_xxh3(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

void hash_sha256(const void *data, size_t len, uint8_t digest[32])
{
    SHA256(data, len, digest);
}

int hash_equal32(const uint8_t a[32], const uint8_t b[32])
{
    return CRYPTO_memcmp(a, b, 32) == 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hash_parse_hex32(const char *hex, uint8_t digest[32])
{
    if (strlen(hex) != 64)
        return -EINVAL;
    for (int i = 0; i < 32; i++) {
        int hi = hex_digit(hex[2 * i]);
        int lo = hex_digit(hex[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        digest[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}

uint64_t hash_random64(void)
{
    uint64_t v;
    CHECK(getrandom(&v, sizeof v, 0) == (ssize_t)sizeof v);
    return v;
}

uint64_t hash_mix(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
