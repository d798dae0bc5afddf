/* Every kind of stream: what is written arrives once, what fails fails the same way. */
/* scope-test: stdin=one_line_of_input */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

static ssize_t cookie_write(void *cookie, const char *data, size_t size)
{
    printf("cookie got %zu: %.*s", size, (int)size, data);
    return (ssize_t)size;
}

static void show(const char *name)
{
    char line[256];
    FILE *f = fopen(name, "r");
    if (!f) {
        printf("%s: %s\n", name, strerror(errno));
        return;
    }
    while (fgets(line, sizeof(line), f))
        printf("  %s", line);
    printf("  end %d, error %d", feof(f), ferror(f));
    printf(", close %d\n", fclose(f));
}

static void modes(void)
{
    FILE *f = fopen("plain", "wx");
    fprintf(f, "%d %s\n", 1, "written");
    printf("close %d\n", fclose(f));
    f = fopen("plain", "wx");
    printf("again: %s\n", f ? "opened" : strerror(errno));
    f = fopen("plain", "a+");
    fputs("appended\n", f);
    rewind(f);
    printf("first %c\n", fgetc(f));
    fseek(f, -3, SEEK_END);
    printf("late %c, at %ld\n", fgetc(f), ftell(f));
    fclose(f);
    show("plain");
    f = fopen("plain", "rm");
    printf("mapped %c %c\n", fgetc(f), fgetc(f));
    fclose(f);
    f = fopen("plain", "rce");
    printf("flags %c\n", fgetc(f));
    fclose(f);
    errno = 0;
    f = fopen("plain", "nonsense");
    printf("bad mode %p %s\n", (void *)f, strerror(errno));
    f = fopen("/no/such/place", "r");
    printf("no file %p %s\n", (void *)f, strerror(errno));
    f = fopen("/dev/full", "w");
    fputs("lost", f);
    printf("full: flush %d %s\n", fflush(f), strerror(errno));
    printf("full: close %d\n", fclose(f));
}

static void reopened(void)
{
    FILE *f = fopen("one", "w");
    int fd = fileno(f);
    fputs("in one\n", f);
    f = freopen("two", "w", f);
    printf("same number %d\n", fileno(f) == fd);
    fputs("in two\n", f);
    f = freopen(NULL, "a", f);
    printf("same file %d\n", f != NULL);
    if (f)
        fputs("still two\n", f);
    f = freopen("/no/such/place", "r", f ? f : fopen("three", "w"));
    printf("failed %p %s, number free %d\n", (void *)f, strerror(errno), fcntl(fd, F_GETFD) == -1);
    show("one");
    show("two");
}

static void others(void)
{
    char line[128] = "", memory[64] = "";
    FILE *f = popen("echo from a child; exit 3", "r");
    fgets(line, sizeof(line), f);
    printf("popen: %s", line);
    printf("status %x\n", pclose(f));
    f = popen("cat", "w");
    fflush(stdout);
    fputs("to a child\n", f);
    printf("status %x\n", pclose(f));
    f = popen("exit 2", "r");
    printf("closed by fclose %x\n", fclose(f));
    f = tmpfile();
    fputs("temporary", f);
    rewind(f);
    fgets(line, sizeof(line), f);
    printf("tmpfile: %s\n", line);
    fclose(f);
    f = fmemopen(memory, sizeof(memory), "w");
    fputs("in memory", f);
    fclose(f);
    printf("%s\n", memory);
    char *grown;
    size_t size;
    f = open_memstream(&grown, &size);
    fprintf(f, "%0200d", 7);
    fclose(f);
    printf("%zu\n", size);
    cookie_io_functions_t functions = {.write = cookie_write};
    f = fopencookie(NULL, "w", functions);
    fputs("a cookie\n", f);
    fclose(f);
    int ends[2];
    pipe(ends);
    FILE *in = fdopen(ends[0], "r"), *out = fdopen(ends[1], "w");
    setvbuf(out, NULL, _IONBF, 0);
    fputs("through\n", out);
    fgets(line, sizeof(line), in);
    printf("pipe: %s", line);
    fclose(in);
    signal(SIGPIPE, SIG_IGN);
    printf("nobody reads: %d", fputs("x", out));
    printf(" %s\n", strerror(errno));
    fclose(out);
}

static void wide(void)
{
    wchar_t text[64];
    setlocale(LC_ALL, "C.UTF-8");
    FILE *f = fopen("wide", "w");
    fwprintf(f, L"wide %ls\n", L"\u00e9\u20ac");
    fclose(f);
    f = fopen("wide", "r");
    fgetws(text, 64, f);
    printf("%zu wide characters\n", wcslen(text));
    fclose(f);
    show("wide");
}

int main(void)
{
    char line[64] = "";
    errno = ENOENT;
    perror("perror");
    fgets(line, sizeof(line), stdin);
    printf("input: %s\n", line);
    modes();
    reopened();
    others();
    wide();
    fprintf(stderr, "to standard error\n");
    printf("without a newline, and not flushed");
    return 0;
}
