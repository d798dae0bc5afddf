/*
 * Looks into an executable file: whether the library can be loaded into it, and what of it would
 * not be seen.
 */
#include "cli/doctor.h"

#include <elf.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* A file in memory: untrusted, so that each offset is checked. */
struct image {
    const unsigned char *data;
    size_t size;
};

static const void *part(const struct image *i, uint64_t at, uint64_t length)
{
    return at <= i->size && length <= i->size - at ? i->data + at : NULL;
}

/* A NUL-ended string at this offset, "" if there is none. */
static const char *string_at(const struct image *i, uint64_t at)
{
    if (at >= i->size || !memchr(i->data + at, '\0', i->size - at))
        return "";
    return (const char *)i->data + at;
}

bool program_is_tls_library(const char *base)
{
    /* Wheels and other bundles name their copies libssl-HASH.so. */
    static const char *const names[] = {"libssl.so",   "libssl-",       "libgnutls.so",
                                        "libnss3.so",  "libmbedtls.so", "libwolfssl.so",
                                        "libboringssl"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!strncmp(base, names[i], strlen(names[i])))
            return true;
    }
    return false;
}

static void add_word(char *out, size_t size, const char *word)
{
    size_t n = strlen(out);

    if (!strstr(out, word))
        snprintf(out + n, size - n, "%s%s", n ? ", " : "", word);
}

/* ------------------------------------------------------------------ 64-bit ELF */

static void look_at_symbols(const struct image *image, const Elf64_Shdr *table,
                            const Elf64_Shdr *strings, struct program *p)
{
    for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= table->sh_size; at += sizeof(Elf64_Sym)) {
        Elf64_Sym s;
        const void *from = part(image, table->sh_offset + at, sizeof(s));
        if (!from)
            return;
        memcpy(&s, from, sizeof(s));
        if (s.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(s.st_info) != STT_FUNC ||
            s.st_name >= strings->sh_size)
            continue;
        const char *name = string_at(image, strings->sh_offset + s.st_name);
        if (!strcmp(name, "SSL_write"))
            add_word(p->tls, sizeof(p->tls), "OpenSSL or BoringSSL inside the executable");
        else if (!strcmp(name, "gnutls_record_send"))
            add_word(p->tls, sizeof(p->tls), "GnuTLS inside the executable");
        else if (!strcmp(name, "mbedtls_ssl_write"))
            add_word(p->tls, sizeof(p->tls), "Mbed TLS inside the executable");
    }
}

static void look_at_needed(const struct image *image, const Elf64_Shdr *dynamic,
                           const Elf64_Shdr *strings, struct program *p)
{
    for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= dynamic->sh_size; at += sizeof(Elf64_Dyn)) {
        Elf64_Dyn d;
        const void *from = part(image, dynamic->sh_offset + at, sizeof(d));
        if (!from)
            return;
        memcpy(&d, from, sizeof(d));
        if (d.d_tag == DT_NULL)
            return;
        if (d.d_tag != DT_NEEDED || d.d_un.d_val >= strings->sh_size)
            continue;
        const char *name = string_at(image, strings->sh_offset + d.d_un.d_val);
        if (program_is_tls_library(name))
            add_word(p->tls, sizeof(p->tls), name);
    }
}

static bool section(const struct image *image, const Elf64_Ehdr *e, uint64_t index, Elf64_Shdr *out)
{
    const void *from =
        index < e->e_shnum ? part(image, e->e_shoff + index * sizeof(*out), sizeof(*out)) : NULL;

    if (from)
        memcpy(out, from, sizeof(*out));
    return from != NULL;
}

static void look_at_sections(const struct image *image, const Elf64_Ehdr *e, struct program *p)
{
    Elf64_Shdr names, s, strings;

    if (e->e_shentsize != sizeof(s) || !section(image, e, e->e_shstrndx, &names))
        return;
    for (unsigned i = 0; i < e->e_shnum; i++) {
        if (!section(image, e, i, &s))
            return;
        const char *name = string_at(image, names.sh_offset + s.sh_name);
        if (!strcmp(name, ".go.buildinfo") || !strcmp(name, ".note.go.buildid"))
            p->go = true;
        if (!section(image, e, s.sh_link, &strings))
            continue;
        if (s.sh_type == SHT_SYMTAB || s.sh_type == SHT_DYNSYM)
            look_at_symbols(image, &s, &strings, p);
        else if (s.sh_type == SHT_DYNAMIC)
            look_at_needed(image, &s, &strings, p);
    }
}

