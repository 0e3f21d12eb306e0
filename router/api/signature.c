#include "router/api/signature.h"

#include "base/check.h"
#include "base/hash.h"

#include <string.h>

#define VERSION   1
#define HASH_SIZE 16
#define ID_AT     19
#define ID_MAX    48

static void write_base64url(const uint8_t *p, size_t n, struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned n_bits = 0;

    for (size_t i = 0; i < n; i++) {
        bits = bits << 8 | p[i];
        for (n_bits += 8; n_bits >= 6; n_bits -= 6)
            buf_add_char(out, digits[bits >> (n_bits - 6) & 63]);
    }
    if (n_bits > 0)
        buf_add_char(out, digits[bits << (6 - n_bits) & 63]);
}

void signature_write(const char *id, uint16_t block, const char *text, size_t len, struct buf *out)
{
    uint8_t digest[32], bytes[ID_AT + ID_MAX] = {VERSION, (uint8_t)block, (uint8_t)(block >> 8)};
    size_t id_len = strlen(id);

    CHECK(id_len <= ID_MAX);
    hash_sha256(text, len, digest);
    memcpy(bytes + 3, digest, HASH_SIZE);
    memcpy(bytes + ID_AT, id, id_len);
    write_base64url(bytes, ID_AT + id_len, out);
}
