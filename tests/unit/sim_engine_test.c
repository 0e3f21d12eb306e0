/* The simulated engine behind the worker's real intake and replies, over a real link; time is what
 * the test says it is. */
#include "worker/sim/sim.h"

#include "base/clock.h"
#include "base/hash.h"
#include "tests/unit/link_pair.h"
#include "worker/intake.h"
#include "worker/sim/words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define START_NS (1000 * NS_PER_S)
#define SEATS    8

struct rig {
    struct link_pair pair;
    struct config_model model;
    struct sim sim;
    struct worker_counters counters;
    struct request_table table;
    struct reply reply;
    struct intake intake;
    struct ring_assembler assembler; /* of the router */
    uint64_t now_ns;
    uint32_t n_steps;
};

/* One request as the router sees it. */
struct seen {
    uint32_t n_accepts, prompt_tokens;
    uint32_t n_tokens, first_index, last_index;
    uint32_t n_prompt; /* of these, echoed */
    uint32_t ids[4096];
    struct buf records;    /* the TOKENs, one after another */
    uint64_t due_ns[4096]; /* when the token came */
    struct buf text[channel_count];
    enum ring_type end; /* 0 = not yet */
    struct done_head done;
    uint32_t fail_code;
    char fail_text[FAIL_TEXT_MAX + 1];
};

