/*
 * What keeps libscope-http.so loadable where libscope.so is, from glibc 2.31 on: the distribution's
 * static libraries were built for a newer one. --wrap sends their calls here, and from here they go
 * to the oldest version of each function; what looks at files goes to the kernel; and nothing in
 * there opens further libraries.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "os/sys.h"

#if defined(__x86_64__)
#define OLDEST "GLIBC_2.2.5"
#else
#define OLDEST "GLIBC_2.17"
#endif

/* int NAME(parameters), passed on as it is to NAME's oldest version. */
#define PASS_ON(name, parameters, arguments)            \
    int old_##name parameters;                          \
    int __wrap_##name parameters;                       \
    __asm__(".symver old_" #name "," #name "@" OLDEST); \
    int __wrap_##name parameters                        \
    {                                                   \
        return old_##name arguments;                    \
    }

PASS_ON(pthread_once, (pthread_once_t * once, void (*work)(void)), (once, work))
PASS_ON(pthread_rwlock_init, (pthread_rwlock_t * l, const pthread_rwlockattr_t *a), (l, a))
PASS_ON(pthread_rwlock_destroy, (pthread_rwlock_t * l), (l))
PASS_ON(pthread_rwlock_rdlock, (pthread_rwlock_t * l), (l))
PASS_ON(pthread_rwlock_wrlock, (pthread_rwlock_t * l), (l))
PASS_ON(pthread_rwlock_unlock, (pthread_rwlock_t * l), (l))
PASS_ON(pthread_key_create, (pthread_key_t * key, void (*end)(void *)), (key, end))
PASS_ON(pthread_key_delete, (pthread_key_t key), (key))
PASS_ON(pthread_setspecific, (pthread_key_t key, const void *value), (key, value))

void *old_pthread_getspecific(pthread_key_t key);
void *__wrap_pthread_getspecific(pthread_key_t key);
__asm__(".symver old_pthread_getspecific,pthread_getspecific@" OLDEST);
void *__wrap_pthread_getspecific(pthread_key_t key)
{
    return old_pthread_getspecific(key);
}

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
