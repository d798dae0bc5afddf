/* exec in every spelling, with environments of every kind; what fails must fail as it does bare. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void child(int n)
{
    char *const args[] = {"sh", "-c", "echo \"$0 $1 [$MARK]\"", "zero", "one", NULL};
    char *const env[] = {"MARK=given", "PATH=/bin:/usr/bin", NULL};
    char *const none[] = {NULL};
    int fd;
    switch (n) {
    case 0:
        execve("/bin/sh", args, env);
        break;
    case 1:
        execv("/bin/sh", args);
        break;
    case 2:
        execvp("sh", args);
        break;
    case 3:
        execvpe("sh", args, env);
        break;
    case 4:
        execl("/bin/sh", "sh", "-c", "echo \"$0 $1 [$MARK]\"", "list", "end", (char *)NULL);
        break;
    case 5:
        execlp("sh", "sh", "-c", "echo \"$0 $1 [$MARK]\"", "search", "end", (char *)NULL);
        break;
    case 6:
        execle("/bin/sh", "sh", "-c", "echo \"$0 $1 [$MARK]\"", "own", "end", (char *)NULL, env);
        break;
    case 7:
        fexecve(open("/bin/sh", O_RDONLY | O_CLOEXEC), args, env);
        break;
    case 8:
        execveat(AT_FDCWD, "/bin/sh", args, env, 0);
        break;
    case 9:
        execve("/bin/sh", args, none);
        break;
    case 10:
        execve("/bin/sh", args, NULL);
        break;
    case 11: /* a script */
        fd = open("script", O_CREAT | O_WRONLY, 0700);
        write(fd, "#!/bin/sh\necho script $1\n", 25);
        close(fd);
        execl("./script", "script", "run", (char *)NULL);
        break;
    case 12: /* a script without a first line: execvp hands it to the shell */
        fd = open("bare", O_CREAT | O_WRONLY, 0700);
        write(fd, "echo bare $1\n", 13);
        close(fd);
        execlp("./bare", "bare", "run", (char *)NULL);
        break;
    case 13:
        setenv("MARK", "changed", 1);
        execlp("env", "env", "sh", "-c", "echo [$MARK]", (char *)NULL);
        break;
    }
    _exit(90);
}

static void failures(void)
{
    char *const args[] = {"x", NULL};
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page + 4096, 4096, PROT_NONE);
    char **at_end = (char **)(page + 4096) - 1;
    *at_end = "last before a page that is not there";
    struct {
        const char *path;
        char *const *argv;
        char *const *envp;
    } tries[] = {
        {"/nonexistent", args, environ},
        {"", args, environ},
        {"/etc/passwd", args, environ},
        {"/etc", args, environ},
        {"/etc/passwd/x", args, environ},
        {(char *)16, args, environ},
        {"/bin/true", (char *const *)16, environ},
        {"/bin/true", args, (char *const *)16},
        {"/bin/true", at_end, environ},
        {"/bin/true", args, at_end},
        {"/bin/true", (char *const[]){(char *)24, NULL}, environ},
        {"/bin/true", args, (char *const[]){(char *)24, NULL}},
    };
    for (unsigned i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        errno = 0;
        int r = execve(tries[i].path, tries[i].argv, tries[i].envp);
        printf("failure %u: %d %d\n", i, r, errno);
    }
    errno = 0;
    printf("execvp: %d", execvp("no-such-program-here", args));
    printf(" %d\n", errno);
    printf("fexecve: %d", fexecve(-1, args, environ));
    printf(" %d\n", errno);
    pid_t pid = -5;
    printf("spawn: %d", posix_spawn(&pid, "/nonexistent", NULL, NULL, args, environ));
    printf(" %d\n", posix_spawnp(&pid, "no-such-program-here", NULL, NULL, args, environ));
}

int main(void)
{
    int status;
    setvbuf(stdout, NULL, _IOLBF, 0);
    setenv("MARK", "inherited", 1);
    for (int n = 0; n < 14; n++) {
        pid_t pid = fork();
        if (pid == 0)
            child(n);
        waitpid(pid, &status, 0);
        printf("way %d: %d\n", n, status);
    }
    failures();

    char *const args[] = {"sh", "-c", "echo spawned [$MARK]; exit 6", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, 1, 9);
    pid_t pid;
    printf("spawn: %d", posix_spawn(&pid, "/bin/sh", &actions, NULL, args, environ));
    waitpid(pid, &status, 0);
    printf(" %d\n", status);
    printf("spawnp: %d", posix_spawnp(&pid, "sh", NULL, NULL, args, (char *const[]){NULL}));
    waitpid(pid, &status, 0);
    printf(" %d\n", status);
    printf("system: %d\n", system("echo system [$MARK]; exit 3"));
    clearenv();
    printf("system, no environment: %d\n", system("echo empty [$MARK]; exit 3"));
    return 0;
}