static void rig_open(struct rig *r, struct config_model model, uint32_t capacity)
{
    struct engine_load load;
    struct engine_facts facts;
    struct err e = {0};

    *r = (struct rig){.model = model, .now_ns = START_NS};
    r->assembler.len_max = W2R_RECORD_MAX;
    pair_open(&r->pair, 7, capacity);
    if (sim_init(&r->sim, &r->model, 1, &r->pair.worker, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(r->sim.engine.ops->load(&r->sim.engine, r->now_ns, &load, &facts, &e), 1);
    assert_int_equal(facts.seats, SEATS);
    request_table_init(&r->table, facts.seats);
    reply_init(&r->reply, &r->pair.worker, &r->table, &r->counters);
    r->sim.engine.reply = &r->reply;
    intake_init(&r->intake, &r->sim.engine, facts.vocab);
}

static void rig_close(struct rig *r)
{
    for (uint32_t i = 0; i < SEATS; i++)
        if (r->table.seat[i].id != 0) {
            r->sim.engine.ops->forget(&r->sim.engine, &r->table.seat[i]);
            reply_drop(&r->reply, &r->table.seat[i]);
        }
    assert_int_equal(r->table.n_live, 0);
    assert_int_equal(r->reply.n_paused, 0);
    intake_reset(&r->intake);
    reply_free(&r->reply);
    request_table_free(&r->table);
    sim_free(&r->sim);
    pair_close(&r->pair);
    buf_free(&r->assembler.buf);
}

static struct config_model fast(void)
{
    return (struct config_model){.seats = SEATS, .limit_context = 10000, .simulate_tokens = 40};
}

static void send(struct rig *r, enum ring_type type, uint64_t id, const void *data, size_t len)
{
    size_t done = 0;
    struct err e = {0};

    while (ring_send(&r->pair.router, type, id, data, len, &done) == 0) {
        ring_publish(&r->pair.router);
        assert_int_equal(intake_take(&r->intake, r->now_ns, &e), 0);
        ring_release(&r->pair.worker);
    }
    ring_publish(&r->pair.router);
}

static void submit(struct rig *r, uint64_t id, uint64_t seed, const char *json,
                   const uint32_t *resume, uint32_t n_resume, uint32_t credit)
{
    struct submit_head head = {seed, n_resume, credit, (uint32_t)strlen(json), 0};
    struct buf b = {0};

    buf_add(&b, &head, sizeof head);
    buf_add(&b, resume, n_resume * sizeof *resume);
    buf_add_str(&b, json);
    send(r, RING_SUBMIT, id, b.data, b.len);
    buf_free(&b);
}

/* One turn of the worker's loop. */
static int turn(struct rig *r, struct err *e)
{
    struct request *freed;
    const struct engine_ops *ops = r->sim.engine.ops;

    if (intake_take(&r->intake, r->now_ns, e) != 0)
        return -EPROTO;
    while ((freed = reply_flush(&r->reply)) != NULL)
        ops->resume(&r->sim.engine, freed, r->now_ns);
    if (ops->deadline_ns(&r->sim.engine) <= r->now_ns) {
        ops->step(&r->sim.engine, r->now_ns);
        r->n_steps++;
    }
    ring_publish(&r->pair.worker);
    ring_release(&r->pair.worker);
    return 0;
}

/* What is behind the parts. */
static size_t see_parts(struct seen *s, const uint8_t *at, size_t len, uint8_t n)
{
    for (; n > 0; n--) {
        struct part_head part;
        assert_true(len >= sizeof part);
        memcpy(&part, at, sizeof part);
        at += sizeof part;
        len -= sizeof part;
        assert_true(part.len > 0 && part.len <= len && part.channel < channel_count);
        buf_add(&s->text[part.channel], at, part.len);
        at += part.len;
        len -= part.len;
    }
    return len;
}

/* The token itself first. */
static void see_tops(const struct token_head *token, const uint8_t *at, size_t len)
{
    for (uint8_t i = 0; i < token->n_tops; i++) {
        struct top_head top;
        assert_true(len >= sizeof top);
        memcpy(&top, at, sizeof top);
        assert_true(i > 0 || top.token == token->token);
        assert_true(i > 0 || memcmp(&top.logprob, &token->logprob, sizeof top.logprob) == 0);
        at += sizeof top + top.len;
        len -= sizeof top + top.len;
    }
    assert_int_equal(len, 0);
}

static void see_token(struct rig *r, struct seen *s, const struct ring_record *rec)
{
    struct token_head token;

    assert_int_equal(s->n_accepts, 1);
    memcpy(&token, rec->data, sizeof token);
    if (s->n_tokens == 0)
        s->first_index = token.index;
    else
        assert_int_equal(token.index, s->last_index + 1);
    s->last_index = token.index;
    s->ids[s->n_tokens] = token.token;
    s->due_ns[s->n_tokens++] = r->now_ns;
    s->n_prompt += token.flags == TOKEN_PROMPT;
    buf_add(&s->records, rec->data, rec->len);
    size_t rest = see_parts(s, rec->data + sizeof token, rec->len - sizeof token, token.n_parts);
    see_tops(&token, rec->data + rec->len - rest, rest);
}

static void see_record(struct rig *r, struct seen *s, const struct ring_record *rec)
{
    struct accept_body accept;
    struct fail_head failure;

    assert_int_equal(s->end, 0);
    switch (rec->type) {
    case RING_ACCEPT:
        assert_int_equal(rec->len, sizeof accept);
        memcpy(&accept, rec->data, sizeof accept);
        s->prompt_tokens = accept.prompt_tokens;
        s->n_accepts++;
        break;
    case RING_TOKEN:
        see_token(r, s, rec);
        break;
    case RING_DONE:
        memcpy(&s->done, rec->data, sizeof s->done);
        assert_int_equal(
            see_parts(s, rec->data + sizeof s->done, rec->len - sizeof s->done, s->done.n_parts),
            0);
        s->end = RING_DONE;
        break;
    case RING_FAIL:
        memcpy(&failure, rec->data, sizeof failure);
        assert_int_equal(failure.len, rec->len - sizeof failure);
        memcpy(s->fail_text, rec->data + sizeof failure, failure.len);
        s->fail_code = failure.code;
        s->end = RING_FAIL;
        break;
    case RING_CANCELLED:
        s->end = RING_CANCELLED;
        break;
    case RING_NONE:
    case RING_SUBMIT:
    case RING_CREDIT:
    case RING_CANCEL:
    case RING_TYPES_N:
        fail_msg("record of type %d", (int)rec->type);
    }
}

/* Read at most n entries: seen[id] gets what they say. */
static void look(struct rig *r, struct seen *seen, int n)
{
    struct ring_entry entry;
    struct ring_record rec;
    int rc;

    while (n-- > 0 && (rc = ring_pop(&r->pair.router, &entry)) != 0) {
        assert_int_equal(rc, 1);
        if (ring_assemble(&r->pair.router, &r->assembler, &entry, &rec) == 1)
            see_record(r, &seen[rec.request], &rec);
    }
    ring_release(&r->pair.router);
}

static void seen_free(struct seen *seen, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (int c = 0; c < (int)channel_count; c++)
            buf_free(&seen[i].text[c]);
        buf_free(&seen[i].records);
    }
    free(seen);
}

/* Turn and read until every request with a bit in `ids` has ended. */
static void finish(struct rig *r, struct seen *seen, unsigned ids)
{
    struct err e = {0};

    for (int turns = 0; turns < 100000; turns++) {
        unsigned left = 0;
        assert_int_equal(turn(r, &e), 0);
        look(r, seen, 1 << 20);
        for (unsigned id = 0; id < 32; id++)
            if ((ids >> id & 1) != 0 && seen[id].end == 0)
                left++;
        if (left == 0)
            return;
        r->now_ns += NS_PER_MS;
    }
    fail_msg("requests did not end");
}

static void expect_words(const struct seen *s, uint64_t seed, uint32_t from, uint32_t to)
{
    struct buf b = {0};
    char word[SIM_WORD_MAX];

    for (uint32_t i = from; i < to; i++) {
        sim_word(seed, i, word);
        buf_add_str(&b, word);
        assert_int_equal(s->ids[i - from], sim_token(seed, i));
    }
    assert_int_equal(s->n_tokens, to - from);
    if (to > from) {
        assert_int_equal(s->first_index, from);
        assert_int_equal(buf_pending(&s->text[CHANNEL_CONTENT]), b.len);
        assert_memory_equal(s->text[CHANNEL_CONTENT].data, b.data, b.len);
    }
    buf_free(&b);
}

#define SEEN(n) calloc(n, sizeof(struct seen))
#define PROMPT  "{\"kind\":\"completion\",\"prompt\":\"three little words\""
#define CREDIT  UINT32_MAX

/* --- length, reasons, resume --- */

static const struct {
    const char *json;
    uint32_t n_tokens;
    enum finish_reason reason;
} lengths[] = {
    {PROMPT "}", 40, FINISH_STOP},
    {PROMPT ",\"max_tokens\":39}", 39, FINISH_LENGTH},
    {PROMPT ",\"max_tokens\":40}", 40, FINISH_LENGTH},
    {PROMPT ",\"max_tokens\":41}", 40, FINISH_STOP},
    {PROMPT ",\"max_tokens\":1}", 1, FINISH_LENGTH},
};

static void length_and_reason(void **state)
{
    struct rig r;

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct seen *seen = SEEN(2);
        rig_open(&r, fast(), 64);
        submit(&r, 1, 5, lengths[i].json, NULL, 0, CREDIT);
        finish(&r, seen, 1u << 1);
        assert_int_equal(seen[1].end, RING_DONE);
        assert_int_equal(seen[1].prompt_tokens, 3);
        assert_int_equal(seen[1].done.index, lengths[i].n_tokens);
        assert_int_equal(seen[1].done.reason, lengths[i].reason);
        expect_words(&seen[1], 5, 0, lengths[i].n_tokens);
        seen_free(seen, 2);
        rig_close(&r);
    }
}

