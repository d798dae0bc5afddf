/* Event loops that are known: when they do what they put off. */
#include "capture/turn.h"
#include "hook/entry.h"
#include "intercept/common.h"
#include "intercept/flow.h"
#include "intercept/tls.h"

/* node: setImmediate's callbacks, and those of timers. Both are static members: one argument. */
static void (*real_immediates)(void *), (*real_timers)(void *);

static void put_off(void)
{
    struct lane *lane = hook_self;
    if ((uintptr_t)lane > 1)
        turn_put_off(hook_region, lane);
}

static void immediates(void *handle)
{
    put_off();
    real_immediates(handle);
    put_off();
}

static void timers(void *handle)
{
    put_off();
    real_timers(handle);
    put_off();
}

static bool hook_node(void)
{
    struct entry_symbol symbols[] = {
        {"_ZN4node11Environment14CheckImmediateEP10uv_check_s", NULL, 0},
        {"_ZN4node11Environment9RunTimersEP10uv_timer_s", NULL, 0},
    };
    if (entry_find_exported(symbols, 2) != 2)
        return false;
    struct entry_request requests[] = {
        {.function = symbols[0].address,
         .size = symbols[0].size,
         .replacement = (void *)immediates,
         .original = (void **)&real_immediates},
        {.function = symbols[1].address,
         .size = symbols[1].size,
         .replacement = (void *)timers,
         .original = (void **)&real_timers},
    };
    return entry_hook_all(requests, 2, tls_is_alone() ? ENTRY_QUIET : 0) == 2;
}

static bool is_nginx(void)
{
    struct entry_symbol symbol = {"ngx_process_events_and_timers", NULL, 0};
    return entry_find_exported(&symbol, 1) == 1;
}

void loop_start(void)
{
    if (is_nginx())
        turn_order = TURN_NEVER;
    else if (hook_node())
        turn_order = TURN_TOLD;
}
