/* The environment is cleared, replaced, set to nothing, and rebuilt; children see what they should.
 */
/* scope-test: */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *show =
    "env -0 | grep -zvE '^(LD_PRELOAD|SCOPE_|TRACE|PWD=|SHLVL=|_=|OLDPWD=)' | "
    "sort -z | tr '\\0' '\\n'";

static void run(const char *what)
{
    int status;
    printf("-- %s\n", what);
    fflush(stdout);
    printf("system: %d\n", system(show));
    fflush(stdout);
    FILE *p = popen(show, "r");
    char line[4096];
    while (p && fgets(line, sizeof(line), p))
        printf("popen: %s", line);
    if (p)
        pclose(p);
    fflush(stdout);
    if (fork() == 0) {
        execl("/bin/sh", "sh", "-c", show, (char *)NULL);
        _exit(9);
    }
    wait(&status);
    printf("exec: %d\n", status);
    fflush(stdout);
    if (vfork() == 0) {
        execv("/bin/sh", (char *const[]){"sh", "-c", (char *)show, NULL});
        _exit(9);
    }
    wait(&status);
    printf("vfork: %d\n", status);
}

int main(void)
{
    char on_stack[] = "STACK=putenv";
    clearenv();
    run("cleared");
    setenv("A", "1", 1);
    putenv(on_stack);
    run("rebuilt");
    environ = NULL;
    run("no environ");
    char *own[] = {"B=2", "no equals sign", "=empty name", "LD_LIBRARY_PATH=", "B=3", NULL};
    environ = own;
    run("own array");
    char *nothing[] = {NULL};
    environ = nothing;
    run("empty array");
    char **huge = malloc(sizeof(*huge) * 5001);
    for (int i = 0; i < 5000; i++)
        asprintf(&huge[i], "VARIABLE_%d=%0*d", i, i % 50, i);
    huge[5000] = NULL;
    environ = huge;
    printf("huge: %d\n", system("env | grep -c ^VARIABLE"));
    environ = nothing;
    for (int i = 0; i < 500; i++) {
        char name[32];
        snprintf(name, sizeof(name), "N%d", i);
        setenv(name, "v", 1);
        if (i % 2)
            unsetenv(name);
    }
    printf("half: %d\n", system("env | grep -c ^N"));
    return 0;
}