/* A request that goes on after k tokens says exactly the rest, and ends alike. */
static void check_resume(struct config_model model, const char *json, uint64_t seed)
{
    struct rig r;
    struct seen *whole = SEEN(2);
    size_t texts[4097][2] = {{0}}, records[4097] = {0};

    rig_open(&r, model, 256);
    submit(&r, 1, seed, json, NULL, 0, CREDIT);
    for (struct err e = {0}; whole[1].end == 0; r.now_ns += NS_PER_MS) {
        assert_int_equal(turn(&r, &e), 0);
        while (r.pair.router.head != r.pair.worker.tail) {
            uint32_t before = whole[1].n_tokens;
            look(&r, whole, 1);
            for (int c = 0; c < 2 && whole[1].n_tokens != before; c++)
                texts[whole[1].n_tokens][c] = buf_pending(&whole[1].text[c]);
            records[whole[1].n_tokens] = buf_pending(&whole[1].records);
        }
    }
    rig_close(&r);
    for (uint32_t k = 0; k <= whole[1].n_tokens; k++) {
        struct seen *rest = SEEN(2);
        rig_open(&r, model, 256);
        submit(&r, 1, seed, json, whole[1].ids, k, CREDIT);
        finish(&r, rest, 1u << 1);
        assert_int_equal(rest[1].end, RING_DONE);
        assert_int_equal(rest[1].n_tokens, whole[1].n_tokens - k);
        size_t len = buf_pending(&rest[1].records);
        assert_int_equal(len, buf_pending(&whole[1].records) - records[k]);
        if (len > 0)
            assert_memory_equal(rest[1].records.data, whole[1].records.data + records[k], len);
        assert_int_equal(rest[1].done.index, whole[1].done.index);
        assert_int_equal(rest[1].done.reason, whole[1].done.reason);
        for (int c = 0; c < 2; c++) {
            size_t n = buf_pending(&rest[1].text[c]);
            assert_int_equal(n, buf_pending(&whole[1].text[c]) - texts[k][c]);
            if (n > 0)
                assert_memory_equal(rest[1].text[c].data, whole[1].text[c].data + texts[k][c], n);
        }
        assert_int_equal(counter_get(&r.counters.worker_tokens_replayed), k);
        seen_free(rest, 2);
        rig_close(&r);
    }
    seen_free(whole, 2);
}

static void resume_anywhere(void **state)
{
    (void)state;
    check_resume(fast(), PROMPT "}", 5);
    check_resume(fast(), PROMPT ",\"max_tokens\":17}", 6);
    /* seed 42 says: nije bibo zahi vaja lisi schön hole zona */
    check_resume(fast(), PROMPT ",\"stop\":[\"lisi sch\",\"bo zahx\",\" zahi vajo\"]}", 42);
    check_resume(fast(), PROMPT ",\"stop\":[\"ön\"],\"max_tokens\":30}", 42);
}

#define MESSAGES \
    "\"messages\":[{\"role\":\"user\",\"content\":\"bibo  zahi\\n\"}," \
    "{\"role\":\"assistant\",\"reasoning\":\"hm\",\"content\":[{\"type\":\"text\"," \
    "\"text\":\"sch\u00f6n\"}]}]"

/* A request whose prompt is a word of three tokens, with a character across two of them. */
static void write_long_word(struct buf *json, const char *kind, const char *more)
{
    buf_clear(json);
    buf_printf(json, "{\"kind\":\"%s\",\"prompt\":\"", kind);
    for (int i = 0; i < 150; i++)
        buf_add_str(json, "日");
    buf_printf(json, "\",%s}", more);
}

/* Log-probabilities, echo, and the kinds that say what they were given: at every token, too. */
static void resume_of_all_kinds(void **state)
{
    struct buf json = {0};

    (void)state;
    write_long_word(&json, "tokenize", "\"pieces\":true");
    check_resume(fast(), buf_text(&json), 5);
    write_long_word(&json, "completion", "\"echo\":true");
    check_resume(fast(), buf_text(&json), 5);
    buf_free(&json);
    check_resume(fast(), PROMPT ",\"logprobs\":0}", 5);
    check_resume(fast(), PROMPT ",\"logprobs\":20,\"stop\":[\"lisi sch\"]}", 42);
    check_resume(fast(), PROMPT ",\"logprobs\":1,\"echo\":true,\"max_tokens\":0}", 5);
    check_resume(fast(), PROMPT ",\"logprobs\":3,\"echo\":true,\"stop\":[\"little\"]}", 5);
    check_resume(fast(), "{\"kind\":\"completion\",\"prompt\":[7,4100,0],\"echo\":true}", 5);
    check_resume(fast(), "{\"kind\":\"tokenize\",\"pieces\":true," MESSAGES "}", 5);
    check_resume(fast(), "{\"kind\":\"detokenize\",\"prompt\":[7,4100,0]}", 5);
    check_resume(fast(), "{\"kind\":\"template\"," MESSAGES "}", 5);
    check_resume(fast(), "{\"kind\":\"embed\",\"prompt\":\"bibo zahi\"}", 2);
}

static void expect_said(const struct seen *s, const char *text, uint32_t n_tokens,
                        uint32_t n_prompt)
{
    struct buf said = {0};

    buf_add(&said, s->text[CHANNEL_CONTENT].data, buf_pending(&s->text[CHANNEL_CONTENT]));
    assert_int_equal(s->end, RING_DONE);
    assert_string_equal(buf_text(&said), text);
    assert_int_equal(s->n_tokens, n_tokens);
    assert_int_equal(s->n_prompt, n_prompt);
    buf_free(&said);
}

/* What each kind says; a word longer than a token, and a character across two tokens. */
static void kinds(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(9);
    struct buf word = {0}, json = {0};

    (void)state;
    rig_open(&r, fast(), 256);
    submit(&r, 1, 42, PROMPT ",\"echo\":true,\"max_tokens\":2}", NULL, 0, CREDIT);
    submit(&r, 2, 42, PROMPT ",\"echo\":true,\"max_tokens\":0}", NULL, 0, CREDIT);
    submit(&r, 3, 1, "{\"kind\":\"tokenize\",\"prompt\":\" zahi bibo\"}", NULL, 0, CREDIT);
    submit(&r, 4, 1, "{\"kind\":\"detokenize\",\"prompt\":[2563,4102]}", NULL, 0, CREDIT);
    submit(&r, 5, 1, "{\"kind\":\"template\",\"tools\":[{}]," MESSAGES "}", NULL, 0, CREDIT);
    submit(&r, 6, 1,
           "{\"kind\":\"template\",\"add_generation_prompt\":false,\"sampling\":"
           "{\"chat_template_kwargs\":{\"a\":1}}," MESSAGES "}",
           NULL, 0, CREDIT);
    for (int i = 0; i < 150; i++)
        buf_add_str(&word, "日");
    write_long_word(&json, "completion", "\"echo\":true,\"max_tokens\":0");
    submit(&r, 7, 1, buf_text(&json), NULL, 0, CREDIT);
    submit(&r, 8, 1, "{\"kind\":\"detokenize\",\"prompt\":[4160]}", NULL, 0, CREDIT);
    finish(&r, seen, 0x1fe);
    expect_said(&seen[1], "three little wordsnije bibo", 5, 3);
    expect_said(&seen[2], "three little words", 3, 3);
    assert_int_equal(seen[2].done.reason, FINISH_LENGTH);
    assert_int_equal(seen[2].prompt_tokens, 3);
    expect_said(&seen[3], "", 2, 0);
    assert_int_equal(seen[3].ids[0], sim_word_token("zahi", 4));
    assert_int_equal(seen[3].prompt_tokens, 0);
    expect_said(&seen[4], "pabo schön", 2, 0);
    assert_int_equal(seen[4].ids[0], 0);
    expect_said(&seen[5], "tools: [{}]\nuser: bibo  zahi\n\nassistant: (hm) schön\nassistant:", 9,
                0);
    expect_said(&seen[6],
                "chat_template_kwargs: {\"a\":1}\nuser: bibo  zahi\n\nassistant: (hm) schön\n", 8,
                0);
    expect_said(&seen[7], buf_text(&word), 3, 3);
    assert_int_equal(seen[8].end, RING_FAIL);
    assert_string_equal(seen[8].fail_text, "prompt[0]: token 4160, this model has 0 to 4159");
    buf_free(&word);
    buf_free(&json);
    seen_free(seen, 9);
    rig_close(&r);
}

