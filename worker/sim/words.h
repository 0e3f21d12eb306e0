/* The language of the simulated worker: token `index` of a request with a given seed, as a pure
 * function of the two, so that anybody can say what any answer must be. */
#ifndef WORKER_SIM_WORDS_H
#define WORKER_SIM_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_WORDS_PLAIN 4096 /* two syllables each, ASCII */
#define SIM_WORDS_WIDE  64   /* sequences of two, three and four bytes */
#define SIM_VOCAB       (SIM_WORDS_PLAIN + SIM_WORDS_WIDE)
#define SIM_WORD_MAX    32 /* longest text of a token, with the NUL */

/* Id of token `index`: less than SIM_VOCAB. */
uint32_t sim_token(uint64_t seed, uint32_t index);

/* Text of token `index`, NUL-terminated; a space in front of all but the first. Its length. */
size_t sim_word(uint64_t seed, uint32_t index, char out[SIM_WORD_MAX]);
/* The same of any token. */
size_t sim_token_text(uint32_t token, bool is_first, char out[SIM_WORD_MAX]);

/* The token of a word without its space: the one that has this text, else one by its checksum. */
uint32_t sim_word_token(const char *word, size_t len);

/* Log-probabilities, made up from the token and its place in the answer. The token is one of the
 * four likeliest there; beyond SIM_RANKS nothing is possible. */
#define SIM_RANKS 16
float sim_logprob(uint32_t token, uint32_t index);
/* The likeliest token but `rank` at the place of this one. */
uint32_t sim_likeliest(uint32_t token, uint32_t index, uint32_t rank, float *logprob);

#endif
