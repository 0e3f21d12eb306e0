#include "supervisor/notify.h"

#include "base/clock.h"

#include <systemd/sd-daemon.h>

void notify_ready(void)
{
    sd_notify(0, "READY=1");
}

void notify_reloading(void)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
               (unsigned long long)(clock_now_ns() / NS_PER_US));
}

void notify_stopping(uint64_t extend_ns)
{
    sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu",
               (unsigned long long)(extend_ns / NS_PER_US));
}

void notify_status(const char *text)
{
    sd_notifyf(0, "STATUS=%s", text);
}

uint64_t notify_watchdog_period_ns(void)
{
    uint64_t us = 0;

    return sd_watchdog_enabled(0, &us) > 0 ? us * NS_PER_US / 2 : 0;
}

void notify_watchdog(void)
{
    sd_notify(0, "WATCHDOG=1");
}