/* Vectors as tests/harness/words.py computes them. */
static void embeddings(void **state)
{
    struct rig r;
    struct config_model model = fast();
    struct seen *seen = SEEN(7);

    (void)state;
    model.limit_context = 3;
    rig_open(&r, model, 256);
#define EMBED "{\"kind\":\"embed\",\"prompt\":"
    submit(&r, 1, 1, EMBED "\"bibo zahi\",\"dimensions\":2}", NULL, 0, CREDIT);
    submit(&r, 2, 2, EMBED "[7],\"dimensions\":1}", NULL, 0, CREDIT);
    submit(&r, 3, 3, EMBED "[7]}", NULL, 0, CREDIT);
    submit(&r, 4, 4, EMBED "[7],\"dimensions\":65}", NULL, 0, CREDIT);
    submit(&r, 5, 5, EMBED "\"\"}", NULL, 0, CREDIT);
    submit(&r, 6, 6, EMBED "[1,2,3,4]}", NULL, 0, CREDIT);
    finish(&r, seen, 0x7e);
    expect_said(&seen[1], "mGN+vw1l5T0=", 1, 0);
    assert_int_equal(seen[1].prompt_tokens, 2);
    assert_int_equal(seen[1].ids[0], 0);
    expect_said(&seen[2], "AACAPw==", 1, 0);
    assert_int_equal(seen[3].n_tokens, 2); /* 344 characters in pieces of 200 */
    assert_int_equal(buf_pending(&seen[3].text[CHANNEL_CONTENT]), 344);
    assert_string_equal(seen[4].fail_text, "dimensions: found 65, expected 1 to 64");
    assert_string_equal(seen[5].fail_text,
                        "the prompt has no tokens: this model needs at least one");
    assert_int_equal(seen[5].fail_code, FAIL_INVALID_REQUEST);
    assert_int_equal(seen[6].fail_code, FAIL_CONTEXT_LENGTH);
    seen_free(seen, 7);
    rig_close(&r);
}

static void resume_must_fit(void **state)
{
    static const struct {
        uint32_t n, change;
        const char *says;
    } cases[] = {
        {41, 99, "resumed after 41 tokens, but the answer has 40"},
        {10, 4, "resumed token 4"},
    };
    uint32_t ids[64];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        struct seen *seen = SEEN(2);
        for (uint32_t k = 0; k < 64; k++)
            ids[k] = sim_token(5, k);
        if (cases[i].change < 64)
            ids[cases[i].change] ^= 1;
        rig_open(&r, fast(), 64);
        submit(&r, 1, 5, PROMPT "}", ids, cases[i].n, CREDIT);
        finish(&r, seen, 1u << 1);
        assert_int_equal(seen[1].end, RING_FAIL);
        assert_int_equal(seen[1].fail_code, FAIL_INTERNAL);
        assert_non_null(strstr(seen[1].fail_text, cases[i].says));
        seen_free(seen, 2);
        rig_close(&r);
    }
}

/* --- scripts --- */

static void script_open(struct rig *r, const char *script, struct config_model model,
                        uint32_t capacity)
{
    char path[] = "/tmp/cortex-sim-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, script, strlen(script)), strlen(script));
    close(fd);
    snprintf(model.simulate_script, sizeof model.simulate_script, "%s", path);
    rig_open(r, model, capacity);
    unlink(path);
}

#define SCRIPT \
    "[{\"match\":\"weather\",\"finish\":\"tool_calls\",\"pieces\":[" \
    "{\"text\":\"let me " \
    "\",\"channel\":\"reasoning\"},{\"text\":\"see\",\"channel\":\"reasoning\"}," \
    "\"<to\",\"ol>\",\"\",\"r\xc3\xa9sum\xc3\xa9\"]}," \
    "{\"match\":\"little\",\"pieces\":[\"He\",\"llo\"]}]"

