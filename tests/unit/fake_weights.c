#include "tests/unit/fake_weights.h"

#include "base/check.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_how(const struct fake_weights *w, const char *how)
{
    return strcmp(w->fill, how) == 0;
}

static void say(struct fake_weights *w, enum control_type type, uint64_t key)
{
    struct control_msg m = {.type = (uint16_t)type,
                            .epoch = w->keeper.epoch,
                            .weights_key = key,
                            .weights_bytes = w->keeper.bytes,
                            .seats = 1,
                            .vocab = 1,
                            .context = 1};

    CHECK(control_send(w->keeper.control, &m, NULL, 0) == 0);
}

void fake_weights_begin(struct fake_weights *w, const char *order, const char *fill, uint64_t epoch)
{
    uint64_t key, bytes;
    struct err e = {0};

    CHECK(sscanf(order, "%" SCNu64 " %" SCNu64 " %u", &key, &bytes, &w->byte) == 3);
    w->fill = fill;
    w->is_open = true;
    keeper_init(&w->keeper, CHILD_FD_CONTROL, epoch + is_how(w, "epoch"));
    if (keeper_want(&w->keeper, key, bytes, &e) != 0)
        note("error %s", e.text);
    if (is_how(w, "twice"))
        say(w, CONTROL_WEIGHTS_WANT, key);
    if (is_how(w, "early"))
        say(w, CONTROL_READY, 0);
}

static bool is_all(const struct fake_weights *w, unsigned byte)
{
    const unsigned char *at = w->keeper.map;

    for (uint64_t i = 0; i < w->keeper.bytes; i++)
        if (at[i] != byte)
            return false;
    return true;
}

static void write_half(struct fake_weights *w, bool is_second)
{
    uint64_t half = w->keeper.bytes / 2;
    unsigned char *at = w->keeper.map;

    memset(at + (is_second ? half : 0), (int)w->byte, is_second ? w->keeper.bytes - half : half);
}

void fake_weights_finish(struct fake_weights *w)
{
    struct err e = {0};

    if (w->keeper.state != KEEPER_FILLING)
        return;
    write_half(w, true);
    if (is_how(w, "kept"))
        mmap(NULL, w->keeper.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, w->keeper.fd, 0);
    if (is_how(w, "kept") || is_how(w, "unsealed"))
        say(w, CONTROL_WEIGHTS_FILLED, w->keeper.key);
    else if (is_how(w, "other"))
        say(w, CONTROL_WEIGHTS_FILLED, w->keeper.key + 1);
    else if (keeper_filled(&w->keeper, &e) != 0)
        note("error %s", e.text);
}

static bool begin_fill(struct fake_weights *w)
{
    note("fills zeros=%d", is_all(w, 0));
    write_half(w, false);
    if (is_how(w, "die"))
        raise(SIGKILL);
    if (!is_how(w, "slow"))
        fake_weights_finish(w);
    return false;
}

bool fake_weights_take(struct fake_weights *w, const struct control_msg *m, int fds[CONTROL_FDS])
{
    struct err e = {0};
    struct stat st;
    int rc = keeper_take(&w->keeper, m, fds, &e);

    if (rc == 0)
        rc = keeper_map(&w->keeper, &e);
    if (rc != 0) {
        note("no-weights %s", e.text);
        return false;
    }
    if (w->keeper.state == KEEPER_FILLING)
        return begin_fill(w);
    CHECK(fstat(w->keeper.fd, &st) == 0);
    note("weights whole=%d inode=%ju", is_all(w, w->byte), (uintmax_t)st.st_ino);
    w->is_open = false;
    return true;
}
