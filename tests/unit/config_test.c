#include "base/config.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define NAME_120 \
    "org/" \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" \
    "xxxxxxxxxxxxxxxxxxxxxxxxxx"
#define DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void parse(struct config *c, const char *text)
{
    struct err e = {0};

    if (config_parse(c, "t.ini", text, strlen(text), &e) != 0)
        fail_msg("%s", e.text);
}

static void assert_refused(const char *text, size_t len, const char *sentence)
{
    struct config c, empty = {0};
    struct err e = {0};

    if (config_parse(&c, "t.ini", text, len, &e) != -EINVAL)
        fail_msg("accepted: %s", text);
    assert_string_equal(e.text, sentence);
    assert_memory_equal(&c, &empty, sizeof c);
}

static void defaults_are_the_tables(void **state)
{
    struct config c;
    struct err e = {0};

    (void)state;
    assert_int_equal(config_load(&c, NULL, NULL, &e), 0);
    assert_string_equal(c.instance.name, "default");
    assert_string_equal(c.gateway.listen, "127.0.0.1:31313");
    assert_int_equal(c.gateway.body_max_mb, 64);
    assert_false(c.gateway.allow_anonymous);
    assert_int_equal(c.supervisor.hang_ms, 1000);
    assert_int_equal(c.n_models + c.n_keys + c.n_aliases, 0);
    config_free(&c);
}

static void values_are_read(void **state)
{
    struct config c;

    (void)state;
    parse(&c,
          "\xef\xbb\xbf; a file with everything\r\n"
          "# and a second kind of comment, longer than any line buffer of the INI library, which "
          "cuts lines at 200 bytes, counting the end of the line: "
          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"
          "[gateway] ; comment\r\n"
          "  listen\t=  0.0.0.0:80\t; everywhere\r\n"
          "\tallow_anonymous=On\r\n"
          "hosts = a.example b.example#not;a comment\n"
          "tls_cert = \" /a;b \\\"c\\\\ \"   ; quoted\n"
          "tls_key =; not empty\n"
          "body_max_mb = 190\n"
          "\n"
          "[ supervisor ]\n"
          "hang_ms = 200\n"
          "[model \"" NAME_120 "\"]\n"
          "path = " NAME_120 NAME_120 "\n"
          "[ model \"a \\\"b]\\\" = ; c\" ] # comment\n"
          "simulate = true\n"
          "[alias]\n"
          "llama3:8b-instruct = a \"b]\" = ; comment\n"
          "x =" NAME_120 "\n" NAME_120 "1234567 = x\n"
          "[key \"team\"]\n"
          "sha256 = " DIGEST "\n"
          "models = x"); /* no newline at the end */
    assert_string_equal(c.gateway.listen, "0.0.0.0:80");
    assert_true(c.gateway.allow_anonymous);
    assert_string_equal(c.gateway.hosts, "a.example b.example#not;a comment");
    assert_string_equal(c.gateway.tls_cert, " /a;b \"c\\ ");
    assert_string_equal(c.gateway.tls_key, "; not empty");
    assert_int_equal(c.gateway.body_max_mb, 190);
    assert_int_equal(c.supervisor.hang_ms, 200);
    assert_int_equal(c.n_models, 2);
    assert_string_equal(c.models[0].id, NAME_120);
    assert_string_equal(c.models[0].path, NAME_120 NAME_120);
    assert_int_equal(c.models[0].seats, 256);
    assert_string_equal(c.models[1].id, "a \"b]\" = ; c");
    assert_true(c.models[1].simulate);
    assert_int_equal(c.n_aliases, 3);
    assert_string_equal(c.aliases[0].id, "llama3:8b-instruct");
    assert_string_equal(c.aliases[0].model, "a \"b]\" =");
    assert_int_equal(config_find_model(&c, "x"), 0);
    assert_int_equal(config_find_model(&c, "a \"b]\" = ; c"), 1);
    assert_int_equal(config_find_model(&c, "llama3:8b-instruct"), -1);
    assert_int_equal(config_find_model(&c, "y"), -1);
    assert_int_equal(c.n_keys, 1);
    assert_string_equal(c.keys[0].models, "x");
    config_free(&c);
}

