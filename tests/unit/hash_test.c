#include "base/hash.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* From the definition, bit by bit. */
static uint32_t crc_by_bits(const uint8_t *p, size_t len)
{
    uint32_t c = ~0u;

    while (len-- > 0) {
        c ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            c = (c >> 1) ^ (c & 1 ? 0x82f63b78u : 0);
    }
    return ~c;
}

static void crc32c_of_known_texts(void **state)
{
    uint8_t zeros[32] = {0}, ones[32];

    (void)state;
    memset(ones, 0xff, sizeof ones);
    assert_int_equal(hash_crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(hash_crc32c("", 0), 0);
    assert_int_equal(hash_crc32c(zeros, 32), 0x8a9136aa); /* RFC 3720, B.4 */
    assert_int_equal(hash_crc32c(ones, 32), 0x62a8ab43);
}

static void crc32c_is_the_same_on_every_path(void **state)
{
    uint8_t data[300];

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)hash_mix(7, i);
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; from + len <= sizeof data; len++) {
            uint32_t expected = crc_by_bits(data + from, len);
            assert_int_equal(hash_crc32c(data + from, len), expected);
            assert_int_equal(hash_crc32c_portable(data + from, len), expected);
        }
}

static void sha256_of_known_texts(void **state)
{
    static const struct {
        const char *text, *digest;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    uint8_t digest[32], expected[32];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hash_sha256(rows[i].text, strlen(rows[i].text), digest);
        assert_int_equal(hash_parse_hex32(rows[i].digest, expected), 0);
        assert_memory_equal(digest, expected, sizeof digest);
        assert_true(hash_equal32(digest, expected));
        expected[i * 15] ^= 1;
        assert_false(hash_equal32(digest, expected));
    }
}

static void hex_digests_are_parsed_strictly(void **state)
{
    uint8_t digest[32];
    char hex[66];

    (void)state;
    memset(hex, 'A', 64);
    hex[64] = '\0';
    assert_int_equal(hash_parse_hex32(hex, digest), 0);
    assert_int_equal(digest[31], 0xaa);
    hex[63] = 'g';
    assert_int_equal(hash_parse_hex32(hex, digest), -EINVAL);
    hex[63] = '\0';
    assert_int_equal(hash_parse_hex32(hex, digest), -EINVAL);
    memcpy(hex, "0000", 4);
    hex[63] = hex[64] = '0';
    hex[65] = '\0';
    assert_int_equal(hash_parse_hex32(hex, digest), -EINVAL);
}

static void mix_is_splitmix64(void **state)
{
    (void)state;
    /* The reference generator's first outputs from seed 1234567. */
    assert_true(hash_mix(1234567, 0) == 6457827717110365317ull);
    assert_true(hash_mix(1234567, 1) == 3203168211198807973ull);
    assert_true(hash_mix(1234567, 2) == 9817491932198370423ull);
}

static void others_tell_inputs_apart(void **state)
{
    (void)state;
    assert_true(hash_xxh3("", 0) == 0x2d06800538d394c2ull); /* of XXH3_64bits with seed 0 */
    assert_true(hash_xxh3("a", 1) != hash_xxh3("b", 1));
    assert_true(hash_random64() != hash_random64());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_of_known_texts), cmocka_unit_test(crc32c_is_the_same_on_every_path),
        cmocka_unit_test(sha256_of_known_texts), cmocka_unit_test(hex_digests_are_parsed_strictly),
        cmocka_unit_test(mix_is_splitmix64),     cmocka_unit_test(others_tell_inputs_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
