#include "tools/bench/streams_options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_type { NUMBER, SECONDS, STRING, FLAG };

/* The defaults of all types are in one column, each read by its own type's code only. */
#define DEFAULT_NUMBER(value)  .number = (value)
#define DEFAULT_SECONDS(value) .seconds = (value)
#define DEFAULT_STRING(value)  .string = (value)
#define DEFAULT_FLAG(value)    .number = (value)

static const struct row {
    const char *name, *argument, *help;
    enum option_type type;
    size_t offset;
    double least, most;
    uint64_t number;
    double seconds;
    const char *string;
} rows[] = {
#define X(text, member, kind, arg, def, min, max, explained) \
    {.name = text, \
     .argument = arg, \
     .help = explained, \
     .type = kind, \
     .offset = offsetof(struct options, member), \
     .least = (double)(min), \
     .most = (double)(max), \
     DEFAULT_##kind(def)},
    STREAMS_OPTIONS(X)
#undef X
};
#define ROWS (sizeof rows / sizeof rows[0])

static void print_help(void)
{
    printf("streams [OPTION]... [ADDRESS:PORT]\n\n"
           "Opens streams to a Cortex with simulated models (127.0.0.1:31313 by default), checks\n"
           "every byte that comes, and prints errors, latencies, and the router's CPU and memory.\n"
           "Exit code: 0 = no error, 1 = errors, 100 = usage.\n\n");
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *r = &rows[i];
        char left[40];
        snprintf(left, sizeof left, "--%s %s", r->name, r->argument != NULL ? r->argument : "");
        printf("  %-22s %s", left, r->help);
        if (r->type == NUMBER && r->number != UINT64_MAX)
            printf(" [%llu]", (unsigned long long)r->number);
        else if (r->type == SECONDS)
            printf(" [%g]", r->seconds);
        else if (r->type == STRING && r->string != NULL)
            printf(" [%s]", r->string);
        putchar('\n');
    }
    printf("  %-22s %s\n", "--help", "This text");
}

static void set_default(struct options *o, const struct row *r)
{
    void *member = (char *)o + r->offset;

    switch (r->type) {
    case NUMBER:
        *(uint64_t *)member = r->number;
        break;
    case SECONDS:
        *(double *)member = r->seconds;
        break;
    case STRING:
        *(const char **)member = r->string;
        break;
    case FLAG:
        *(bool *)member = false;
        break;
    }
}

static int set_value(struct options *o, const struct row *r, const char *text, struct err *e)
{
    void *member = (char *)o + r->offset;
    char *end = NULL;
    double seconds = r->type == SECONDS ? strtod(text, &end) : 0;
    uint64_t number = r->type == NUMBER ? strtoull(text, &end, 10) : 0;
    double value = r->type == SECONDS ? seconds : (double)number;

    if (r->type == FLAG) {
        *(bool *)member = true;
        return 0;
    }
    if (r->type == STRING) {
        *(const char **)member = text;
        return 0;
    }
    if (*text < '0' || *text > '9' || *end != '\0' || !(value >= r->least && value <= r->most))
        return err_set(e, EINVAL, "--%s: found %s, expected a number from %g to %g", r->name, text,
                       r->least, r->most);
    if (r->type == NUMBER)
        *(uint64_t *)member = number;
    else
        *(double *)member = seconds;
    return 0;
}

static int set_address(struct options *o, const char *text, struct err *e)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;

    if (colon == NULL || (size_t)(colon - text) >= sizeof host || *end != '\0' || port == 0 ||
        port > 65535)
        return err_set(e, EINVAL, "%s: expected ADDRESS:PORT", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    o->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &o->address.sin_addr) != 1)
        return err_set(e, EINVAL, "%s: expected an IPv4 address before the port", text);
    return 0;
}

static int check_together(struct options *o, struct err *e)
{
    if (strpbrk(o->model, "\"\\") != NULL || strpbrk(o->prompt, "\"\\\n") != NULL)
        return err_set(e, EINVAL, "--model, --prompt: no quotes, backslashes or line ends");
    if (strcmp(o->finish, "any") == 0)
        o->finish = NULL;
    if (o->timeout_s > 0)
        return 0;
    o->timeout_s = o->ramp_s + 60 + (double)o->prefill_ms / 1000;
    if (o->is_not_streamed)
        o->timeout_s += o->seconds;
    else if (o->rate > 0)
        o->timeout_s += 3 * (double)o->n_tokens / (double)o->rate;
    return 0;
}

int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
    struct option known[ROWS + 2] = {{0}};
    int found, at = 0;

    *o = (struct options){0};
    for (size_t i = 0; i < ROWS; i++) {
        set_default(o, &rows[i]);
        known[i].name = rows[i].name;
        known[i].has_arg = rows[i].argument != NULL ? required_argument : no_argument;
    }
    known[ROWS] = (struct option){.name = "help", .val = 'h'};
    while ((found = getopt_long(argc, argv, "", known, &at)) != -1) {
        if (found == 'h') {
            print_help();
            return 1;
        }
        if (found == '?')
            return err_set(e, EINVAL, "see --help");
        if (set_value(o, &rows[at], optarg, e) != 0)
            return -e->code;
    }
    if (argc - optind > 1)
        return err_set(e, EINVAL, "%s: one address is enough", argv[optind + 1]);
    if (set_address(o, optind < argc ? argv[optind] : "127.0.0.1:31313", e) != 0)
        return -e->code;
    return check_together(o, e);
}
