/* The node segment as an object: create, publish, attach. Layout: shm/layout.h. */
#ifndef SHM_NODE_H
#define SHM_NODE_H

#include "base/err.h"
#include "shm/layout.h"

#include <sys/types.h>

/* 1 to 24 of A-Z a-z 0-9 . _ -, not ending in ".new" (the name of a segment being made). */
int node_check_name(const char *instance, struct err *e);

/* Supervisor: create the segment of an instance under a temporary name, fill in header and
 * description, rename it to /dev/shm/cortex.<instance>. An instance that is alive is refused with
 * its pid (flock on a descriptor that no child inherits); a dead one's segment is replaced.
 * fd: the segment, read-write, close-on-exec, for the children. lock_fd: keep it open. */
struct node_owner {
    struct shm_node *node;
    int fd;
    int lock_fd;
    char name[64]; /* "/cortex.<instance>" */
};
int node_create(struct node_owner *o, const char *instance, uint64_t boot_id, struct err *e);

/* Let a group read the segment: mode 0640. 0 or -errno with the sentence. */
int node_share(struct node_owner *o, gid_t group, struct err *e);

/* Header and description of this build into zeroed memory, magic last. */
void node_fill(struct shm_node *node, const char *instance, uint64_t boot_id);

/* Unlink (when `unlink_name`), unmap and close. The name is left when people may want to look. */
void node_close(struct node_owner *o, int unlink_name);

/* Child: map the segment handed down by the supervisor, read-write. The fd stays the caller's.
 * Refuses, each with its own sentence: magic, version and header size, layout hash, total size. */
int node_map_fd(struct shm_node **node, int fd, struct err *e);

/* Reader: map /dev/shm/cortex.<instance> read-only, whatever program version wrote it, provided
 * magic and header make sense. size gets the mapped bytes. Readers that only want the structs of
 * their own version use node_attach and get a refusal for any other layout; the generic readers of
 * shm/describe.h take any. */
int node_attach(const struct shm_node **node, size_t *size, const char *instance, struct err *e);
int node_attach_any(const void **base, size_t *size, const char *instance, struct err *e);
void node_detach(const void *base, size_t size);

/* Hash over the description of this build: every section's and field's name, type, offset and size,
 * and every enum value. */
uint64_t node_layout_hash(void);

/* 1 when a process holds the instance's lock. */
int node_is_alive(const char *instance);

#endif
