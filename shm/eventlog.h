/* The event log of one process in the node segment, and readers over all of them. */
#ifndef SHM_EVENTLOG_H
#define SHM_EVENTLOG_H

#include "base/log.h"
#include "shm/layout.h"

/* From now on every log line of this process goes into its log ring too. */
void eventlog_install(struct shm_log *log);

/* Copy line number n (0 = the first ever written): 0, -EAGAIN not written yet, -ESTALE when it was
 * overwritten (also while copying). */
int eventlog_read(const struct shm_log *log, uint64_t n, struct shm_log_record *out);

#endif
