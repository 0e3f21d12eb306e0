/* The terminal's side: lines in, commands and questions. The terminal edits its lines itself
 * (canonical mode), so that a line that is there is whole. */
#include "base/check.h"
#include "base/names.h"
#include "tools/chat/chat.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROMPT ">>> "

enum line_end { LINE_TAKEN, LINE_INTERRUPTED, LINE_OVER, LINE_NODE_GONE };

typedef bool command_fn(struct chat *c, const char *rest);

static bool run_exit(struct chat *c, const char *rest)
{
    (void)c;
    (void)rest;
    return false;
}

static bool run_clear(struct chat *c, const char *rest)
{
    (void)rest;
    talk_clear(&c->talk);
    printf("(a new conversation)\n");
    return true;
}

static bool run_system(struct chat *c, const char *rest)
{
    talk_set_system(&c->talk, rest);
    printf(rest[0] != '\0' ? "(from now on)\n" : "(no system text from now on)\n");
    return true;
}

static bool run_help(struct chat *c, const char *rest);

/* X(name, function, argument, help) */
#define COMMANDS(X) \
    X("/exit", run_exit, "", "end; Ctrl-D does, too") \
    X("/clear", run_clear, "", "forget what was said") \
    X("/system", run_system, "TEXT", "what the model is told about its part; nothing: no more") \
    X("/help", run_help, "", "this; Ctrl-C ends an answer; //TEXT asks what begins with a /")

static const struct {
    const char *name;
    command_fn *run;
    const char *argument, *help;
} commands[] = {
#define X(name, function, argument, help) {name, function, argument, help},
    COMMANDS(X)
#undef X
};
#define COMMANDS_N (sizeof commands / sizeof commands[0])

static bool run_help(struct chat *c, const char *rest)
{
    (void)c;
    (void)rest;
    for (size_t i = 0; i < COMMANDS_N; i++)
        printf("  %-7s %-5s %s\n", commands[i].name, commands[i].argument, commands[i].help);
    return true;
}

/* false when that was the end. */
static bool run_command(struct chat *c, char *line)
{
    const char *names[COMMANDS_N];
    size_t len = strcspn(line, " \t");
    char *rest = line + len + strspn(line + len, " \t");

    line[len] = '\0';
    for (size_t i = 0; i < COMMANDS_N; i++) {
        names[i] = commands[i].name;
        if (strcmp(line, names[i]) == 0)
            return commands[i].run(c, rest);
    }
    const char *nearest = names_nearest(line, names, COMMANDS_N);
    printf("(no such command: /help lists them%s%s%s)\n", nearest != NULL ? "; did you mean " : "",
           nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
    return true;
}

static void ask(struct chat *c, const char *text)
{
    struct err e = {0};
    int code;

    fflush(stdout); /* the answer does not go through stdio */
    talk_add(&c->talk, TALK_USER, text, strlen(text));
    int rc = chat_ask(c, &code, &e);
    if (rc != 0 && rc != -EINTR)
        fprintf(stderr, "cortex: %s\n", e.text);
}

/* false when that was the end. */
static bool take_line(struct chat *c, char *line)
{
    size_t len = strlen(line);

    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
        line[--len] = '\0';
    if (line[strspn(line, " \t")] == '\0')
        return true;
    if (line[0] == '/' && line[1] != '/')
        return run_command(c, line);
    ask(c, line + (line[0] == '/'));
    return c->signal == 0;
}

/* A line in *line, or that a signal came, or that there will be none any more. */
static enum line_end read_line(struct chat *c, char **line, size_t *size)
{
    struct pollfd p[] = {
        {STDIN_FILENO, POLLIN, 0}, {c->signal_fd, POLLIN, 0}, {c->node_fd, POLLIN, 0}};

    printf(PROMPT);
    fflush(stdout);
    while (poll(p, 3, -1) < 0)
        CHECK(errno == EINTR);
    if (p[1].revents != 0) {
        chat_take_signal(c);
        return LINE_INTERRUPTED;
    }
    if (p[2].revents != 0)
        return LINE_NODE_GONE;
    return getline(line, size, stdin) >= 0 ? LINE_TAKEN : LINE_OVER;
}

int chat_interact(struct chat *c)
{
    char *line = NULL;
    size_t size = 0;
    enum line_end end = LINE_TAKEN;
    bool goes_on = true;

    printf("%s. /help tells more.\n", c->talk.model);
    while (goes_on && c->signal == 0) {
        end = read_line(c, &line, &size);
        if (end == LINE_TAKEN)
            goes_on = take_line(c, line);
        else
            printf("\n");
        goes_on &= end == LINE_TAKEN || end == LINE_INTERRUPTED;
    }
    free(line);
    fflush(stdout);
    if (end != LINE_NODE_GONE)
        return EXIT_OK;
    fprintf(stderr, "cortex: the node of our own has ended\n");
    return EXIT_TEMPORARY;
}
