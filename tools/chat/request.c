#include "tools/chat/request.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int set_number(const char *text, double least, double most, bool is_whole, double *to)
{
    char *end;

    errno = 0;
    *to = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !isfinite(*to) || *to < least || *to > most ||
        (is_whole && *to != floor(*to)))
        return -EINVAL;
    return 0;
}

static int take_config(struct request *r, const char *text)
{
    r->target.config_path = text;
    return 0;
}

static int take_url(struct request *r, const char *text)
{
    r->target.url = text;
    return 0;
}

static int take_key_file(struct request *r, const char *text)
{
    r->target.key_path = text;
    return 0;
}

static int take_system(struct request *r, const char *text)
{
    r->system = text;
    return 0;
}

static int take_max_tokens(struct request *r, const char *text)
{
    double n;
    int rc = set_number(text, 1, 1 << 30, true, &n);

    r->wishes.max_tokens = rc == 0 ? (int64_t)n : 0;
    return rc;
}

static int take_temperature(struct request *r, const char *text)
{
    return set_number(text, 0, 2, false, &r->wishes.temperature);
}

static int take_seed(struct request *r, const char *text)
{
    char *end;

    errno = 0;
    r->wishes.seed = strtoull(text, &end, 10);
    r->wishes.has_seed = true;
    return errno == 0 && *end == '\0' && text[0] >= '0' && text[0] <= '9' &&
                   r->wishes.seed <= INT64_MAX
               ? 0
               : -EINVAL;
}

static int take_no_think(struct request *r, const char *text)
{
    (void)text;
    r->wishes.no_thinking = true;
    return 0;
}

/* X(letter or 0, name, argument or NULL, function, help) */
#define OPTIONS(X) \
    X(0, "system", "TEXT", take_system, "what the model is told about its part") \
    X(0, "max-tokens", "N", take_max_tokens, "the longest answer") \
    X(0, "temperature", "X", take_temperature, "0 to 2; 0 is always the likeliest token") \
    X(0, "seed", "N", take_seed, "the same seed gives the same answer") \
    X(0, "no-think", NULL, take_no_think, \
      "no reasoning, where the model's template can do without") \
    X('c', "config", "FILE", take_config, "MODEL: the configuration of the node to ask") \
    X(0, "url", "URL", take_url, "MODEL: the node to ask, as http://host:port") \
    X(0, "key-file", "FILE", take_key_file, "MODEL: a file with the API key") \
    X('h', "help", NULL, NULL, "this page")

static const struct {
    int letter;
    const char *name, *argument;
    int (*take)(struct request *r, const char *text);
    const char *help;
} rows[] = {
#define X(letter, name, argument, take, help) {letter, name, argument, take, help},
    OPTIONS(X)
#undef X
};
#define ROWS_N     (sizeof rows / sizeof rows[0])
#define FIRST_LONG 256

static void print_page(void)
{
    char head[64];

    printf(
        "cortex run: chat in the terminal\n\n"
        "usage: cortex run [OPTION]... [MODEL|DIR [PROMPT]]\n\n"
        "Without MODEL and DIR: with the demo model that Cortex brings along. DIR is\n"
        "a model's directory: a node of its own is started for it and ended with the chat. MODEL\n"
        "is one of a node that runs: at the address of --url, or of the configuration\n"
        "(" CONFIG_PATH " unless there is none, and the environment).\n"
        "With PROMPT, or with one on standard input that is no terminal: the answer, and the\n"
        "end. Without: a conversation; /help there tells more. Reasoning is shown on a terminal\n"
        "only.\n\n");
    for (size_t i = 0; i < ROWS_N; i++) {
        snprintf(head, sizeof head, "%s--%s%s%s", rows[i].letter == 'c' ? "-c, " : "", rows[i].name,
                 rows[i].argument != NULL ? " " : "",
                 rows[i].argument != NULL ? rows[i].argument : "");
        printf("  %-18s %s\n", head, rows[i].help);
    }
    printf(
        "\nExit codes: %d done, %d usage, refused by the node or the model, %d may work later.\n",
        EXIT_OK, EXIT_PERMANENT, EXIT_TEMPORARY);
}

static int refuse(const char *what, const char *why)
{
    fprintf(stderr, "cortex: run: %s%s%s; `cortex help run` tells more\n", what,
            why[0] != '\0' ? ": " : "", why);
    return EXIT_PERMANENT;
}

static int take_option(struct request *r, size_t i)
{
    if (rows[i].take(r, optarg) == 0)
        return EXIT_OK;
    fprintf(stderr, "cortex: run: --%s %.60s: expected %s: %s\n", rows[i].name, optarg,
            rows[i].argument, rows[i].help);
    return EXIT_PERMANENT;
}

int request_parse(struct request *r, int argc, char **argv)
{
    struct option longs[ROWS_N + 1] = {0};
    int letter, code;

    *r = (struct request){.wishes = {.temperature = NAN}};
    for (size_t i = 0; i < ROWS_N; i++)
        longs[i] = (struct option){rows[i].name,
                                   rows[i].argument != NULL ? required_argument : no_argument, NULL,
                                   FIRST_LONG + (int)i};
    opterr = 0;
    while ((letter = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        if (letter == '?')
            return refuse(argv[optind - 1], "unknown option, or its value is missing");
        size_t i = (size_t)(letter - FIRST_LONG);
        for (size_t k = 0; letter < FIRST_LONG && k < ROWS_N; k++)
            if (rows[k].letter == letter)
                i = k;
        if (rows[i].take == NULL) {
            print_page();
            r->is_page_only = true;
            return EXIT_OK;
        }
        if ((code = take_option(r, i)) != EXIT_OK)
            return code;
    }
    if (argc - optind > 2)
        return refuse(argv[optind + 2], "one PROMPT; put it in quotes");
    if (argc == optind)
        return target_is_given(&r->target) ? refuse("no MODEL", "") : EXIT_OK;
    r->subject = argv[optind];
    r->prompt = argv[optind + 1]; /* or the NULL at the end */
    return EXIT_OK;
}
