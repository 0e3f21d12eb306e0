#include "base/config.h"

#include "base/config_table.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_file(const char *path, struct buf *text, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us */

    if (fd == -1)
        return err_set(e, errno, "open %s: %s", path, strerror(errno));
    int rc = fd_read_all(fd, text, CONFIG_TEXT_MAX, e);
    if (rc != 0)
        err_prefix(e, "%s", path);
    close(fd);
    return rc;
}

const char *config_default_path(void)
{
    return access(CONFIG_PATH, F_OK) == 0 || errno == EACCES ? CONFIG_PATH : NULL;
}

int config_load(struct config *c, const char *path, const struct config_words *words, struct err *e)
{
    struct buf text = {0};
    int rc = 0;

    *c = (struct config){0};
    if (path != NULL)
        rc = read_file(path, &text, e);
    if (rc == 0)
        rc = config_parse(c, path != NULL ? path : "defaults", buf_text(&text), text.len, e);
    if (rc == 0)
        rc = config_override(c, environ, e);
    if (rc == 0)
        rc = config_apply_words(c, words, e);
    if (rc == 0 && (rc = config_validate(c, e)) != 0)
        err_prefix(e, "%s", path != NULL ? path : "configuration");
    if (rc != 0)
        config_free(c);
    buf_free(&text);
    return rc;
}

void config_free(struct config *c)
{
#define X(section, list, member, max) free(c->member);
    CONFIG_NAMED_SECTIONS(X)
#undef X
    free(c->aliases);
    *c = (struct config){0};
}