static void every_spelling_of_a_boolean(void **state)
{
    static const char *const words[] = {"no", "yes", "false", "TRUE", "off", "On", "0", "1"};
    char text[64];
    struct config c;

    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        snprintf(text, sizeof text, "[gateway]\nallow_anonymous = %s\n", words[i]);
        parse(&c, text);
        assert_int_equal(c.gateway.allow_anonymous, i % 2);
        config_free(&c);
    }
}

/* clang-format off */
#define NOT_TEXT "found bytes that are not UTF-8, or control bytes"
#define BODY_RANGE "expected a whole number from 1 to 190 MiB"
static const struct refusal {
    const char *text;
    size_t len;
    const char *sentence;
} refusals[] = {
#define ROW(text, sentence) {text, sizeof text - 1, "t.ini:" sentence}
    ROW("[gateway]\nlisen = x\n", "2: unknown key \"lisen\" in [gateway]; did you mean \"listen\"?"),
    ROW("[gateway]\nlisten_address_of_all = x\n", "2: unknown key \"listen_address_of_all\" in [gateway]"),
    ROW("[gatway]\n", "1: unknown section [gatway]; did you mean [gateway]?"),
    ROW("[aliases]\n", "1: unknown section [aliases]; did you mean [alias]?"),
    ROW("\n\n[zzzzzzzzzz]\nx = 1\n", "3: unknown section [zzzzzzzzzz]"),
    ROW("[gateway \"x\"]\n", "1: found [gateway \"x\"], expected [gateway]"),
    ROW("[alias \"x\"]\n", "1: found [alias \"x\"], expected [alias]"),
    ROW("[model]\n", "1: found [model], expected [model \"name\"]"),
    ROW("[model \"\"]\n", "1: found [model \"\"], expected a name"),
    ROW("[model \"x\"\n", "1: found no section header, expected [name] or [name \"id\"]"),
    ROW("[model \"x]\n", "1: found no closing quote"),
    ROW("[model \"x\\n\"]\n", "1: found another escape than \\\" or \\\\ in a quoted string"),
    ROW("[gateway] x\n", "1: found no section header, expected [name] or [name \"id\"]"),
    ROW("[gateway\n", "1: found no section header, expected [name] or [name \"id\"]"),
    ROW("[]\n", "1: unknown section []"),
    ROW("[model \"" NAME_120 "12345678\"]\n", "1: found a quoted string of more than 127 bytes"),
    ROW("[model \"\t\"]\n", "1: " NOT_TEXT),
    ROW("[gateway]\nqueue_depth = 1\n[gateway]\n", "3: duplicate section [gateway], first on line 1"),
    ROW("[alias]\n[alias]\n", "2: duplicate section [alias], first on line 1"),
    ROW("[model \"a\"]\n[model \"b\"]\n[model \"a\"]\n", "3: duplicate section [model \"a\"]"),
    ROW("[gateway]\nlisten = a:1\nhosts = x\nlisten = a:1\n",
        "4: duplicate key \"listen\" in [gateway], first on line 2"),
    ROW("[alias]\na = x\na = y\n", "3: duplicate alias \"a\""),
    ROW("[alias]\n = x\n", "2: found no name before '='"),
    ROW("[alias]\na = " NAME_120 "12345678\n", "2: alias \"a\": found 128 bytes, expected at most 127"),
    ROW("[alias]\n" NAME_120 "12345678 = a\n", "2: found a key of 128 bytes, expected at most 127"),
    ROW("[alias]\na = \"\t\"\n", "2: " NOT_TEXT),
    ROW("listen = x\n", "1: found key \"listen\" before the first section"),
    ROW("[gateway]\nlisten\n", "2: found neither a section nor a key, expected key = value"),
    ROW("[gateway]\nlisten: 127.0.0.1:1\n", "2: found neither a section nor a key, expected key = value"),
    ROW("[gateway]\nlisten ; = x\n", "2: found neither a section nor a key, expected key = value"),
    ROW("[gateway]\nlisten\nlisen = 1\n", "2: found neither a section nor a key, expected key = value"),
    ROW("[gateway]\nbody_max_mb = 191\n", "2: key \"body_max_mb\" in [gateway]: found \"191\", " BODY_RANGE),
    ROW("[gateway]\nbody_max_mb = 0\n", "2: key \"body_max_mb\" in [gateway]: found \"0\", " BODY_RANGE),
    ROW("[gateway]\nbody_max_mb =\n", "2: key \"body_max_mb\" in [gateway]: found \"\", " BODY_RANGE),
    ROW("[gateway]\nbody_max_mb = 64k\n", "2: key \"body_max_mb\" in [gateway]: found \"64k\", " BODY_RANGE),
    ROW("[gateway]\nbody_max_mb = 0x40\n", "2: key \"body_max_mb\" in [gateway]: found \"0x40\", " BODY_RANGE),
    ROW("[gateway]\nbody_max_mb = +6\n", "2: key \"body_max_mb\" in [gateway]: found \"+6\", " BODY_RANGE),
    ROW("[gateway]\nbody_max_mb = 99999999999999999999\n",
        "2: key \"body_max_mb\" in [gateway]: found \"99999999999999999999\", " BODY_RANGE),
    ROW("[gateway]\nqueue_depth = -1\n",
        "2: key \"queue_depth\" in [gateway]: found \"-1\", expected a whole number from 0 to 16384"),
    ROW("[gateway]\nallow_anonymous = maybe\n",
        "2: key \"allow_anonymous\" in [gateway]: found \"maybe\", expected yes or no (true/false, on/off, 1/0)"),
    ROW("[gateway]\nhosts = " NAME_120 NAME_120 "1234567890123456\n",
        "2: key \"hosts\" in [gateway]: found 256 bytes, expected at most 255"),
    ROW("[gateway]\nhosts = " NAME_120 NAME_120 NAME_120 NAME_120 NAME_120 "\n",
        "2: found a value of 600 bytes, expected at most 255"),
    ROW("[gateway]\nhosts = \"a\" b\n", "2: found text behind the closing quote, expected a comment or nothing"),
    ROW("[gateway]\nhosts = \"a\n", "2: found no closing quote"),
    ROW("[gateway]\nhosts = a\tb\n", "2: key \"hosts\" in [gateway]: " NOT_TEXT),
    ROW("[gateway]\nhosts = a\0b\n", "2: " NOT_TEXT),
    ROW("[gateway]\n; comment \xe9\n", "2: " NOT_TEXT),
    ROW("[gateway]\nhosts = \xc0\xaf\n", "2: " NOT_TEXT),
    ROW("[gateway]\nhosts = a\x1f\n", "2: " NOT_TEXT),
    ROW("\n\xef\xbb\xbf[gateway]\n", "2: found neither a section nor a key, expected key = value"),
#undef ROW
};
/* clang-format on */

