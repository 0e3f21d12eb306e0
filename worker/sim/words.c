#include "worker/sim/words.h"

#include "base/hash.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* 16 consonants x 4 vowels = 64 syllables, two of them a word. */
static const char consonants[] = "bdfghjklmnprstvz";
static const char vowels[] = "aeio";

/* clang-format off */
static const char *const wide[] = {
    "für",    "über",   "größe",  "straße", "käse",   "müde",   "schön",  "ähre",
    "café",   "naïve",  "façade", "señor",  "año",    "garçon", "élan",   "œuvre",
    "мир",    "слово",  "река",   "λόγος",  "φως",    "שלום",   "سلام",   "ñandú",
    "żółw",   "řeka",   "çay",    "ığdır",  "µs",     "±1",     "§4",     "½",
    "日本",   "東京",   "語",     "水",     "漢字",   "こんにちは", "カタカナ", "한국",
    "서울",   "你好",   "世界",   "नमस्ते",   "ไทย",    "€5",     "“ja”",   "…",
    "→",      "≤",      "∑",      "✓",      "—",      "™",      "ﬁn",     "﷽",
    "🙂",     "🚀",     "🌍",     "👍🏽",    "🇩🇪",     "𝒙",      "𐍈",      "🧑‍🚒",
};
/* clang-format on */
static_assert(sizeof wide / sizeof wide[0] == SIM_WORDS_WIDE, "the list and its length");

uint32_t sim_token(uint64_t seed, uint32_t index)
{
    return (uint32_t)(hash_mix(seed, index) % SIM_VOCAB);
}

size_t sim_token_text(uint32_t token, bool is_first, char out[SIM_WORD_MAX])
{
    size_t len = 0;

    if (!is_first)
        out[len++] = ' ';
    if (token < SIM_WORDS_PLAIN) {
        for (int shift = 6; shift >= 0; shift -= 6) {
            uint32_t syllable = token >> shift & 63;
            out[len++] = consonants[syllable >> 2];
            out[len++] = vowels[syllable & 3];
        }
        out[len] = '\0';
        return len;
    }
    const char *word = wide[token - SIM_WORDS_PLAIN];
    size_t n = strlen(word);
    memcpy(out + len, word, n + 1);
    return len + n;
}

size_t sim_word(uint64_t seed, uint32_t index, char out[SIM_WORD_MAX])
{
    return sim_token_text(sim_token(seed, index), index == 0, out);
}

/* Number of a letter in its list, or -1. */
static int find_letter(const char *list, char letter)
{
    const char *at = letter != '\0' ? strchr(list, letter) : NULL;

    return at != NULL ? (int)(at - list) : -1;
}

uint32_t sim_word_token(const char *word, size_t len)
{
    if (len == 4) {
        int c1 = find_letter(consonants, word[0]), v1 = find_letter(vowels, word[1]);
        int c2 = find_letter(consonants, word[2]), v2 = find_letter(vowels, word[3]);
        if (c1 >= 0 && v1 >= 0 && c2 >= 0 && v2 >= 0)
            return (uint32_t)((c1 << 2 | v1) << 6 | c2 << 2 | v2);
    }
    for (uint32_t i = 0; i < SIM_WORDS_WIDE; i++)
        if (strlen(wide[i]) == len && memcmp(wide[i], word, len) == 0)
            return SIM_WORDS_PLAIN + i;
    return hash_crc32c(word, len) % SIM_VOCAB;
}

/* Rank of the token at its place, and how much the likeliest one there misses to certainty. */
static uint64_t draw_place(uint32_t token, uint32_t index)
{
    return hash_mix(token, index);
}

static float logprob_at(uint64_t place, uint32_t rank)
{
    if (rank >= SIM_RANKS)
        return -INFINITY;
    return -(float)((place >> 8 & 15) + 32 * rank) / 64; /* short in decimals, too */
}

float sim_logprob(uint32_t token, uint32_t index)
{
    uint64_t place = draw_place(token, index);

    return logprob_at(place, place % 4);
}

uint32_t sim_likeliest(uint32_t token, uint32_t index, uint32_t rank, float *logprob)
{
    uint64_t place = draw_place(token, index);

    *logprob = logprob_at(place, rank);
    return rank == place % 4 ? token : (token + 1 + 61 * rank) % SIM_VOCAB;
}