static void script_answers(void **state)
{
    static const char weather[] = "{\"kind\":\"chat\",\"messages\":[{\"role\":\"user\","
                                  "\"content\":\"the weather, a little\"}]";
    struct rig r;
    struct seen *seen = SEEN(8);
    char json[256];

    (void)state;
    script_open(&r, SCRIPT, fast(), 256);
    snprintf(json, sizeof json, "%s}", weather);
    submit(&r, 1, 9, json, NULL, 0, CREDIT);
    submit(&r, 2, 9, PROMPT "}", NULL, 0, CREDIT);
    submit(&r, 3, 9, "{\"kind\":\"completion\",\"prompt\":\"\"}", NULL, 0, CREDIT);
    snprintf(json, sizeof json, "%s,\"max_tokens\":3}", weather);
    submit(&r, 4, 9, json, NULL, 0, CREDIT);
    snprintf(json, sizeof json, "%s,\"stop\":[\"ol>r\"]}", weather);
    submit(&r, 5, 9, json, NULL, 0, CREDIT);
    submit(&r, 6, 9, json, (uint32_t[]){0, 1, 2, 3}, 4, CREDIT);
    finish(&r, seen, 0x7e);

    assert_int_equal(seen[1].n_tokens, 6);
    assert_int_equal(seen[1].done.reason, FINISH_TOOL_CALLS);
    assert_string_equal(buf_text(&seen[1].text[CHANNEL_CONTENT]), "<tool>résumé");
    assert_string_equal(buf_text(&seen[1].text[CHANNEL_REASONING]), "let me see");
    assert_int_equal(seen[2].n_tokens, 2);
    assert_string_equal(buf_text(&seen[2].text[CHANNEL_CONTENT]), "Hello");
    assert_int_equal(seen[2].done.reason, FINISH_STOP);
    assert_int_equal(seen[3].end, RING_FAIL);
    assert_int_equal(seen[3].fail_code, FAIL_INVALID_REQUEST);
    assert_int_equal(seen[4].n_tokens, 3);
    assert_int_equal(seen[4].done.reason, FINISH_LENGTH);
    assert_string_equal(buf_text(&seen[4].text[CHANNEL_CONTENT]), "<to");
    assert_int_equal(seen[5].n_tokens, 6);
    assert_int_equal(seen[5].done.reason, FINISH_STOP);
    assert_string_equal(buf_text(&seen[5].text[CHANNEL_CONTENT]), "<to");
    assert_int_equal(seen[6].n_tokens, 2);
    assert_int_equal(buf_pending(&seen[6].text[CHANNEL_CONTENT]), 0);
    seen_free(seen, 8);
    rig_close(&r);
}

#define CHAT(more) \
    "{\"kind\":\"chat\",\"messages\":[{\"role\":\"user\",\"content\":\"now\"}]" more "}"
#define TOOLS ",\"tools\":[{\"function\":{\"name\":\"f\"}}]"
#define CALLING \
    "[{\"pieces\":[{\"text\":\"hm\",\"channel\":\"reasoning\"},\"\",\"<tool_c\",\"all>\\n{" \
    "\\\"name\\\": \"," \
    "\"\\\"f\\\", \\\"arg\",\"uments\\\": {\\\"a\\\"\",\": 1}}\\n</tool_\",\"call>\",\"\\n\"]}]"

/* A script's text becomes calls, wherever it is taken up. */
static void script_calls(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(16);

    (void)state;
    script_open(&r, CALLING, fast(), 256);
    submit(&r, 1, 9, CHAT(TOOLS), NULL, 0, CREDIT);
    submit(&r, 2, 9, CHAT(""), NULL, 0, CREDIT);
    submit(&r, 3, 9, CHAT(TOOLS ",\"tool_choice\":\"none\""), NULL, 0, CREDIT);
    submit(&r, 4, 9, CHAT(TOOLS ",\"max_tokens\":7"), NULL, 0, CREDIT);
    submit(&r, 5, 9, CHAT(TOOLS ",\"stop\":[\"arg\",\"_c\"]"), NULL, 0, CREDIT);
    submit(&r, 6, 9, CHAT(",\"stop\":[\"arg\",\"_c\"]"), NULL, 0, CREDIT);
    submit(&r, 7, 9, CHAT(TOOLS ",\"parallel_tool_calls\":false"), NULL, 0, CREDIT);
    finish(&r, seen, 0xfe);
    assert_string_equal(buf_text(&seen[1].text[CHANNEL_REASONING]), "hm");
    assert_string_equal(buf_text(&seen[1].text[CHANNEL_CALL]), "f");
    assert_string_equal(buf_text(&seen[1].text[CHANNEL_ARGUMENTS]), "{\"a\": 1}");
    assert_int_equal(buf_pending(&seen[1].text[CHANNEL_CONTENT]), 0);
    assert_int_equal(seen[1].done.reason, FINISH_TOOL_CALLS);
    for (int i = 2; i < 4; i++) {
        assert_string_equal(
            buf_text(&seen[i].text[CHANNEL_CONTENT]),
            "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n");
        assert_int_equal(seen[i].done.reason, FINISH_STOP);
    }
    assert_string_equal(buf_text(&seen[4].text[CHANNEL_ARGUMENTS]), "{\"a\": 1}");
    assert_int_equal(seen[4].done.reason, FINISH_LENGTH);
    assert_int_equal(seen[5].done.reason, FINISH_TOOL_CALLS);
    assert_int_equal(seen[5].done.stop, 0);
    assert_string_equal(buf_text(&seen[6].text[CHANNEL_CONTENT]), "<tool");
    assert_int_equal(seen[6].done.reason, FINISH_STOP);
    assert_int_equal(seen[6].done.stop, 2);
    assert_int_equal(seen[7].done.index, 8);
    assert_int_equal(seen[7].done.reason, FINISH_TOOL_CALLS);

    for (uint32_t k = 1; k < 9; k++) { /* the rest of the same */
        struct seen *rest = SEEN(32);
        submit(&r, 20, 9, CHAT(TOOLS), (uint32_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8}, k, CREDIT);
        finish(&r, rest, 1u << 20);
        for (int c = 0; c < (int)channel_count; c++) {
            size_t n = buf_pending(&rest[20].text[c]), all = buf_pending(&seen[1].text[c]);
            assert_true(n <= all);
            if (n > 0)
                assert_memory_equal(rest[20].text[c].data, seen[1].text[c].data + all - n, n);
        }
        assert_int_equal(rest[20].done.reason, FINISH_TOOL_CALLS);
        seen_free(rest, 32);
    }
    seen_free(seen, 16);
    rig_close(&r);
}