static void look_at_loader(const struct image *image, const Elf64_Ehdr *e, struct program *p)
{
    for (unsigned i = 0; i < e->e_phnum; i++) {
        Elf64_Phdr h;
        const void *from = part(image, e->e_phoff + i * sizeof(h), sizeof(h));
        if (!from)
            return;
        memcpy(&h, from, sizeof(h));
        if (h.p_type == PT_INTERP)
            snprintf(p->loader, sizeof(p->loader), "%s", string_at(image, h.p_offset));
    }
}

static void look(const struct image *image, struct program *p)
{
    Elf64_Ehdr e;

    if (image->size < EI_NIDENT || memcmp(image->data, ELFMAG, SELFMAG))
        return;
    bool wide = image->data[EI_CLASS] == ELFCLASS64;
    snprintf(p->class_, sizeof(p->class_), "%s", wide ? "64-bit" : "32-bit");
    if (!wide || image->size < sizeof(e))
        return;
    memcpy(&e, image->data, sizeof(e));
    look_at_loader(image, &e, p);
    look_at_sections(image, &e, p);
}

bool program_read(const char *path, struct program *p)
{
    struct stat s;
    struct image image = {NULL, 0};

    memset(p, 0, sizeof(*p));
    p->target = target_at(AT_FDCWD, path, 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_size > 0) {
        image.size = (size_t)s.st_size;
        void *data = mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data != MAP_FAILED) {
            image.data = data;
            look(&image, p);
            munmap(data, image.size);
        }
    }
    close(fd);
    return image.data != NULL;
}

/* ------------------------------------------------------------------ facts */

const char *program_privileged(const char *path, char *out, size_t size)
{
    struct stat s;
    struct statvfs v;

    if (stat(path, &s) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
        (statvfs(path, &v) == 0 && (v.f_flag & ST_NOSUID)))
        return NULL;
    if ((s.st_mode & S_ISUID) && s.st_uid != geteuid()) {
        struct passwd *user = getpwuid(s.st_uid);
        snprintf(out, size, "is setuid: it runs as %s", user ? user->pw_name : "another user");
        return out;
    }
    if ((s.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && s.st_gid != getegid()) {
        snprintf(out, size, "is setgid: it runs with group %u", s.st_gid);
        return out;
    }
    if (geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0) {
        snprintf(out, size, "has file capabilities");
        return out;
    }
    return NULL;
}

bool program_facts(struct doctor *d, const struct program *p, const char *path)
{
    if (p->target == TARGET_STATIC) {
        fact(d, FACT_NO, "program",
             "%s is statically linked%s: it has no loader, so that no library can be put into it",
             path, p->go ? " (by Go)" : "");
        return false;
    }
    if (p->target == TARGET_FOREIGN) {
        fact(d, FACT_NO, "program", "%s is made for another machine or C library (%s%s%s): %s",
             path, p->class_[0] ? p->class_ : "no ELF file", p->loader[0] ? ", " : "", p->loader,
             "libscope.so is 64-bit, for this machine and for glibc");
        return false;
    }
    if (p->target == TARGET_UNWILLING) {
        fact(d, FACT_NO, "program", "%s has an AddressSanitizer that lets no library load before it: %s",
             path, "link it in (clang does; gcc: -static-libasan)");
        return false;
    }
    fact(d, FACT_OK, "program", "%s: %s%sdynamically linked", path, p->class_,
         p->class_[0] ? ", " : "");
    if (p->go)
        fact(
            d, FACT_NOTE, "go",
            "built by Go: its own system calls pass libc by and are not seen; what it does through "
            "C is");
    return true;
}
