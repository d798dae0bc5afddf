/* POSIX asynchronous I/O: libc does it on threads of its own, where we do not look. Noted, once. */
#include "intercept/file.h"

#include <aio.h>

#define AIO(name, type)                                \
    EXPORT int name(struct type *block)                \
    {                                                  \
        REAL_OR(name, return (int)raw_result(-ENOSYS)) \
        INTERCEPT_LANE(real(block));                   \
        note_unseen(lane, NOTE_AIO);                   \
        return real(block);                            \
    }
AIO(aio_read, aiocb)
AIO(aio_read64, aiocb64)
AIO(aio_write, aiocb)
AIO(aio_write64, aiocb64)

#define LIST(name, type)                                                                    \
    EXPORT int name(int mode, struct type *const list[], int count, struct sigevent *event) \
    {                                                                                       \
        REAL_OR(name, return (int)raw_result(-ENOSYS))                                      \
        INTERCEPT_LANE(real(mode, list, count, event));                                     \
        note_unseen(lane, NOTE_AIO);                                                        \
        return real(mode, list, count, event);                                              \
    }
LIST(lio_listio, aiocb)
LIST(lio_listio64, aiocb64)
