/* The fixtures of tests/golden/make_config_fixtures.py, one after the other. */
#ifndef TESTS_UNIT_CONFIG_FIXTURE_H
#define TESTS_UNIT_CONFIG_FIXTURE_H

#include "base/check.h"
#include "base/fd.h"
#include "base/json.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef void config_fixture_use(const char *name, const struct json_object *fixture);

/* Their number. */
static inline unsigned config_fixtures_walk(config_fixture_use *use)
{
    DIR *dir = opendir(CONFIG_FIXTURES);
    struct dirent *entry;
    unsigned n = 0;

    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        struct buf text = {0};
        struct json_object *fixture;
        struct err e = {0};
        if (strstr(entry->d_name, ".json") == NULL)
            continue;
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        CHECK(fd_read_all(fd, &text, 1 << 20, &e) == 0);
        CHECK(json_parse(text.data, text.len, &fixture, &e) == 0);
        use(entry->d_name, fixture);
        json_free(&fixture);
        buf_free(&text);
        close(fd);
        n++;
    }
    closedir(dir);
    return n;
}

/* One member as JSON text. */
static inline char *config_fixture_text(const struct json_object *fixture, const char *key,
                                        struct buf *out)
{
    buf_clear(out);
    json_write(json_get(fixture, key), out);
    return buf_text(out);
}

#endif
