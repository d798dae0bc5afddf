/*
 * Keeps forks and steps of the HTTP library apart.
 */
#include "transport/lifeline.h"

#include <linux/futex.h>
#include <stddef.h>

#include "os/clock.h"
#include "os/sys.h"

static uint32_t in_use;  /* a step is under way; futex */
static uint32_t forking; /* how many forks wait or are under way; futex */
static bool cut;

static void wait_while(uint32_t *word, uint32_t value, uint64_t ns)
{
    struct {
        int64_t seconds, nano;
    } limit = {(int64_t)(ns / 1000000000u), (int64_t)(ns % 1000000000u)};

    sys(futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, value, &limit, NULL, 0);
}

void lifeline_begin(void)
{
    for (;;) {
        __atomic_store_n(&in_use, 1, __ATOMIC_SEQ_CST);
        uint32_t n = __atomic_load_n(&forking, __ATOMIC_SEQ_CST);
        if (!n)
            return;
        lifeline_end();
        wait_while(&forking, n, 1000000);
    }
}

void lifeline_end(void)
{
    __atomic_store_n(&in_use, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&forking, __ATOMIC_SEQ_CST))
        sys(futex, &in_use, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
}

void lifeline_before_fork(uint64_t deadline)
{
    __atomic_fetch_add(&forking, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&in_use, __ATOMIC_SEQ_CST) && now_mono() < deadline)
        wait_while(&in_use, 1, 1000000);
}

void lifeline_after_fork(void)
{
    __atomic_fetch_sub(&forking, 1, __ATOMIC_SEQ_CST);
    sys(futex, &forking, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
}

void lifeline_after_fork_child(void)
{
    cut = cut || in_use;
    in_use = 0;
    forking = 0;
}

bool lifeline_is_cut(void)
{
    return cut;
}
