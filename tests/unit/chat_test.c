/* What `cortex run` makes of the bytes it gets, and of the words it is given. */
#include "base/json.h"
#include "tools/chat/answer.h"
#include "tools/chat/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- events ---- */

static char events[4096];

static int note_event(void *ctx, const char *data, size_t len, struct err *e)
{
    (void)ctx;
    size_t at = strlen(events);
    snprintf(events + at, sizeof events - at, "<%.*s>", (int)len, data);
    return strcmp(data, "stop") == 0 ? err_set(e, ECANCELED, "stopped") : 0;
}

static const struct {
    const char *in, *events;
} streams[] = {
    {"data: a\n\ndata: b\n\n", "<a><b>"},
    {"data:a\r\n\r\ndata: b\r\n\r\n", "<a><b>"},
    {"data: a\r\rdata: b\r\r", "<a><b>"},
    {": keep-alive\n\ndata: a\n\n", "<a>"},
    {": one\n: two\ndata: a\n: three\n\n", "<a>"},
    {"event: x\nid: 7\nretry: 1\ndata: a\n\n", "<a>"},
    {"data: a\ndata: b\n\n", "<a\nb>"},
    {"data\n\ndatax: a\n\n", ""},
    {"data:\n\n", "<>"},
    {"data:  a\n\n", "< a>"},
    {"\n\n\n", ""},
    {"data: not ended\n", ""},
};

/* However the bytes are cut. */
static void events_of_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        size_t len = strlen(streams[i].in);
        for (size_t cut = 0; cut <= len; cut++) {
            struct sse s = {0};
            struct err e = {0};
            events[0] = '\0';
            assert_int_equal(sse_feed(&s, streams[i].in, cut, note_event, NULL, &e), 0);
            assert_int_equal(sse_feed(&s, streams[i].in + cut, len - cut, note_event, NULL, &e), 0);
            assert_string_equal(events, streams[i].events);
            sse_free(&s);
        }
    }
}

static void what_ends_the_feeding(void **state)
{
    struct sse s = {0};
    struct err e = {0};
    char *piece = malloc(1 << 20);

    (void)state;
    events[0] = '\0';
    assert_int_equal(sse_feed(&s, "data: stop\n\ndata: b\n\n", 21, note_event, NULL, &e),
                     -ECANCELED);
    assert_string_equal(events, "<stop>");
    sse_free(&s);
    memset(piece, 'x', 1 << 20);
    for (int i = 0; i < 4; i++)
        assert_int_equal(sse_feed(&s, piece, 1 << 20, note_event, NULL, &e), 0);
    assert_int_equal(sse_feed(&s, piece, 1, note_event, NULL, &e), -EPROTO);
    sse_free(&s);
    free(piece);
}

/* ---- answers ---- */

static struct screen screen;
static int shown[2], saved;

static void begin_screen(bool is_terminal)
{
    fflush(stdout);
    assert_int_equal(pipe2(shown, O_CLOEXEC), 0);
    saved = dup(STDOUT_FILENO);
    dup2(shown[1], STDOUT_FILENO);
    screen = (struct screen){.is_terminal = is_terminal, .last = '\n'};
}

static const char *end_screen(void)
{
    static char text[8192];

    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(shown[1]);
    ssize_t n = read(shown[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    close(shown[0]);
    return text;
}

#define CHUNK(delta) \
    "data: {\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":null}]}\n\n"
#define FINISH(reason) \
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason "\"}]}\n\n"
#define USAGE "data: {\"choices\":[],\"usage\":{\"completion_tokens\":3}}\n\n"
#define DONE  "data: [DONE]\n\n"

static const char thoughtful[] =
    CHUNK("\"role\":\"assistant\",\"content\":\"\"") ": keep-alive\n\n" CHUNK(
        "\"reasoning_content\":\"Let me \",\"reasoning\":\"Let me \"")
        CHUNK("\"reasoning_content\":\"think.\"") CHUNK("\"content\":\"Hel\\u001b[2J\"")
            CHUNK("\"content\":\"lo\\n\\u00fc\"") FINISH("stop") USAGE DONE;

static void on_a_terminal_and_in_a_pipe(void **state)
{
    static const char *const texts[2] = {"Hel\x1b[2Jlo\n\u00fc\n",
                                         "\033[2mLet me think.\n\033[0mHel?[2Jlo\n\u00fc\n"};

    (void)state;
    for (int is_terminal = 0; is_terminal < 2; is_terminal++) {
        struct answer a;
        struct err e = {0};
        bool is_passing;
        begin_screen(is_terminal != 0);
        answer_open(&a, &screen);
        int rc = answer_take(&a, 200, thoughtful, sizeof thoughtful - 1, &e);
        int end = answer_end(&a, &is_passing, &e);
        screen_end(&screen);
        assert_string_equal(end_screen(), texts[is_terminal]);
        assert_int_equal(rc, 0);
        assert_int_equal(end, 0);
        assert_false(a.is_cut);
        assert_string_equal(buf_text(&a.content), "Hel\x1b[2Jlo\n\u00fc");
        answer_close(&a);
    }
}

