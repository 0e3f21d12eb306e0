#include "base/names.h"
#include "tools/cortexctl/ctl.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_FOLLOWING 20

enum { OPT_FOLLOW = 1, OPT_LINES = 2, OPT_BUILT_IN = 4, OPT_REFERENCE = 8 };

/* One row a command: its part of --help, which options it takes beside the common ones, what it
 * does. */
static const struct command {
    const char *name;
    const char *args;
    const char *help;
    unsigned options;
    int (*run)(struct ctl *c, struct err *e);
} commands[] = {
    {"status", "", "the instance, its processes and models, totals", 0, ctl_status},
    {"models", "", "the models: who serves them, or why nobody does", 0, ctl_models},
    {"workers", "", "the workers: what each loads, runs and has done; the weights they share", 0,
     ctl_workers},
    {"requests", "", "the requests in flight", 0, ctl_requests},
    {"counters", "[--reference]", "all counters and histograms", OPT_REFERENCE, ctl_counters},
    {"log", "[-f] [-n N]", "the last log lines of all processes by time; -f: go on",
     OPT_FOLLOW | OPT_LINES, ctl_log},
    {"layout", "[--built-in]", "the layout of the shared memory, or of this program's",
     OPT_BUILT_IN, ctl_layout},
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void print_help(void)
{
    printf("cortexctl: what a Cortex instance is doing, or was when it died; reads shared memory "
           "only\n\n"
           "usage: cortexctl [--instance NAME] [--json] COMMAND\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %-8s %-14s %s\n", commands[i].name, commands[i].args, commands[i].help);
    printf("\n"
           "  --instance NAME  the instance, \"default\" when not given\n"
           "  --json           JSON, one document (log: one object a line)\n"
           "  -f, --follow     log: print new lines as they come, also of later starts\n"
           "  -n, --lines N    log: only the last N lines (with -f %d when not given)\n"
           "  --built-in       layout: of this program, without an instance\n"
           "  --reference      counters: what each means, as Markdown, without an instance\n"
           "  --help, --version\n\n"
           "exit codes: 0 done, 1 no such instance or not readable, 2 usage\n",
           LINES_FOLLOWING);
}

static int refuse(const char *what, const char *why)
{
    fprintf(stderr, "cortexctl: %s: %s; see cortexctl --help\n", what, why);
    return CTL_USAGE;
}

static int refuse_command(const char *name)
{
    const char *names[N_COMMANDS];

    for (size_t i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i].name;
    const char *nearest = names_nearest(name, names, N_COMMANDS);
    fprintf(stderr, "cortexctl: unknown command \"%s\"", name);
    if (nearest != NULL)
        fprintf(stderr, ", did you mean %s?", nearest);
    fprintf(stderr, "; see cortexctl --help\n");
    return CTL_USAGE;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

static bool parse_lines(const char *text, uint64_t *lines)
{
    char *end;

    errno = 0;
    *lines = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

/* CTL_OK with the command and c filled, or -1 when all is said (--help), or CTL_USAGE. */
static int parse_arguments(int argc, char **argv, struct ctl *c, const struct command **command)
{
    enum { HELP = 256, VERSION, INSTANCE, JSON, BUILT_IN, REFERENCE };
    static const struct option options[] = {
        {"help", no_argument, NULL, HELP},
        {"version", no_argument, NULL, VERSION},
        {"instance", required_argument, NULL, INSTANCE},
        {"json", no_argument, NULL, JSON},
        {"follow", no_argument, NULL, 'f'},
        {"lines", required_argument, NULL, 'n'},
        {"built-in", no_argument, NULL, BUILT_IN},
        {"reference", no_argument, NULL, REFERENCE},
        {NULL, 0, NULL, 0},
    };
    unsigned used = 0;
    int opt;

    while ((opt = getopt_long(argc, argv, "fn:", options, NULL)) != -1) {
        switch (opt) {
        case HELP:
            print_help();
            return -1;
        case VERSION:
            printf("cortexctl %s\n", CORTEX_VERSION);
            return -1;
        case INSTANCE:
            c->instance = optarg;
            break;
        case JSON:
            c->is_json = true;
            break;
        case 'f':
            c->is_following = true;
            used |= OPT_FOLLOW;
            break;
        case 'n':
            if (!parse_lines(optarg, &c->lines))
                return refuse(optarg, "not a number of lines");
            used |= OPT_LINES;
            break;
        case BUILT_IN:
            c->is_built_in = true;
            used |= OPT_BUILT_IN;
            break;
        case REFERENCE:
            c->is_reference = true;
            used |= OPT_REFERENCE;
            break;
        default: /* getopt has said what */
            return CTL_USAGE;
        }
    }
    if (optind >= argc)
        return refuse("command", "none given");
    if (optind + 1 < argc)
        return refuse(argv[optind + 1], "one command at a time");
    *command = find_command(argv[optind]);
    if (*command == NULL)
        return refuse_command(argv[optind]);
    if ((used & ~(*command)->options) != 0)
        return refuse((*command)->name, "does not take that option");
    if (c->is_following && (used & OPT_LINES) == 0)
        c->lines = LINES_FOLLOWING;
    return CTL_OK;
}

int main(int argc, char **argv)
{
    struct ctl c = {.instance = "default", .lines = UINT64_MAX};
    const struct command *command = NULL;
    struct err e = {0};
    int rc = parse_arguments(argc, argv, &c, &command);

    if (rc != CTL_OK)
        return rc < 0 ? CTL_OK : rc;
    rc = c.is_built_in || c.is_reference ? ctl_attach_built_in(&c, &e) : ctl_attach(&c, &e);
    if (rc == 0)
        rc = command->run(&c, &e);
    if (rc == 0) {
        rc = ctl_flush(&c);
        if (rc != 0)
            err_set(&e, -rc, "write: %s", strerror(-rc));
    }
    if (rc != 0)
        fprintf(stderr, "cortexctl: %s\n", e.text);
    buf_free(&c.out);
    ctl_detach(&c);
    return rc == 0 ? CTL_OK : CTL_FAILED;
}
