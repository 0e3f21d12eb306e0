/* The language of the simulated worker: token `index` of a request with a given seed, as a pure
 * function of the two, so that anybody can say what any answer must be. */
#ifndef WORKER_SIM_WORDS_H
#define WORKER_SIM_WORDS_H

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

#endif
