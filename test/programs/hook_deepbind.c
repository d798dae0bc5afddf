/* Libraries opened with RTLD_DEEPBIND, eagerly and lazily, by name and by path, and closed again.
 */
/* scope-test: */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void use(const char *name, int flags)
{
    void *z = dlopen(name, flags);
    if (!z) {
        printf("no %s\n", strrchr(name, '/') ? strrchr(name, '/') + 1 : name);
        return;
    }
    void *(*gz_open)(const char *, const char *) = dlsym(z, "gzopen");
    int (*gz_write)(void *, const void *, unsigned) = dlsym(z, "gzwrite");
    int (*gz_read)(void *, void *, unsigned) = dlsym(z, "gzread");
    int (*gz_close)(void *) = dlsym(z, "gzclose");
    char back[32] = "";
    void *f = gz_open("packed.gz", "wb");
    printf("wrote %d\n", gz_write(f, "through a library\n", 18));
    printf("closed %d\n", gz_close(f));
    f = gz_open("packed.gz", "rb");
    printf("read %d: %s", gz_read(f, back, 31), back);
    gz_close(f);
    printf("dlclose %d\n", dlclose(z));
}

int main(void)
{
    use("libz.so.1", RTLD_NOW | RTLD_DEEPBIND);
    use("libz.so.1", RTLD_LAZY | RTLD_DEEPBIND);
    use("libz.so.1", RTLD_LAZY);
    void *z = dlopen("libz.so.1", RTLD_LAZY);
    if (z) {
        struct link_map *map = z;
        char path[4096];
        snprintf(path, sizeof(path), "%s", map->l_name);
        dlclose(z);
        use(path, RTLD_NOW | RTLD_DEEPBIND | RTLD_GLOBAL);
    }
    printf("%d", dlopen("/no/such/library.so", RTLD_NOW | RTLD_DEEPBIND) == NULL);
    printf(" %s\n", dlerror());
    printf("%d\n", dlopen(NULL, RTLD_NOW | RTLD_DEEPBIND) != NULL);
    void *other = dlmopen(LM_ID_NEWLM, "libz.so.1", RTLD_NOW);
    printf("%s\n", other ? "namespace" : "no namespace");
    return 0;
}