/* An answer without a word is an error, where it is not what the client asked for. */
static void empty_answers(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(8);

    (void)state;
    script_open(&r,
                "[{\"match\":\"now\",\"pieces\":[\"\",\"\"]},"
                "{\"match\":\"then\",\"pieces\":[\"END\"]}]",
                fast(), 256);
    submit(&r, 1, 9, CHAT(""), NULL, 0, CREDIT);
    submit(&r, 2, 9, CHAT(",\"max_tokens\":1"), NULL, 0, CREDIT);
    submit(&r, 3, 9, "{\"kind\":\"completion\",\"prompt\":\"now\"}", NULL, 0, CREDIT);
    submit(&r, 4, 9, "{\"kind\":\"chat\",\"messages\":[{\"content\":\"then\"}],\"stop\":[\"END\"]}",
           NULL, 0, CREDIT);
    finish(&r, seen, 0x1e);
    assert_int_equal(seen[1].end, RING_FAIL);
    assert_int_equal(seen[1].fail_code, FAIL_EMPTY);
    assert_non_null(strstr(seen[1].fail_text, "without a word"));
    assert_int_equal(seen[2].done.reason, FINISH_LENGTH);
    assert_int_equal(seen[3].end, RING_DONE);
    assert_int_equal(seen[4].end, RING_DONE);
    assert_int_equal(seen[4].done.stop, 1);
    seen_free(seen, 8);
    rig_close(&r);
}

/* How many tokens a conversation has, whether they fit or not. */
static void counts(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(8);
    struct config_model model = fast();

    (void)state;
    model.limit_context = 4;
    rig_open(&r, model, 256);
    submit(&r, 1, 9,
           "{\"kind\":\"count\",\"messages\":[{\"role\":\"user\",\"content\":\"a b c d e\"}]}",
           NULL, 0, CREDIT);
    submit(&r, 2, 9,
           "{\"kind\":\"count\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],"
           "\"thinking\":false" TOOLS "}",
           NULL, 0, CREDIT);
    finish(&r, seen, 0x6);
    assert_int_equal(seen[1].prompt_tokens, 7); /* user: a b c d e, assistant: */
    assert_int_equal(seen[1].end, RING_DONE);
    assert_int_equal(seen[1].n_tokens, 0);
    assert_int_equal(seen[1].done.reason, FINISH_STOP);
    assert_int_equal(seen[2].prompt_tokens, 7); /* tools: … thinking: false user: a assistant: */
    seen_free(seen, 8);
    rig_close(&r);
}

static void script_delays(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(2);
    struct config_model model = fast();

    (void)state;
    model.simulate_rate = 100;
    model.simulate_prefill_ms = 5;
    script_open(
        &r, "{\"delay_ms\":20,\"pieces\":[\"a\",\"b\",{\"text\":\"c\",\"delay_ms\":300},\"d\"]}",
        model, 256);
    submit(&r, 1, 9, PROMPT "}", NULL, 0, CREDIT);
    finish(&r, seen, 1u << 1);
    assert_int_equal(seen[1].due_ns[0] - START_NS, 25 * NS_PER_MS);
    assert_int_equal(seen[1].due_ns[1] - START_NS, 35 * NS_PER_MS);
    assert_int_equal(seen[1].due_ns[2] - START_NS, 345 * NS_PER_MS);
    assert_int_equal(seen[1].due_ns[3] - START_NS, 355 * NS_PER_MS);
    assert_int_equal(r.n_steps, 4); /* it slept meanwhile */
    seen_free(seen, 2);
    rig_close(&r);
}

/* --- pace, credit, space --- */

static void pace(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(4);
    struct config_model model = fast();

    (void)state;
    model.simulate_rate = 50;
    model.simulate_prefill_ms = 200;
    rig_open(&r, model, 256);
    submit(&r, 1, 1, PROMPT "}", NULL, 0, CREDIT);
    submit(&r, 2, 5, PROMPT "}", (uint32_t[]){sim_token(5, 0), sim_token(5, 1)}, 2, CREDIT);
    finish(&r, seen, 6);
    for (uint32_t i = 0; i < 40; i++)
        assert_int_equal(seen[1].due_ns[i] - START_NS, (200 + 20 * i) * NS_PER_MS);
    for (uint32_t i = 0; i < 38; i++)
        assert_int_equal(seen[2].due_ns[i] - START_NS, (200 + 20 * i) * NS_PER_MS);
    assert_int_equal(r.n_steps, 40);
    assert_int_equal(seen[1].done.prefill_ns, 200 * NS_PER_MS);
    assert_int_equal(seen[1].done.decode_ns, 39 * 20 * NS_PER_MS);
    seen_free(seen, 4);
    rig_close(&r);
}

/* What could not be said in time is not made up for: the pace goes on from there. */
static void pace_after_hold(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(2);
    struct config_model model = fast();
    struct credit_body more = {40};
    struct err e = {0};

    (void)state;
    model.simulate_rate = 50;
    rig_open(&r, model, 256);
    submit(&r, 1, 1, PROMPT "}", NULL, 0, 3);
    for (; r.now_ns < START_NS + 500 * NS_PER_MS; r.now_ns += NS_PER_MS) {
        assert_int_equal(turn(&r, &e), 0);
        look(&r, seen, 100);
    }
    assert_int_equal(seen[1].n_tokens, 3);
    send(&r, RING_CREDIT, 1, &more, sizeof more);
    finish(&r, seen, 1u << 1);
    for (uint32_t i = 3; i < 40; i++)
        assert_int_equal(seen[1].due_ns[i] - START_NS, (500 + 20 * (i - 3)) * NS_PER_MS);
    seen_free(seen, 2);
    rig_close(&r);
}

static void credit_holds(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(4);
    struct err e = {0};

    (void)state;
    rig_open(&r, fast(), 256);
    submit(&r, 1, 1, PROMPT "}", NULL, 0, 0);
    submit(&r, 2, 2, PROMPT "}", NULL, 0, 7);
    for (uint32_t credit = 0; credit < 40; credit += 3) {
        for (int i = 0; i < 5; i++, r.now_ns += NS_PER_MS) {
            assert_int_equal(turn(&r, &e), 0);
            look(&r, seen, 1000);
        }
        assert_int_equal(seen[1].n_tokens, credit);
        assert_int_equal(seen[2].n_tokens, 7);
        assert_int_equal(r.reply.n_paused, 2);
        assert_true(r.sim.engine.ops->deadline_ns(&r.sim.engine) == ENGINE_NEVER);
        struct credit_body more = {credit + 3};
        send(&r, RING_CREDIT, 1, &more, sizeof more);
    }
    finish(&r, seen, 1u << 1); /* done needs no credit beyond the last token */
    expect_words(&seen[1], 1, 0, 40);
    assert_int_equal(counter_get(&r.counters.worker_credit_waits), 1 + 13 + 1);
    struct credit_body late = {100};
    send(&r, RING_CREDIT, 1, &late, sizeof late);
    assert_int_equal(turn(&r, &e), 0);
    struct credit_body less = {6};
    send(&r, RING_CREDIT, 2, &less, sizeof less);
    assert_int_equal(turn(&r, &e), -EPROTO);
    seen_free(seen, 4);
    rig_close(&r);
}

