/*
 * Memory may be made executable no more (as systemd's MemoryDenyWriteExecute has it), and nothing
 * new be gained: set here, kept by what is executed, which opens libraries and buffers streams.
 */
/* scope-test: */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif

static int work(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("mdwe %d, no new privileges %d\n", prctl(PR_GET_MDWE, 0, 0, 0, 0),
           prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    printf("to code: %d\n", mprotect(page, 4096, PROT_READ | PROT_EXEC));
    void *z = dlopen("libz.so.1", RTLD_NOW | RTLD_DEEPBIND);
    printf("library: %d\n", z != NULL);
    FILE *f = fopen("streamed", "w+");
    fprintf(f, "through stdio\n");
    rewind(f);
    char line[32] = "";
    printf("read: %s", fgets(line, sizeof(line), f));
    fclose(f);
    unlink("streamed");
    printf("su: %d\n", system("id -u >/dev/null"));
    printf("buffered to the end\n");
    return 11;
}

int main(int argc, char **argv)
{
    int status;
    if (argc > 1)
        return work();
    for (int i = 0; i < 4; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            if (i & 1)
                prctl(PR_SET_MDWE, 1, 0, 0, 0);
            if (i & 2)
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            execl("/proc/self/exe", argv[0], "work", (char *)NULL);
            _exit(9);
        }
        waitpid(pid, &status, 0);
        printf("%d: %x\n", i, status);
    }
    /* and without an exec between */
    prctl(PR_SET_MDWE, 1, 0, 0, 0);
    return work();
}
