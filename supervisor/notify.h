/* What systemd is told, when there is one (NOTIFY_SOCKET); libsystemd is visible here alone. */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

#include <stdint.h>

void notify_ready(void);
void notify_reloading(void); /* with MONOTONIC_USEC; notify_ready ends it */
/* The stop may take this long from now on, whatever the unit says. */
void notify_stopping(uint64_t extend_ns);
void notify_status(const char *text);

/* Half of the unit's WatchdogSec, 0 when it has none. */
uint64_t notify_watchdog_period_ns(void);
void notify_watchdog(void);

#endif