/* A ring much smaller than what waits, records that are longer than the ring, and a router that
 * reads in dribbles. */
static void dribble(struct rig *r, struct seen *seen, uint64_t seed)
{
    struct err e = {0};
    uint64_t draw = 0;
    unsigned ended = 0;

    for (uint64_t id = 1; id <= SEATS; id++)
        submit(r, id, id, PROMPT ",\"stop\":[\"never this\"]}", NULL, 0, CREDIT);
    for (int turns = 0; turns < 20000 && ended < SEATS; turns++) {
        assert_int_equal(turn(r, &e), 0);
        look(r, seen, (int)(hash_mix(seed, draw++) % 4));
        if (hash_mix(seed, draw++) % 200 == 0)
            send(r, RING_CANCEL, 1 + hash_mix(seed, draw++) % 2, "", 0);
        r->now_ns += NS_PER_MS;
        ended = 0;
        for (int id = 1; id <= SEATS; id++)
            ended += seen[id].end != 0;
    }
    assert_int_equal(ended, SEATS);
    assert_true(counter_get(&r->counters.worker_ring_full) > 0);
    assert_int_equal(r->table.n_live, 0);
    assert_false(reply_is_blocked(&r->reply));
}

static void space_holds(void **state)
{
    struct buf script = {0}, text = {0};

    (void)state;
    buf_add_str(&script, "{\"pieces\":[\"\"");
    for (int i = 0; i < 12; i++) {
        buf_add_str(&script, ",\"");
        for (int k = 0; k < 90 * i; k++) {
            buf_add_char(&script, (char)('a' + (i + k) % 26));
            buf_add_char(&text, (char)('a' + (i + k) % 26));
        }
        buf_add_str(&script, "\"");
    }
    buf_add_str(&script, "]}");
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct rig r;
        struct seen *seen = SEEN(SEATS + 1);
        bool is_script = seed % 2;
        if (is_script)
            script_open(&r, buf_text(&script), fast(), 4);
        else
            rig_open(&r, fast(), 4);
        dribble(&r, seen, seed);
        for (uint64_t id = 1; id <= SEATS; id++) {
            if (seen[id].end != RING_DONE) {
                assert_int_equal(seen[id].end, RING_CANCELLED);
            } else if (is_script) {
                assert_int_equal(buf_pending(&seen[id].text[CHANNEL_CONTENT]), text.len);
                assert_memory_equal(seen[id].text[CHANNEL_CONTENT].data, text.data, text.len);
            } else {
                expect_words(&seen[id], id, 0, 40);
            }
        }
        seen_free(seen, SEATS + 1);
        rig_close(&r);
    }
    buf_free(&script);
    buf_free(&text);
}

/* Without a pace nobody waits for another's end. */
static void round_robin(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(SEATS + 1);
    struct config_model model = fast();
    struct err e = {0};

    (void)state;
    model.simulate_tokens = 3000;
    rig_open(&r, model, 1024);
    for (uint64_t id = 1; id <= SEATS; id++)
        submit(&r, id, id, PROMPT "}", NULL, 0, CREDIT);
    for (int turns = 0; turns < 20; turns++, r.now_ns += NS_PER_MS) {
        assert_int_equal(turn(&r, &e), 0);
        look(&r, seen, 100000);
        uint32_t least = UINT32_MAX, most = 0;
        for (int id = 1; id <= SEATS; id++) {
            least = seen[id].n_tokens < least ? seen[id].n_tokens : least;
            most = seen[id].n_tokens > most ? seen[id].n_tokens : most;
        }
        assert_true(most - least <= 64);
        assert_true(most > 0);
    }
    seen_free(seen, SEATS + 1);
    rig_close(&r);
}

/* --- cancel, limits, strangers --- */

static void cancel(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(4);
    struct err e = {0};

    (void)state;
    rig_open(&r, fast(), 256);
    submit(&r, 1, 1, PROMPT "}", NULL, 0, 5);
    submit(&r, 2, 2, PROMPT "}", NULL, 0, CREDIT);
    finish(&r, seen, 1u << 2);
    send(&r, RING_CANCEL, 1, "", 0);
    send(&r, RING_CANCEL, 1, "", 0);
    send(&r, RING_CANCEL, 2, "", 0); /* done already: no word */
    send(&r, RING_CANCEL, 3, "", 0); /* never heard of */
    for (int i = 0; i < 3; i++)
        assert_int_equal(turn(&r, &e), 0);
    look(&r, seen, 1000);
    assert_int_equal(seen[1].end, RING_CANCELLED);
    assert_int_equal(seen[1].n_tokens, 5);
    assert_int_equal(seen[2].end, RING_DONE);
    assert_int_equal(r.table.n_live, 0);
    /* the seat is as good as new */
    submit(&r, 3, 3, PROMPT "}", NULL, 0, CREDIT);
    finish(&r, seen, 1u << 3);
    expect_words(&seen[3], 3, 0, 40);
    seen_free(seen, 4);
    rig_close(&r);
}

