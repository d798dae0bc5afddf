/*
 * The current directory, kept in two buffers of which one is always whole: readers never wait, and
 * a writer that finds another one at work (perhaps the very thread it interrupts) leaves it a note.
 */
#include "hook/internal.h"

#include "os/sys.h"

enum { PATH_SIZE = 4096, TRIES = 8 };

static struct {
    uint32_t length; /* without the NUL; 0: not known */
    char path[PATH_SIZE];
} buffers[2];
/* Even: buffer (version / 2) % 2 is whole. Odd: the other one is being written. At first that is
   the one that shares its page with other data of a start. */
static uint32_t version = 2;
static uint32_t changed_meanwhile;

size_t hook_cwd(char *out, size_t size)
{
    for (int i = 0; i < TRIES; i++) {
        uint32_t from = __atomic_load_n(&version, __ATOMIC_ACQUIRE) & ~1u;
        unsigned which = (from >> 1) & 1;
        size_t length = __atomic_load_n(&buffers[which].length, __ATOMIC_RELAXED);
        if (!length || length >= size)
            length = 0;
        for (size_t k = 0; k < length; k++)
            out[k] = ((volatile char *)buffers[which].path)[k];
        out[length] = '\0';
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        /* this buffer is written again only after the other one was finished */
        if (__atomic_load_n(&version, __ATOMIC_RELAXED) - from <= 2)
            return length;
    }
    out[0] = '\0';
    return 0;
}

const char *hook_cwd_in_place(size_t *length)
{
    unsigned which = (__atomic_load_n(&version, __ATOMIC_ACQUIRE) >> 1) & 1;
    *length = __atomic_load_n(&buffers[which].length, __ATOMIC_RELAXED);
    return buffers[which].path;
}

void hook_cwd_changed(void)
{
    for (;;) {
        uint32_t was = __atomic_load_n(&version, __ATOMIC_SEQ_CST);
        if ((was & 1) || !__atomic_compare_exchange_n(&version, &was, was + 1, false,
                                                      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            __atomic_store_n(&changed_meanwhile, 1, __ATOMIC_SEQ_CST);
            if (__atomic_load_n(&version, __ATOMIC_SEQ_CST) & 1)
                return; /* whoever writes sees the note after it is done */
            continue;
        }
        __atomic_store_n(&changed_meanwhile, 0, __ATOMIC_SEQ_CST);
        unsigned which = ((was >> 1) + 1) & 1;
        long n = sys(getcwd, buffers[which].path, PATH_SIZE);
        /* "(unreachable)/...": outside this process's root, no path that anyone can use */
        bool known = n > 1 && buffers[which].path[0] == '/';
        __atomic_store_n(&buffers[which].length, known ? (uint32_t)n - 1 : 0, __ATOMIC_RELAXED);
        __atomic_store_n(&version, was + 2, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&changed_meanwhile, __ATOMIC_SEQ_CST))
            return;
    }
}