static void errors_name_the_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        assert_refused(refusals[i].text, refusals[i].len, refusals[i].sentence);
}

static void too_many_sections_and_aliases(void **state)
{
    struct buf text = {0};
    struct config c;

    (void)state;
    for (int i = 0; i < CONFIG_MODELS_MAX; i++)
        buf_printf(&text, "[model \"m%d\"]\n", i);
    for (int i = 0; i < CONFIG_KEYS_MAX; i++)
        buf_printf(&text, "[key \"k%d\"]\n", i);
    buf_printf(&text, "[alias]\n");
    for (int i = 0; i < CONFIG_ALIASES_MAX; i++)
        buf_printf(&text, "a%d = m1\n", i);
    parse(&c, buf_text(&text));
    assert_int_equal(c.n_models, CONFIG_MODELS_MAX);
    assert_int_equal(c.n_keys, CONFIG_KEYS_MAX);
    assert_int_equal(c.n_aliases, CONFIG_ALIASES_MAX);
    assert_int_equal(config_find_model(&c, "m63"), 63);
    config_free(&c);

    size_t full = text.len;
    buf_add_str(&text, "b = m1\n");
    assert_refused(text.data, text.len, "t.ini:386: found more than 64 aliases");
    text.len = full;
    buf_add_str(&text, "[key \"more\"]\n");
    assert_refused(text.data, text.len, "t.ini:386: found more than 256 sections [key \"...\"]");
    text.len = full;
    buf_add_str(&text, "[model \"more\"]\n");
    assert_refused(text.data, text.len, "t.ini:386: found more than 64 sections [model \"...\"]");
    buf_free(&text);
}

