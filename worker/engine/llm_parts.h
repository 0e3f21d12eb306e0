/* What the files of llm.h know of each other. All on the loop's thread. */
#ifndef WORKER_ENGINE_LLM_PARTS_H
#define WORKER_ENGINE_LLM_PARTS_H

#include "worker/engine/llm.h"

/* --- llm.c --- */

/* The last words of a sequence: its request is gone from here. */
void llm_finish(struct llm *m, struct sequence *s, enum finish_reason reason, uint64_t now_ns);
void llm_refuse(struct llm *m, struct sequence *s, enum fail_code code, const char *text);
/* It makes no new tokens: the front has made all of its answer. */
bool llm_is_recited(const struct sequence *s);

/* --- llm_begin.c --- */

/* The front has given it back. */
void llm_take_prompt(struct llm *m, struct sequence *s);
/* Its answer is made by the front: what the journal has of it, said once more to nobody. False: it was
 * refused. */
bool llm_catch_up(struct llm *m, struct sequence *s);
/* ACCEPT is said, now that compute has found out how much of it is in the prefix cache. */
bool llm_is_admitted(struct llm *m, struct sequence *s);

/* --- llm_take.c --- */

/* Its tokens, as many as are there, may go and make a turn. False when the turn ended although
 * there may be more. */
bool llm_take_turn(struct llm *m, struct sequence *s, bool *has_taken, uint64_t now_ns);

#endif
