/*
 * What keeps libscope-http.so loadable where libscope.so is, from glibc 2.31 on: the distribution's
 * static libraries were built for a newer one. --wrap sends their calls here; what libpthread had
 * before 2.34 is asked for by name; what looks at files goes to the kernel; and nothing in there
 * opens further libraries.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "os/sys.h"

#include "transport/http.h"

extern struct http_host http_host;

/* TYPE NAME(parameters), passed on as it is. What is not there fails as `otherwise`. */
#define PASS_ON(type, name, otherwise, parameters, arguments) \
    type __wrap_##name parameters;                            \
    type __wrap_##name parameters                             \
    {                                                         \
        static __typeof__(&__wrap_##name) real;               \
        if (!real)                                            \
            real = (__typeof__(real))http_host.libc(#name);   \
        return real ? real arguments : (otherwise);           \
    }

PASS_ON(int, pthread_once, ENOSYS, (pthread_once_t * once, void (*work)(void)), (once, work))
PASS_ON(int, pthread_rwlock_init, ENOSYS, (pthread_rwlock_t * l, const pthread_rwlockattr_t *a),
        (l, a))
PASS_ON(int, pthread_rwlock_destroy, ENOSYS, (pthread_rwlock_t * l), (l))
PASS_ON(int, pthread_rwlock_rdlock, ENOSYS, (pthread_rwlock_t * l), (l))
PASS_ON(int, pthread_rwlock_wrlock, ENOSYS, (pthread_rwlock_t * l), (l))
PASS_ON(int, pthread_rwlock_unlock, ENOSYS, (pthread_rwlock_t * l), (l))
PASS_ON(int, pthread_key_create, ENOSYS, (pthread_key_t * key, void (*end)(void *)), (key, end))
PASS_ON(int, pthread_key_delete, ENOSYS, (pthread_key_t key), (key))
PASS_ON(int, pthread_setspecific, ENOSYS, (pthread_key_t key, const void *value), (key, value))
PASS_ON(void *, pthread_getspecific, NULL, (pthread_key_t key), (key))

/* ------------------------------------------------------------------ sockets */

/* Each comes connected, unix sockets too; curl makes sure of it by connecting once more. */
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t length);

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t length)
{
    (void)fd;
    (void)to;
    (void)length;
    return 0;
}

/* ------------------------------------------------------------------ files */

static int answer(long r)
{
    if (r >= 0)
        return 0;
    errno = (int)-r;
    return -1;
}

int __wrap_stat(const char *path, struct stat *out);
int __wrap_lstat(const char *path, struct stat *out);
int __wrap_fstat(int fd, struct stat *out);

int __wrap_stat(const char *path, struct stat *out)
{
    return answer(sys(newfstatat, AT_FDCWD, path, out, 0));
}

int __wrap_lstat(const char *path, struct stat *out)
{
    return answer(sys(newfstatat, AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW));
}

int __wrap_fstat(int fd, struct stat *out)
{
    return answer(sys(fstat, fd, out));
}

/* ------------------------------------------------------------------ libraries: none */

void *__wrap_dlopen(const char *path, int mode);
void *__wrap_dlsym(void *handle, const char *name);
int __wrap_dlclose(void *handle);
char *__wrap_dlerror(void);
int __wrap_dladdr(const void *address, void *out);

void *__wrap_dlopen(const char *path, int mode)
{
    (void)path;
    (void)mode;
    return NULL;
}

void *__wrap_dlsym(void *handle, const char *name)
{
    (void)handle;
    (void)name;
    return NULL;
}

int __wrap_dlclose(void *handle)
{
    (void)handle;
    return -1;
}

char *__wrap_dlerror(void)
{
    static char none[] = "no libraries are loaded here";
    return none;
}

int __wrap_dladdr(const void *address, void *out)
{
    (void)address;
    (void)out;
    return 0;
}