static const struct {
    long status;
    const char *bytes;
    int rc; /* of the taking or of the end */
    bool is_passing;
    const char *sentence;
} ends[] = {
    {200, CHUNK("\"content\":\"a\"") FINISH("length") DONE, 0, true, ""},
    {200, CHUNK("\"content\":\"a\""), -EPROTO, true, "the answer broke off"},
    {200, CHUNK("\"content\":\"a\"") "data: {\"error\":{\"message\":\"no more\"}}\n\n", -EREMOTEIO,
     true, "no more"},
    {200, "data: {\"error\":{}}\n\n", -EREMOTEIO, true, "an error without a message"},
    {200, "data: nonsense\n\n", -EINVAL, true, NULL},
    {200, "data: [1]\n\n", -EPROTO, true,
     "an event of the answer: found array, expected an object"},
    {200,
     "data: {\"choices\":{}}\n\ndata: {\"choices\":[null]}\n\n"
     "data: {\"choices\":[{\"delta\":7,\"finish_reason\":7}]}\n\n" DONE,
     0, true, ""},
    {404, "{\"error\":{\"message\":\"no such model\",\"code\":\"x\"}}", -EREMOTEIO, false,
     "no such model"},
    {429, "{\"error\":{\"message\":\"later\"}}", -EREMOTEIO, true, "later"},
    {503, "{\"error\":{\"message\":\"loading\"}}", -EREMOTEIO, true, "loading"},
    {502, "<html>", -EREMOTEIO, true, "HTTP status 502 without a reason; is that a Cortex?"},
    {404, "{\"error\":\"x\"}", -EREMOTEIO, false,
     "HTTP status 404 without a reason; is that a Cortex?"},
    {400, "[]", -EREMOTEIO, false, "HTTP status 400 without a reason; is that a Cortex?"},
    {403, "", -EREMOTEIO, false, "HTTP status 403 without a reason; is that a Cortex?"},
};

static void ends_of_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct answer a;
        struct err e = {0};
        bool is_passing = true;
        begin_screen(false);
        answer_open(&a, &screen);
        int rc = answer_take(&a, ends[i].status, ends[i].bytes, strlen(ends[i].bytes), &e);
        a.status = ends[i].status;
        if (rc == 0)
            rc = answer_end(&a, &is_passing, &e);
        end_screen();
        assert_int_equal(rc, ends[i].rc);
        assert_int_equal(is_passing, ends[i].is_passing);
        if (ends[i].sentence != NULL)
            assert_string_equal(e.text, ends[i].sentence);
        assert_int_equal(a.is_cut, i == 0);
        answer_close(&a);
    }
}

static void nobody_reads_what_is_shown(void **state)
{
    struct answer a;
    struct err e = {0};

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    begin_screen(false);
    close(shown[0]);
    answer_open(&a, &screen);
    int rc = answer_take(&a, 200, thoughtful, sizeof thoughtful - 1, &e);
    shown[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    end_screen();
    assert_int_equal(rc, -EPIPE);
    answer_close(&a);
}

/* ---- requests ---- */

static void assert_request(const struct talk *t, const char *text)
{
    struct buf out = {0};
    struct json_object *root = NULL;

    talk_write_request(t, &out);
    assert_string_equal(buf_text(&out), text);
    assert_int_equal(json_parse(out.data, out.len, &root, NULL), 0);
    json_free(&root);
    buf_free(&out);
}

static void requests(void **state)
{
    struct talk t = {.model = strdup("o/\"n\""), .wishes = {.temperature = NAN}};

    (void)state;
    talk_add(&t, TALK_USER, "a\nb", 3);
    assert_request(&t, "{\"model\":\"o/\\\"n\\\"\",\"stream\":true,\"messages\":["
                       "{\"role\":\"user\",\"content\":\"a\\nb\"}]}");
    talk_set_system(&t, "short");
    talk_add(&t, TALK_ASSISTANT, "c", 1);
    talk_add(&t, TALK_USER, "\xff", 1);
    t.wishes = (struct talk_wishes){
        .max_tokens = 5, .temperature = 0.7, .has_seed = true, .seed = 9, .no_thinking = true};
    assert_request(&t, "{\"model\":\"o/\\\"n\\\"\",\"stream\":true,\"messages\":["
                       "{\"role\":\"system\",\"content\":\"short\"},"
                       "{\"role\":\"user\",\"content\":\"a\\nb\"},"
                       "{\"role\":\"assistant\",\"content\":\"c\"},"
                       "{\"role\":\"user\",\"content\":\"\ufffd\"}],"
                       "\"max_tokens\":5,\"temperature\":0.7,\"seed\":9,"
                       "\"chat_template_kwargs\":{\"enable_thinking\":false}}");
    talk_drop_last(&t);
    assert_int_equal(t.n_turns, 2);
    talk_clear(&t);
    talk_set_system(&t, "");
    t.wishes = (struct talk_wishes){.temperature = 0};
    talk_add(&t, TALK_USER, "", 0);
    assert_request(&t, "{\"model\":\"o/\\\"n\\\"\",\"stream\":true,\"messages\":["
                       "{\"role\":\"user\",\"content\":\"\"}],\"temperature\":0}");
    talk_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_streams),           cmocka_unit_test(what_ends_the_feeding),
        cmocka_unit_test(on_a_terminal_and_in_a_pipe), cmocka_unit_test(ends_of_answers),
        cmocka_unit_test(nobody_reads_what_is_shown),  cmocka_unit_test(requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