/* clang-format off */
static const struct {
    const char *text, *sentence; /* NULL = valid */
} rules[] = {
    {"[model \"m\"]\nsimulate = yes\n[alias]\na = m\n", NULL},
    {"[model \"m\"]\npath = /m\n", NULL},
    {"[model \"m\"]\n", "[model \"m\"]: found neither path nor simulate = yes, expected one"},
    {"[model \"m\"]\npath = /m\n[model \"n\"]\npath = /n\n[alias]\nm = n\n",
     "[alias] m: hides the model of the same name"},
    {"[model \"model\"]\npath = /m\n[alias]\na = modell\n",
     "[alias] a: no model \"modell\"; did you mean \"model\"?"},
    {"[model \"model\"]\npath = /m\n[alias]\na = model\nb = a\n", "[alias] b: no model \"a\""},
    {"[gateway]\nlisten = 0.0.0.0:80\n",
     "gateway.listen: \"0.0.0.0:80\" is not a loopback address and no [key] is configured; add a "
     "[key] or set allow_anonymous = yes"},
    {"[gateway]\nlisten = :80\n",
     "gateway.listen: \":80\" is not a loopback address and no [key] is configured; add a [key] or "
     "set allow_anonymous = yes"},
    {"[gateway]\nlisten = 0.0.0.0:80\nallow_anonymous = yes\n", NULL},
    {"[gateway]\nlisten = [::]:80\n[key \"k\"]\nsha256 = " DIGEST "\n", NULL},
    {"[gateway]\nlisten = localhost:0\n", NULL},
    {"[gateway]\nlisten = 127.0.0.1\n", "gateway.listen: found \"127.0.0.1\", expected host:port"},
    {"[gateway]\nlisten =\n", "gateway.listen: found \"\", expected host:port"},
    {"[gateway]\nmetrics_listen = x\n", "gateway.metrics_listen: found \"x\", expected host:port"},
    {"[gateway]\nmetrics_listen =\n", NULL},
    {"[gateway]\ntls_cert = /c\n", "gateway: found tls_cert without tls_key, expected both or neither"},
    {"[gateway]\ntls_key = /k\n", "gateway: found tls_key without tls_cert, expected both or neither"},
    {"[gateway]\ntls_cert = /c\ntls_key = /k\n", NULL},
    {"[key \"k\"]\n",
     "[key \"k\"]: sha256 has 0 characters that are no digest, expected 64 hexadecimal digits"},
    {"[key \"k\"]\nsha256 = " DIGEST "0\n",
     "[key \"k\"]: sha256 has 65 characters that are no digest, expected 64 hexadecimal digits"},
    {"[instance]\nlog_level = warn\n", "instance.log_level: unknown \"warn\""},
    {"[instance]\nlog_level = inof\n", "instance.log_level: unknown \"inof\"; did you mean \"info\"?"},
    {"[instance]\nlog_format = xml\n", "instance.log_format: unknown \"xml\""},
    {"[instance]\nlog_format = json\nlog_level = debug\n", NULL},
    {"[instance]\nname = ../x\n",
     "instance.name: found \"../x\", expected 1 to 64 letters, digits, '.', '_' or '-'"},
    {"[instance]\nname =\n",
     "instance.name: found \"\", expected 1 to 64 letters, digits, '.', '_' or '-'"},
    {"[instance]\nname = a.b-c_1\n", NULL},
};
/* clang-format on */

static void rules_over_several_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct config c;
        struct err e = {0};
        parse(&c, rules[i].text);
        int rc = config_validate(&c, &e);
        if (rc != (rules[i].sentence == NULL ? 0 : -EINVAL))
            fail_msg("row %zu: %d %s", i, rc, e.text);
        if (rc != 0)
            assert_string_equal(e.text, rules[i].sentence);
        config_free(&c);
    }
}

