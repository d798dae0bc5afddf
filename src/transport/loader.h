/*
 * loader: how a library is opened where this runs. Inside a host program dlopen is not ours to name
 * (it is intercepted, and in another library before glibc 2.34): the life cycle sets these. Where
 * they are NULL there is no HTTP.
 */
#ifndef SCOPE_TRANSPORT_LOADER_H
#define SCOPE_TRANSPORT_LOADER_H

struct transport_loader {
    void *(*open)(const char *path, int mode);
    void *(*symbol)(void *handle, const char *name);
    void *(*libc)(const char *name); /* a function of libc's */
    const char *own_path; /* of the object that this is in, for where there is no /proc; or NULL */
};
extern struct transport_loader transport_loader;

#endif
