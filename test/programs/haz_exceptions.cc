/*
 * C++: threads cancelled in our frames run destructors, exceptions leave signal handlers through
 * them, streams count once, and exceptions of threads and of callbacks arrive. scope-test:
 */
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <pthread.h>
#include <csignal>
#include <sstream>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/time.h>
#include <fcntl.h>
#include <poll.h>
#include <thread>
#include <unistd.h>
#include <vector>

static int ends[2], pair[2], destroyed;

struct Guard {
    const char *name;
    ~Guard()
    {
        char text[64];
        int n = snprintf(text, sizeof(text), "destructor: %s\n", name);
        if (write(1, text, size_t(n)) == n)
            destroyed++;
    }
};

static void *in_read(void *)
{
    Guard guard{"read"};
    try {
        char c;
        (void)!read(ends[0], &c, 1);
    } catch (const std::exception &) {
        puts("no exception of ours");
    } catch (...) {
        (void)!write(1, "unwinding\n", 10);
        throw;
    }
    return nullptr;
}

static void *in_recvmsg(void *)
{
    Guard guard{"recvmsg"};
    msghdr m{};
    recvmsg(pair[0], &m, 0);
    return nullptr;
}

static void *in_getline(void *)
{
    Guard guard{"fgets"};
    char line[10];
    FILE *f = fdopen(dup(ends[0]), "r");
    (void)!fgets(line, sizeof(line), f);
    return nullptr;
}

static void *in_open(void *)
{
    Guard guard{"open"};
    (void)!open("fifo", O_RDONLY);
    return nullptr;
}

static void *in_wait(void *)
{
    Guard guard{"poll"};
    pollfd p{ends[0], POLLIN, 0};
    poll(&p, 1, -1);
    return nullptr;
}

static void cancel()
{
    void *(*routines[])(void *) = {in_read, in_recvmsg, in_getline, in_open, in_wait};
    for (auto routine : routines) {
        pthread_t t;
        void *result;
        pthread_create(&t, nullptr, routine, nullptr);
        usleep(10000);
        pthread_cancel(t);
        pthread_join(t, &result);
        printf("cancelled: %d\n", result == PTHREAD_CANCELED);
        fflush(stdout);
    }
    /* by its own hand, below a destructor */
    std::thread leaves([] {
        pthread_t t;
        pthread_create(
            &t, nullptr,
            [](void *) -> void * {
                Guard guard{"pthread_exit"};
                pthread_exit(const_cast<char *>("left"));
            },
            nullptr);
        void *result;
        pthread_join(t, &result);
        puts(static_cast<char *>(result));
    });
    leaves.join();
}

/* -fnon-call-exceptions: a handler throws through the call that it interrupted. */
static void thrower(int)
{
    throw std::runtime_error("from a handler");
}

static void signals()
{
    int caught = 0;
    struct sigaction action {
    };
    action.sa_handler = thrower;
    action.sa_flags = SA_NODEFER;
    sigaction(SIGALRM, &action, nullptr);
    for (int i = 0; i < 200; i++) {
        itimerval soon{{0, 0}, {0, 300}};
        try {
            Guard *none = nullptr;
            (void)none;
            char c;
            setitimer(ITIMER_REAL, &soon, nullptr);
            (void)!read(ends[0], &c, 1);
            puts("read came back");
        } catch (const std::runtime_error &e) {
            caught += !strcmp(e.what(), "from a handler");
        }
    }
    signal(SIGALRM, SIG_IGN);
    printf("caught: %d\n", caught);
}

int main()
{
    std::ios::sync_with_stdio(true);
    if (pipe(ends) || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) || system("mkfifo fifo"))
        return 1;
    cancel();
    signals();
    std::cout << "cout and " << std::flush;
    printf("printf\n");
    {
        std::ofstream out("stream");
        for (int i = 0; i < 5000; i++)
            out << "line " << i << '\n';
    }
    std::ifstream in("stream");
    std::stringstream all;
    all << in.rdbuf();
    std::cout << "read back " << all.str().size() << std::endl;
    std::ifstream missing;
    missing.exceptions(std::ios::failbit);
    try {
        missing.open("/nonexistent");
    } catch (const std::ios_base::failure &) {
        std::cout << "failure" << std::endl;
    }
    try {
        for (auto &entry : std::filesystem::directory_iterator("/nonexistent"))
            std::cout << entry.path();
    } catch (const std::filesystem::filesystem_error &e) {
        std::cout << e.code().value() << std::endl;
    }
    auto result = std::async(std::launch::async, []() -> int {
        std::ifstream f("stream");
        throw std::out_of_range("in a thread");
    });
    try {
        result.get();
    } catch (const std::out_of_range &e) {
        std::cout << e.what() << std::endl;
    }
    std::vector<std::thread> threads;
    for (int i = 0; i < 50; i++)
        threads.emplace_back([] { std::ofstream("/dev/null") << "x"; });
    for (auto &t : threads)
        t.join();
    unlink("fifo");
    unlink("stream");
    printf("destroyed: %d\n", destroyed);
    throw std::logic_error("nobody catches this");
}
