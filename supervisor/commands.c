#include "supervisor/commands.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/names.h"
#include "supervisor/programs.h"
#include "supervisor/serve.h"
#include "supervisor/tree.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct invocation {
    struct options options;
    bool is_reference;
    const char *operand; /* NULL = none */
};

/* X(letter, name, argument or NULL, help) */
#define OPTIONS(X) \
    X('c', "config", "FILE", \
      "the configuration; else " CONFIG_PATH ", if it exists and no --model is given") \
    X('m', "model", "[NAME=]DIR", "a model beside those of the configuration; repeatable") \
    X('l', "listen", "ADDRESS", "the client API's host:port, whatever the configuration says") \
    X('R', "reference", NULL, "every key, as Markdown") \
    X('h', "help", NULL, "this page")

static const struct option_row {
    int letter; /* 'c' alone is an option by itself */
    const char *name, *argument, *help;
} option_rows[] = {
#define X(letter, name, argument, help) {letter, name, argument, help},
    OPTIONS(X)
#undef X
};
#define OPTIONS_N (sizeof option_rows / sizeof option_rows[0])

static int run_serve(const struct invocation *in);
static int run_check_config(const struct invocation *in);
static int run_version(const struct invocation *in);
static int run_help(const struct invocation *in);

#define ABOUT_MODELS \
    "A model is a directory with config.json, tokenizer.json and *.safetensors. It is called\n" \
    "NAME; else org/name, when DIR is models--org--name/snapshots/REV of a hub's cache, ends in\n" \
    "models/org/name, or was typed as org/name; else as the directory. What begins with '/' or\n" \
    "'.' is a DIR even with a '=' in it.\n"

/* One row a command. Either it is done here, with the letters of its options, or by a program
 * beside this one, which gets the rest of the command line and has a page of its own. */
static const struct command {
    const char *name, *usage, *help, *about;
    const char *letters;
    bool takes_operand;
    int (*run)(const struct invocation *in);
    const char *program, *mode; /* mode: its first argument, or NULL */
} commands[] = {
    {.name = "serve",
     .usage = "serve [-c FILE] [--model [NAME=]DIR]... [--listen ADDRESS]",
     .help = "run the node until SIGTERM",
     .about = ABOUT_MODELS
     "SIGHUP reads the configuration again and keeps what the command line says. SIGTERM and\n"
     "SIGINT let running requests finish; a second one does not.\n",
     .letters = "cml",
     .run = run_serve},
    {.name = "run",
     .usage = "run [OPTION]... [MODEL|DIR [PROMPT]]",
     .help = "chat in the terminal",
     .program = "cortex-chat"},
    {.name = "tokenize",
     .usage = "tokenize [--ids] DIR [TEXT|-]",
     .help = "the tokens of a text, as the model in DIR reads it",
     .program = "cortex-worker",
     .mode = "--tokenize"},
    {.name = "check-config",
     .usage = "check-config [-c FILE] [--model [NAME=]DIR]... [--listen ADDRESS] [--reference]",
     .help = "print the effective configuration, or the reference of all keys",
     .about = "Says what is wrong instead, with file and line, as `cortex serve` would.\n",
     .letters = "cmlR",
     .run = run_check_config},
    {.name = "version",
     .usage = "version",
     .help = "print the version",
     .letters = "",
     .run = run_version},
    {.name = "help",
     .usage = "help [COMMAND]",
     .help = "print this, or a command's page",
     .letters = "",
     .takes_operand = true,
     .run = run_help},
};
#define COMMANDS_N (sizeof commands / sizeof commands[0])

static int fail(const struct err *e)
{
    fprintf(stderr, "cortex: %s\n", e->text);
    return EXIT_PERMANENT;
}

/* ---- what is done here ---- */