static void addresses_are_split(void **state)
{
    static const struct {
        const char *address, *host; /* NULL = refused */
        int port, is_loopback;
    } rows[] = {
        {"127.0.0.1:31313", "127.0.0.1", 31313, 1},
        {"127.9.8.7:1", "127.9.8.7", 1, 1},
        {"128.0.0.1:1", "128.0.0.1", 1, 0},
        {"[::1]:65535", "::1", 65535, 1},
        {"[::]:1", "::", 1, 0},
        {"[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1, 1},
        {"[::ffff:1.2.3.4]:1", "::ffff:1.2.3.4", 1, 0},
        {":0", "", 0, 0},
        {"localhost:80", "localhost", 80, 1},
        {"example.org:80", "example.org", 80, 0},
        {"127.0.0.1.example.org:80", "127.0.0.1.example.org", 80, 0},
        {"", NULL, 0, 0},
        {"host", NULL, 0, 0},
        {"host:", NULL, 0, 0},
        {"host:65536", NULL, 0, 0},
        {"host:-1", NULL, 0, 0},
        {"host:8 0", NULL, 0, 0},
        {"host:http", NULL, 0, 0},
        {"host:000080", NULL, 0, 0},
        {"::1:80", NULL, 0, 0},
        {"[::1]", NULL, 0, 0},
        {"[::1:80", NULL, 0, 0},
        {"[::1]80", NULL, 0, 0},
        {"[host]:80", NULL, 0, 0},
        {"http://host:80", NULL, 0, 0},
        {"a b:80", NULL, 0, 0},
        {"longer-than-the-room-for-the-host:80", NULL, 0, 0},
    };
    char host[25];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint16_t port = 0;
        struct err e = {0};
        int rc = config_split_address(rows[i].address, host, sizeof host, &port, &e);
        if (rc != (rows[i].host != NULL ? 0 : -EINVAL))
            fail_msg("%s: %d %s", rows[i].address, rc, e.text);
        assert_int_equal(rc == 0, e.code == 0);
        assert_int_equal(config_is_loopback(rows[i].address), rows[i].is_loopback);
        if (rc != 0)
            continue;
        assert_string_equal(host, rows[i].host);
        assert_int_equal(port, rows[i].port);
    }
}

static void environment_overrides(void **state)
{
    char path[] = "/tmp/config_test.XXXXXX";
    struct config c;
    struct err e = {0};
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    dprintf(fd, "[gateway]\nqueue_depth = 5\nqueue_timeout_s = 6\n");
    close(fd);
    setenv("CORTEX_GATEWAY__QUEUE_DEPTH", "7", 1);
    setenv("CORTEX_INSTANCE__NAME", "from-env", 1);
    setenv("CORTEX_GATEWAY__HOSTS", " a ; b\"", 1);
    setenv("CORTEX_GATEWAY__METRICS_LISTEN", "", 1);
    setenv("CORTEX_HOME", "one underscore is not ours", 1);
    assert_int_equal(config_load(&c, path, NULL, &e), 0);
    assert_int_equal(c.gateway.queue_depth, 7);
    assert_int_equal(c.gateway.queue_timeout_s, 6);
    assert_string_equal(c.instance.name, "from-env");
    assert_string_equal(c.gateway.hosts, " a ; b\"");
    assert_string_equal(c.gateway.metrics_listen, "");

    struct buf text = {0};
    struct config again;
    config_print(&c, &text, false);
    parse(&again, buf_text(&text));
    assert_string_equal(again.gateway.hosts, " a ; b\"");
    config_free(&c);
    config_free(&again);
    buf_free(&text);
    unsetenv("CORTEX_GATEWAY__QUEUE_DEPTH");
    unsetenv("CORTEX_INSTANCE__NAME");
    unsetenv("CORTEX_GATEWAY__HOSTS");
    unsetenv("CORTEX_GATEWAY__METRICS_LISTEN");
    unsetenv("CORTEX_HOME");
    unlink(path);
}

/* clang-format off */
static void environment_errors(void **state)
{
    static const struct {
        const char *name, *value, *sentence;
    } rows[] = {
        {"CORTEX_GATEWAY__LISEN", "x",
         "environment CORTEX_GATEWAY__LISEN: no such section and key; did you mean CORTEX_GATEWAY__LISTEN?"},
        {"CORTEX_gateway__listen", "x",
         "environment CORTEX_gateway__listen: no such section and key; did you mean CORTEX_GATEWAY__LISTEN?"},
        {"CORTEX_COMPLETELY__SOMETHING_ELSE_AND_LONG", "x",
         "environment CORTEX_COMPLETELY__SOMETHING_ELSE_AND_LONG: no such section and key"},
        {"CORTEX_MODEL__PATH", "x",
         "environment CORTEX_MODEL__PATH: sections with a name, like [model \"...\"], are set in the file only"},
        {"CORTEX_GATEWAY__BODY_MAX_MB", "0",
         "environment CORTEX_GATEWAY__BODY_MAX_MB: found \"0\", " BODY_RANGE},
        {"CORTEX_GATEWAY__HOSTS", "\xff", "environment CORTEX_GATEWAY__HOSTS: " NOT_TEXT},
        {"CORTEX_GATEWAY__LISTEN", "0.0.0.0:1",
         "configuration: gateway.listen: \"0.0.0.0:1\" is not a loopback address and no [key] is "
         "configured; add a [key] or set allow_anonymous = yes"},
    };
    char name[300];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config c;
        struct err e = {0};
        setenv(rows[i].name, rows[i].value, 1);
        assert_int_equal(config_load(&c, NULL, NULL, &e), -EINVAL);
        assert_string_equal(e.text, rows[i].sentence);
        unsetenv(rows[i].name);
    }
    snprintf(name, sizeof name, "CORTEX_%0250d", 0);
    memcpy(name + 20, "__", 2);
    setenv(name, "x", 1);
    struct config c;
    assert_int_equal(config_load(&c, NULL, NULL, NULL), -EINVAL);
    unsetenv(name);
}
/* clang-format on */

