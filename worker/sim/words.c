#include "worker/sim/words.h"

#include "base/hash.h"

#include <assert.h>
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

size_t sim_word(uint64_t seed, uint32_t index, char out[SIM_WORD_MAX])
{
    uint32_t token = sim_token(seed, index);
    size_t len = 0;

    if (index > 0)
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