static int run_serve(const struct invocation *in)
{
    return serve_run(&in->options);
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

static int run_check_config(const struct invocation *in)
{
    struct config c = {0};
    struct buf out = {0};
    struct err e = {0};

    if (in->is_reference) {
        config_print_reference(&out);
        return print_buf(&out);
    }
    if (options_load_config(&in->options, &c, &e) != 0 || tree_check_config(&c, &e) != 0) {
        config_free(&c);
        return fail(&e);
    }
    config_print(&c, &out, true);
    config_free(&c);
    return print_buf(&out);
}

static int run_version(const struct invocation *in)
{
    (void)in;
    printf("cortex %s\n", CORTEX_VERSION);
    return EXIT_OK;
}

/* ---- the programs beside this one ---- */

static int run_program(const struct command *c, char *const *arguments)
{
    const char **argv;
    struct err e = {0};
    char *path;
    size_t n = 0, given = 0;

    if (programs_find(c->program, &path, &e) != 0)
        return fail(&e);
    while (arguments[given] != NULL)
        given++;
    argv = calloc(given + 3, sizeof *argv);
    CHECK(argv != NULL);
    argv[n++] = c->program;
    if (c->mode != NULL)
        argv[n++] = c->mode;
    memcpy(argv + n, arguments, given * sizeof *argv);
    execv(path, (char *const *)(uintptr_t)argv);
    err_set(&e, errno, "exec %s: %s", path, strerror(errno));
    free(argv);
    free(path);
    return fail(&e);
}

/* ---- pages ---- */

static void print_list(void)
{
    printf("usage: cortex COMMAND\n\n");
    for (size_t i = 0; i < COMMANDS_N; i++)
        printf("  %-13s %s\n", commands[i].name, commands[i].help);
    printf("\n`cortex help COMMAND` tells more. What a running node does: cortexctl.\n"
           "Exit codes: %d done, %d usage or configuration, %d may work later.\n",
           EXIT_OK, EXIT_PERMANENT, EXIT_TEMPORARY);
}

static void print_option(const struct option_row *o)
{
    char head[64];

    snprintf(head, sizeof head, "%s--%s%s%s", o->letter == 'c' ? "-c, " : "", o->name,
             o->argument != NULL ? " " : "", o->argument != NULL ? o->argument : "");
    printf("  %-20s %s\n", head, o->help);
}

static int print_page(const struct command *c)
{
    static char *const ask[] = {(char *)(uintptr_t) "--help", NULL};

    if (c->program != NULL)
        return run_program(c, ask);
    printf("cortex %s: %s\n\nusage: cortex %s\n", c->name, c->help, c->usage);
    if (c->about != NULL)
        printf("\n%s", c->about);
    printf("\n");
    for (size_t i = 0; i < OPTIONS_N; i++)
        if (option_rows[i].letter == 'h' || strchr(c->letters, option_rows[i].letter) != NULL)
            print_option(&option_rows[i]);
    return EXIT_OK;
}

static int refuse(const char *name)
{
    const char *names[COMMANDS_N];

    for (size_t i = 0; i < COMMANDS_N; i++)
        names[i] = commands[i].name;
    const char *nearest = names_nearest(name, names, COMMANDS_N);
    fprintf(stderr, "cortex: unknown command \"%s\"", name);
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

static int run_help(const struct invocation *in)
{
    if (in->operand == NULL) {
        print_list();
        return EXIT_OK;
    }
    const struct command *c = find_command(in->operand);
    return c != NULL ? print_page(c) : refuse(in->operand);
}

/* ---- the command line ---- */

static int refuse_usage(const struct command *c, const char *what)
{
    fprintf(stderr, "cortex: %s: %s; usage: cortex %s\n", c->name, what, c->usage);
    return EXIT_PERMANENT;
}

static int take_option(struct invocation *in, int letter, struct err *e)
{
    switch (letter) {
    case 'c':
        in->options.config_path = optarg;
        return 0;
    case 'm':
        return options_add_model(&in->options, optarg, e);
    case 'l':
        options_set_listen(&in->options, optarg);
        return 0;
    default:
        in->is_reference = true;
        return 0;
    }
}

/* EXIT_OK and *is_done when a page was all that was asked for. */
static int parse(const struct command *c, int argc, char **argv, struct invocation *in,
                 bool *is_done)
{
    struct option longs[OPTIONS_N + 1] = {0};
    struct err e = {0};
    int letter;

    *is_done = false;
    for (size_t i = 0; i < OPTIONS_N; i++)
        longs[i] = (struct option){
            option_rows[i].name, option_rows[i].argument != NULL ? required_argument : no_argument,
            NULL, option_rows[i].letter};
    opterr = 0;
    while ((letter = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        if (letter == 'h') {
            *is_done = true;
            return print_page(c);
        }
        if (letter == '?' || strchr(c->letters, letter) == NULL)
            return refuse_usage(c, "unknown option, or its value is missing");
        if (take_option(in, letter, &e) != 0)
            return fail(&e);
    }
    if (optind < argc && c->takes_operand)
        in->operand = argv[optind++];
    return optind < argc ? refuse_usage(c, "too many arguments") : EXIT_OK;
}

int commands_run(int argc, char **argv)
{
    struct invocation in = {0};
    bool is_done;

    if (argc < 2) {
        print_list();
        return EXIT_PERMANENT;
    }
    const struct command *c = find_command(argv[1]);
    if (c == NULL)
        return refuse(argv[1]);
    if (c->program != NULL)
        return run_program(c, argv + 2);
    int code = parse(c, argc - 1, argv + 1, &in, &is_done);
    if (code == EXIT_OK && !is_done)
        code = c->run(&in);
    options_free(&in.options);
    return code;
}