/* The command line comes last, and adds models. */
static void words_of_the_command_line(void **state)
{
    static const struct config_words words = {
        {{"gateway", NULL, "listen", "127.0.0.1:7"}, {"model", "o/n", "path", "/m = x; y"}}, 2};
    static const struct {
        struct config_word word;
        const char *sentence;
    } rows[] = {
        {{"gateway", NULL, "listen", "here"},
         "configuration: gateway.listen: found \"here\", expected host:port"},
        {{"gateway", NULL, "listen", "\x01"},
         "command line: listen of gateway: found bytes that are not UTF-8, or control bytes"},
        {{"model", "", "path", "/m"},
         "command line: \"\": expected a name of 1 to 127 bytes of text"},
        {{"model", "o/n", "path", "/m"}, "command line: [model \"o/n\"] is there already"},
    };
    struct config c;
    struct err e = {0};

    (void)state;
    setenv("CORTEX_GATEWAY__LISTEN", "127.0.0.1:8", 1);
    assert_int_equal(config_load(&c, NULL, &words, &e), 0);
    unsetenv("CORTEX_GATEWAY__LISTEN");
    assert_string_equal(c.gateway.listen, "127.0.0.1:7");
    assert_int_equal(c.n_models, 1);
    assert_string_equal(c.models[0].id, "o/n");
    assert_string_equal(c.models[0].path, "/m = x; y");
    assert_int_equal(c.models[0].workers, 1);
    config_free(&c);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config_words wrong = words;
        wrong.word[wrong.n++] = rows[i].word;
        assert_int_equal(config_load(&c, NULL, &wrong, &e), -EINVAL);
        assert_string_equal(e.text, rows[i].sentence);
        assert_int_equal(c.n_models, 0);
    }
}

static void files_that_cannot_be_read(void **state)
{
    struct config c;
    struct err e = {0};

    (void)state;
    assert_int_equal(config_load(&c, "/nowhere/cortex.ini", NULL, &e), -ENOENT);
    assert_string_equal(e.text, "open /nowhere/cortex.ini: No such file or directory");
    assert_int_equal(config_load(&c, "/dev/null", NULL, &e), -EINVAL);
    assert_string_equal(e.text, "/dev/null: found no regular file, expected one");
    assert_null(c.models);
}

/* One of everything, each key another value than its default. */
static const char full[] = "[instance]\nname = i\nlog_format = json\nlog_level = debug\n"
                           "segment_group = \"g;\"\n"
                           "[gateway]\nlisten = [::1]:1\nhosts = \"; \\\"x\\\\y\\\" \"\n"
                           "allow_anonymous = yes\n"
                           "[supervisor]\nhang_ms = 201\n"
                           "[model \"a \\\"quoted\\\\ ] name\"]\npath = \"#/p ;x\"\nworkers = 2\n"
                           "[model \"b\"]\nsimulate = yes\n"
                           "[key \"k\"]\nsha256 = " DIGEST "\nmodels = b\n"
                           "[alias]\nx:y = b\n#c = b\n\"q\" = \" b;\"\n";

static void print_and_parse_agree(void **state)
{
    struct config one, two;

    (void)state;
    parse(&one, full);
    assert_int_equal(one.n_aliases, 2);
    for (int is_commented = 0; is_commented < 2; is_commented++) {
        struct buf first = {0}, second = {0};
        config_print(&one, &first, is_commented);
        parse(&two, buf_text(&first));
        config_print(&two, &second, is_commented);
        assert_string_equal(buf_text(&first), buf_text(&second));
        assert_string_equal(two.gateway.hosts, "; \"x\\y\" ");
        assert_string_equal(two.models[0].id, "a \"quoted\\ ] name");
        assert_string_equal(two.models[0].path, "#/p ;x");
        assert_string_equal(two.aliases[1].id, "\"q\"");
        assert_string_equal(two.aliases[1].model, " b;");
        config_free(&two);
        buf_free(&first);
        buf_free(&second);
    }
    config_free(&one);
}

