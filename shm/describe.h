/* The segment's description of itself: written by node_create, read by cortexctl, which so can
 * print the records of a daemon that is older or newer than itself. Nothing here trusts the
 * segment: every offset, count and string is bounded by the mapped size. */
#ifndef SHM_DESCRIBE_H
#define SHM_DESCRIBE_H

#include "base/err.h"
#include "shm/layout.h"

/* Fill section[], field[] and enums[] and their counts and places in the header, from the X lists.
 */
void describe_write(struct shm_node *node);

/* Hash over what describe_write writes. */
uint64_t describe_hash(void);

/* A reader over any segment. */
struct describe {
    const uint8_t *base; /* borrowed */
    size_t size;
    struct shm_header header; /* copied and checked */
};
int describe_open(struct describe *d, const void *base, size_t size, struct err *e);

/* 0 and a checked copy; -ENOENT when there is none, -EPROTO for a row (_at) that makes no sense. */
int describe_section(const struct describe *d, const char *name, struct shm_section_desc *out);
int describe_section_at(const struct describe *d, uint32_t i, struct shm_section_desc *out);
int describe_field(const struct describe *d, const struct shm_section_desc *s, const char *name,
                   struct shm_field_desc *out);
int describe_field_at(const struct describe *d, const struct shm_section_desc *s, uint32_t i,
                      struct shm_field_desc *out);

/* Words for the numbers of enum shm_section_kind and enum shm_field_type; "?" when unknown. */
const char *describe_kind_name(uint32_t kind);
const char *describe_type_name(uint32_t type);

/* Row i of all sets: 0 or -ENOENT. */
int describe_enum_at(const struct describe *d, uint32_t i, struct shm_enum_desc *out);

/* Text of an enum value; "?" when the set does not have it. Into buf, returns buf. */
const char *describe_enum(const struct describe *d, const char *set, uint32_t value, char *buf,
                          size_t size);

/* Copy record i of a section into out (at least stride bytes): sequence-locked ones whole,
 * or -EAGAIN and what could be had, which may be torn; others by relaxed word loads. */
int describe_record(const struct describe *d, const struct shm_section_desc *s, uint32_t i,
                    void *out, size_t out_size);

/* Lines ever written to log i. */
uint64_t describe_log_written(const struct describe *d, const struct shm_section_desc *logs,
                              uint32_t i);

/* Copy line n (0 = the first ever) of log i: 0, -EAGAIN not written yet, -ESTALE overwritten,
 * -EPROTO when the two sections make no sense together. */
int describe_log_line(const struct describe *d, const struct shm_section_desc *logs,
                      const struct shm_section_desc *lines, uint32_t i, uint64_t n, void *out,
                      size_t out_size);

/* Read one field of a record copy. Numbers come back in u64 (sign-extended), strings in str; of an
 * array the first element, or element i. A type this build does not know comes back as "?". */
struct describe_value {
    enum shm_field_type type;
    uint64_t u64;
    char str[256];
};
void describe_get(const void *record, const struct shm_field_desc *f, struct describe_value *v);
uint32_t describe_elements(const struct shm_field_desc *f);
uint64_t describe_get_element(const void *record, const struct shm_field_desc *f, uint32_t i);

#endif
