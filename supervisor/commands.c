#include "supervisor/commands.h"

#include "base/buf.h"
#include "base/config.h"
#include "base/names.h"
#include "supervisor/serve.h"
#include "supervisor/tree.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct options {
    const char *config_path;
    bool is_reference;
};

struct command {
    const char *name;
    const char *usage;
    const char *help;
    const char *letters; /* options it takes, as getopt has them */
    int (*run)(const struct options *o);
};

static int run_serve(const struct options *o)
{
    return serve_run(o->config_path);
}

static int print_buf(struct buf *b)
{
    bool is_written = fwrite(b->data, 1, b->len, stdout) == b->len && fflush(stdout) == 0;

    buf_free(b);
    if (is_written)
        return EXIT_OK;
    perror("cortex: stdout");
    return EXIT_TEMPORARY;
}

static int run_check_config(const struct options *o)
{
    struct config c = {0};
    struct buf out = {0};
    struct err e = {0};

    if (o->is_reference) {
        config_print_reference(&out);
        return print_buf(&out);
    }
    if (config_load(&c, serve_config_path(o->config_path), &e) != 0 ||
        tree_check_config(&c, &e) != 0) {
        fprintf(stderr, "cortex: %s\n", e.text);
        config_free(&c);
        return EXIT_PERMANENT;
    }
    config_print(&c, &out, true);
    config_free(&c);
    return print_buf(&out);
}

static int run_version(const struct options *o)
{
    (void)o;
    printf("cortex %s\n", CORTEX_VERSION);
    return EXIT_OK;
}

static int run_help(const struct options *o);

static const struct command commands[] = {
    {"serve", "serve [-c FILE]", "run the node until SIGTERM", "c:", run_serve},
    {"check-config", "check-config [-c FILE] [--reference]",
     "print the effective configuration, or the reference of all keys", "c:R", run_check_config},
    {"version", "version", "print the version", "", run_version},
    {"help", "help", "print this", "", run_help},
};
#define COMMANDS_N (sizeof commands / sizeof commands[0])

static int run_help(const struct options *o)
{
    (void)o;
    printf("usage: cortex COMMAND\n\n");
    for (size_t i = 0; i < COMMANDS_N; i++)
        printf("  %-40s %s\n", commands[i].usage, commands[i].help);
    printf("\nFILE is %s unless given.\n", SERVE_CONFIG_PATH);
    return EXIT_OK;
}

static int refuse(const char *text, const char *name)
{
    const char *names[COMMANDS_N];

    for (size_t i = 0; i < COMMANDS_N; i++)
        names[i] = commands[i].name;
    const char *nearest = names_nearest(name, names, COMMANDS_N);
    fprintf(stderr, "cortex: %s \"%s\"", text, name);
    if (nearest != NULL)
        fprintf(stderr, "; did you mean \"%s\"?\n", nearest);
    else
        fprintf(stderr, "; `cortex help` lists them\n");
    return EXIT_PERMANENT;
}

static const struct command *find_command(const char *name)
{
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < COMMANDS_N; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

static int refuse_usage(const struct command *c, const char *what)
{
    fprintf(stderr, "cortex: %s: %s; usage: cortex %s\n", c->name, what, c->usage);
    return EXIT_PERMANENT;
}

int commands_run(int argc, char **argv)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'}, {"reference", no_argument, NULL, 'R'}, {0}};
    struct options o = {0};
    int letter;

    if (argc < 2) {
        run_help(&o);
        return EXIT_PERMANENT;
    }
    const struct command *c = find_command(argv[1]);
    if (c == NULL)
        return refuse("unknown command", argv[1]);
    opterr = 0;
    while ((letter = getopt_long(argc - 1, argv + 1, "c:", longs, NULL)) != -1) {
        if (letter == '?' || strchr(c->letters, letter) == NULL)
            return refuse_usage(c, "unknown option, or its value is missing");
        if (letter == 'c')
            o.config_path = optarg;
        else
            o.is_reference = true;
    }
    if (optind < argc - 1)
        return refuse_usage(c, "too many arguments");
    return c->run(&o);
}