static void the_print_survives_a_sealed_memfd(void **state)
{
    struct buf text = {0}, back = {0};
    struct config c;
    struct err e = {0};

    (void)state;
    parse(&c, full);
    config_print(&c, &text, false);
    int fd = fd_sealed_text("config", text.data, text.len, &e);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(fd_read_all(fd, &back, CONFIG_TEXT_MAX, &e), 0);
    assert_int_equal(back.len, text.len);
    assert_memory_equal(back.data, text.data, text.len);
    buf_clear(&back);
    assert_int_equal(fd_read_all(fd, &back, text.len, &e), 0);
    buf_clear(&back);
    assert_int_equal(fd_read_all(fd, &back, text.len - 1, &e), -EFBIG);

    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fd_set_cloexec(fd, 0), 0);
    assert_int_equal(fcntl(fd, F_GETFD), 0);
    assert_int_equal(fd_set_nonblocking(fd), 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    close(fd);
    assert_int_equal(fd_set_nonblocking(fd), -EBADF);
    assert_int_equal(fd_read_all(fd, &back, 1, &e), -EBADF);
    config_free(&c);
    buf_free(&text);
    buf_free(&back);
}

static void the_reference_has_every_key(void **state)
{
    static const char *const keys[] = {
#define KEY(key, type, def, min, max, unit, reload, help) #key,
#define X(section, list, ...)                             list(KEY)
        CONFIG_SECTIONS(X) CONFIG_NAMED_SECTIONS(X)
#undef X
#undef KEY
    };
    struct buf text = {0};
    char cell[64];

    (void)state;
    config_print_reference(&text);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        snprintf(cell, sizeof cell, "\n| `%s` |", keys[i]);
        assert_non_null(strstr(buf_text(&text), cell));
    }
    assert_non_null(strstr(buf_text(&text), "| `body_max_mb` | `64` | 1 to 190 MiB | reload |"));
    buf_free(&text);
}

static void differences(void **state)
{
    struct config from, to;
    uint8_t action[CONFIG_MODELS_MAX];
    char keys[200], few[40];

    (void)state;
    parse(&from, full);
    parse(&to, full);
    config_diff(&from, &to, keys, sizeof keys, action);
    assert_string_equal(keys, "");
    assert_int_equal(action[0] | action[1], 0);
    config_free(&to);

    parse(&to, "[instance]\nname = i\nlog_format = json\nsegment_group = \"g;\"\n"
               "[gateway]\nlisten = [::1]:2\nhosts = other\nallow_anonymous = no\n"
               "[model \"c\"]\nsimulate = yes\n"
               "[model \"b\"]\nsimulate = yes\n"
               "[model \"a \\\"quoted\\\\ ] name\"]\npath = \"#/p ;x\"\nworkers = 3\n");
    config_diff(&from, &to, keys, sizeof keys, action);
    assert_string_equal(keys, "instance.log_level, gateway.listen, gateway.allow_anonymous");
    assert_int_equal(action[0], 1);
    assert_int_equal(action[1], 0);
    assert_int_equal(action[2], 2);
    config_diff(&from, &to, few, sizeof few, action);
    assert_string_equal(few, "instance.log_level, gateway.listen, ...");
    config_diff(&from, &to, few, 30, action);
    assert_string_equal(few, "instance.log_level, ...");
    config_free(&to);
    config_free(&from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_tables),
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(every_spelling_of_a_boolean),
        cmocka_unit_test(errors_name_the_line),
        cmocka_unit_test(too_many_sections_and_aliases),
        cmocka_unit_test(rules_over_several_keys),
        cmocka_unit_test(addresses_are_split),
        cmocka_unit_test(environment_overrides),
        cmocka_unit_test(environment_errors),
        cmocka_unit_test(words_of_the_command_line),
        cmocka_unit_test(files_that_cannot_be_read),
        cmocka_unit_test(print_and_parse_agree),
        cmocka_unit_test(the_print_survives_a_sealed_memfd),
        cmocka_unit_test(the_reference_has_every_key),
        cmocka_unit_test(differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
