/* Answers that come back: found when they say the same, whoever wrote them down, and only by whom
 * they were given to. */
#include "router/api/replay.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OWNER 7

static void add(struct blocks *b, enum channel channel, const char *text)
{
    assert_non_null(blocks_add(b, &(struct part){channel, text, strlen(text)}));
}

/* "Let me see." and two calls. */
static struct blocks answer(void)
{
    struct blocks b = {0};

    add(&b, CHANNEL_REASONING, "Hm.");
    add(&b, CHANNEL_CONTENT, "Let me ");
    add(&b, CHANNEL_CONTENT, "see.\n");
    add(&b, CHANNEL_CALL, "read");
    add(&b, CHANNEL_ARGUMENTS, "{\"path\": \"a\", ");
    add(&b, CHANNEL_ARGUMENTS, "\"n\": 3}");
    add(&b, CHANNEL_CALL, "list");
    add(&b, CHANNEL_ARGUMENTS, "{}");
    return b;
}

static void keep(struct replay *p, const char *id, uint64_t owner)
{
    struct blocks b = answer();

    replay_keep(p, id, owner, &b, (const uint32_t[]){5, 0, 4294967295u}, 3);
    blocks_free(&b);
}

static struct json_object *parse(const char *text)
{
    struct json_object *o;

    assert_int_equal(json_parse(text, strlen(text), &o, NULL), 0);
    return o;
}

/* The tokens for a message with this content and these arguments of its first call, or NULL. */
static const char *find(struct replay *p, const char *content, const char *arguments,
                        uint64_t owner)
{
    char text[1024];

    snprintf(text, sizeof text,
             "{\"role\":\"assistant\",%s\"tool_calls\":["
             "{\"id\":\"c1\",\"function\":{\"name\":\"read\",\"arguments\":%s}},"
             "{\"id\":\"c2\",\"function\":{\"name\":\"list\",\"arguments\":{}}}]}",
             content, arguments);
    struct json_object *message = parse(text);
    struct json_object *tokens = replay_find(p, message, owner);
    json_free(&message);
    return tokens != NULL ? json_string(tokens, NULL) : NULL;
}

#define SAID "\"content\":\"Let me see.\","
#define CALL "{\"path\":\"a\",\"n\":3}"

static void test_found_by_what_is_said(void **state)
{
    struct replay *p = replay_new();

    (void)state;
    replay_limit(p, 1 << 20);
    keep(p, "c1", OWNER);
    assert_string_equal(find(p, SAID, CALL, OWNER), "5 0 4294967295");
    assert_string_equal(find(p,
                             "\"content\":[{\"type\":\"text\",\"text\":\"Let me \"},"
                             "{\"type\":\"text\",\"text\":\"see.\"}],",
                             CALL, OWNER),
                        "5 0 4294967295");
    assert_null(find(p, "\"content\":\"Let me see!\",", CALL, OWNER));
    assert_null(find(p, "", CALL, OWNER));
    assert_null(find(p, SAID, "{\"path\":\"b\",\"n\":3}", OWNER));
    assert_null(find(p, SAID, CALL, OWNER + 1));
    replay_free(&p);
}

static void test_not_kept(void **state)
{
    struct replay *p = replay_new();
    struct blocks b = {0};

    (void)state;
    keep(p, "c1", OWNER); /* off */
    replay_limit(p, 1 << 20);
    assert_null(find(p, SAID, CALL, OWNER));
    add(&b, CHANNEL_CALL, "read");
    add(&b, CHANNEL_ARGUMENTS, "{\"path\": \"a"); /* cut off */
    replay_keep(p, "c1", OWNER, &b, (const uint32_t[]){1}, 1);
    blocks_free(&b);
    assert_null(find(p, SAID, CALL, OWNER));
    replay_free(&p);
}

static void test_the_oldest_goes(void **state)
{
    struct replay *p = replay_new();
    char id[16];

    (void)state;
    replay_limit(p, 4096);
    keep(p, "c1", OWNER);
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "other%d", i);
        keep(p, id, OWNER);
        assert_non_null(find(p, SAID, CALL, OWNER)); /* used all the time */
    }
    for (int i = 0; i < 1000; i++)
        keep(p, "another", OWNER);
    assert_null(find(p, SAID, CALL, OWNER));
    keep(p, "c1", OWNER);
    replay_limit(p, 0);
    assert_null(find(p, SAID, CALL, OWNER));
    replay_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_by_what_is_said),
        cmocka_unit_test(test_not_kept),
        cmocka_unit_test(test_the_oldest_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