static void context_limit(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(8);
    struct config_model model = fast();
    uint32_t ids[8];

    (void)state;
    for (uint32_t i = 0; i < 8; i++)
        ids[i] = sim_token(1, i);
    model.limit_context = 10;
    rig_open(&r, model, 256);
    submit(&r, 1, 1, PROMPT "}", NULL, 0, CREDIT);
    submit(&r, 2, 1, PROMPT "}", ids, 7, CREDIT);
    submit(&r, 3, 1, PROMPT "}", ids, 8, CREDIT);
    submit(&r, 4, 1, "{\"kind\":\"completion\",\"prompt\":\" 1 2 3 4\\n5 6 7 8 9 0 x \"}", NULL, 0,
           CREDIT);
    submit(&r, 5, 1, "{\"kind\":\"completion\",\"prompt\":3}", NULL, 0, CREDIT);
    submit(&r, 6, 1, "{\"kind\":", NULL, 0, CREDIT);
    submit(&r, 7, 1, PROMPT ",\"sampling\":{\"magic\":1}}", NULL, 0, CREDIT);
    finish(&r, seen, 0xfe);
    assert_int_equal(seen[1].done.index, 7);
    assert_int_equal(seen[1].done.reason, FINISH_LENGTH);
    assert_int_equal(seen[2].done.index, 7);
    assert_int_equal(seen[2].done.reason, FINISH_LENGTH);
    assert_int_equal(seen[3].fail_code, FAIL_CONTEXT_LENGTH);
    assert_int_equal(seen[4].fail_code, FAIL_CONTEXT_LENGTH);
    assert_string_equal(seen[4].fail_text, "prompt is too long: 11 tokens > 10 maximum");
    assert_int_equal(seen[5].fail_code, FAIL_INVALID_REQUEST);
    assert_int_equal(seen[6].fail_code, FAIL_INVALID_REQUEST);
    assert_int_equal(seen[7].fail_code, FAIL_UNSUPPORTED);
    seen_free(seen, 8);
    rig_close(&r);
}

static void expect_violation(struct rig *r, const char *says)
{
    struct err e = {0};

    assert_int_equal(turn(r, &e), -EPROTO);
    if (strstr(e.text, says) == NULL)
        fail_msg("says \"%s\", expected \"%s\"", e.text, says);
    rig_close(r);
}

static void strangers(void **state)
{
    struct submit_head head = {1, 0, 9, 2, 0};
    struct rig r;
    char body[64] = {0};

    (void)state;
    rig_open(&r, fast(), 256);
    send(&r, RING_SUBMIT, 1, &head, 20);
    expect_violation(&r, "bytes of submit 20, expected 24");

    rig_open(&r, fast(), 256);
    memcpy(body, &head, sizeof head);
    send(&r, RING_SUBMIT, 1, body, sizeof head + 3);
    expect_violation(&r, "bytes of submit 27, expected 26");

    rig_open(&r, fast(), 256);
    head.n_resume = UINT32_MAX;
    memcpy(body, &head, sizeof head);
    send(&r, RING_SUBMIT, 1, body, sizeof head);
    expect_violation(&r, "bytes of submit 24, expected 17179869206");

    rig_open(&r, fast(), 256);
    head = (struct submit_head){1, 0, 9, 2, 2};
    memcpy(body, &head, sizeof head);
    send(&r, RING_SUBMIT, 1, body, sizeof head + 2);
    expect_violation(&r, "flags 2");

    rig_open(&r, fast(), 256);
    submit(&r, 1, 1, PROMPT "}", (uint32_t[]){SIM_VOCAB}, 1, CREDIT);
    expect_violation(&r, "resumed token");

    rig_open(&r, fast(), 256);
    submit(&r, 0, 1, PROMPT "}", NULL, 0, CREDIT);
    expect_violation(&r, "request id");

    rig_open(&r, fast(), 256);
    submit(&r, 4, 1, PROMPT "}", NULL, 0, 1);
    submit(&r, 4, 1, PROMPT "}", NULL, 0, 1);
    expect_violation(&r, "request id");

    rig_open(&r, fast(), 256);
    for (uint64_t id = 1; id <= SEATS + 1; id++)
        submit(&r, id, 1, PROMPT "}", NULL, 0, 1);
    expect_violation(&r, "requests 9, expected 8");

    rig_open(&r, fast(), 256);
    send(&r, RING_CREDIT, 1, body, 3);
    expect_violation(&r, "bytes of credit");

    rig_open(&r, fast(), 256);
    send(&r, RING_CANCEL, 1, body, 1);
    expect_violation(&r, "bytes of cancel");

    rig_open(&r, fast(), 256);
    send(&r, RING_CANCEL, 1, "", 0);
    atomic_fetch_xor(&r.pair.router.own->entry[0].word[3], 1);
    expect_violation(&r, "checksum");
}

/* Long prompts come in slices; the others go on meanwhile. */
static void long_prompt(void **state)
{
    struct rig r;
    struct seen *seen = SEEN(3);
    struct buf json = {0};
    struct err e = {0};
    uint32_t before;

    (void)state;
    rig_open(&r, fast(), 256);
    r.model.limit_context = 16777216;
    buf_add_str(&json, "{\"kind\":\"completion\",\"prompt\":\"");
    for (int i = 0; i < 400000; i++)
        buf_add_str(&json, "word ");
    buf_add_str(&json, "\"}");
    submit(&r, 2, 2, PROMPT "}", NULL, 0, 10);
    submit(&r, 1, 1, buf_text(&json), NULL, 0, CREDIT);
    assert_int_equal(turn(&r, &e), 0);
    assert_true(intake_is_parsing(&r.intake));
    look(&r, seen, 1000);
    before = seen[2].n_tokens;
    assert_int_equal(before, 10);
    finish(&r, seen, 1u << 1);
    assert_int_equal(seen[1].prompt_tokens, 400000);
    expect_words(&seen[1], 1, 0, 40);
    buf_free(&json);
    seen_free(seen, 3);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(length_and_reason),
        cmocka_unit_test(resume_anywhere),
        cmocka_unit_test(resume_of_all_kinds),
        cmocka_unit_test(kinds),
        cmocka_unit_test(embeddings),
        cmocka_unit_test(resume_must_fit),
        cmocka_unit_test(script_answers),
        cmocka_unit_test(script_calls),
        cmocka_unit_test(empty_answers),
        cmocka_unit_test(counts),
        cmocka_unit_test(script_delays),
        cmocka_unit_test(pace),
        cmocka_unit_test(pace_after_hold),
        cmocka_unit_test(credit_holds),
        cmocka_unit_test(space_holds),
        cmocka_unit_test(round_robin),
        cmocka_unit_test(cancel),
        cmocka_unit_test(context_limit),
        cmocka_unit_test(strangers),
        cmocka_unit_test(long_prompt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
