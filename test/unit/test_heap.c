/* Our own heap: every size, several threads, forks in the middle. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/heap.h"

static void fill(unsigned char *p, size_t size, unsigned char with)
{
    memset(p, with, size);
}

static bool holds(const unsigned char *p, size_t size, unsigned char what)
{
    for (size_t i = 0; i < size; i++) {
        if (p[i] != what)
            return false;
    }
    return true;
}

static void every_size_is_aligned_and_whole(void **state)
{
    (void)state;
    enum { COUNT = 600 };
    unsigned char *p[COUNT];
    size_t size[COUNT];

    for (unsigned i = 0; i < COUNT; i++) {
        size[i] = i < 300 ? i : (size_t)i * i / 3;
        p[i] = heap_alloc(size[i]);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        fill(p[i], size[i], (unsigned char)i);
    }
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(holds(p[i], size[i], (unsigned char)i));
    for (unsigned i = 0; i < COUNT; i++)
        heap_free(p[i]);
}

static void boundaries_of_every_class_hold(void **state)
{
    (void)state;
    for (size_t size = 1; size < 34000; size++) {
        unsigned char *p = heap_alloc(size), *q = heap_alloc(size);
        assert_non_null(p);
        assert_non_null(q);
        /* they do not overlap */
        assert_true(p + size <= q - 16 || q + size <= p - 16);
        p[0] = p[size - 1] = 1;
        q[0] = q[size - 1] = 2;
        heap_free(p);
        heap_free(q);
    }
}

static void zeroed_blocks_are_zero_when_used_again(void **state)
{
    (void)state;
    for (size_t size = 8; size < 100000; size *= 3) {
        unsigned char *p = heap_alloc(size);
        fill(p, size, 0xee);
        heap_free(p);
        p = heap_zalloc(size / 8, 8);
        assert_true(holds(p, size / 8 * 8, 0));
        heap_free(p);
    }
}

static void sizes_grow_and_shrink(void **state)
{
    (void)state;
    unsigned char *p = heap_realloc(NULL, 10);
    size_t size = 10;

    fill(p, size, 7);
    for (int i = 0; i < 200; i++) {
        size_t next = (size * 7 + 13) % 300007 + 1;
        p = heap_realloc(p, next);
        assert_non_null(p);
        assert_true(holds(p, size < next ? size : next, 7));
        fill(p, next, 7);
        size = next;
    }
    heap_free(p);
}

static void big_blocks_go_back_to_the_kernel(void **state)
{
    (void)state;
    heap_free(heap_alloc(100));
    size_t before = heap_bytes();
    void *p = heap_alloc(1 << 20);

    assert_true(heap_bytes() >= before + (1 << 20));
    p = heap_realloc(p, 3 << 20);
    assert_true(heap_bytes() >= before + (3 << 20));
    heap_free(p);
    assert_int_equal(heap_bytes(), before);
}

static void small_blocks_are_used_again(void **state)
{
    (void)state;
    void *p[1000];

    for (int round = 0; round < 50; round++) {
        static size_t after_first;
        for (int i = 0; i < 1000; i++)
            p[i] = heap_alloc(200);
        for (int i = 0; i < 1000; i++)
            heap_free(p[i]);
        if (round == 0)
            after_first = heap_bytes();
        assert_int_equal(heap_bytes(), after_first);
    }
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    assert_null(heap_alloc(SIZE_MAX));
    assert_null(heap_alloc((size_t)PTRDIFF_MAX + 1));
    assert_null(heap_zalloc(SIZE_MAX / 2, 3));
    void *p = heap_alloc(1);
    assert_null(heap_realloc(p, SIZE_MAX));
    heap_free(p);
    heap_free(NULL);
}

/* What libc allocated itself must not be taken for ours: it is left alone. */
static void foreign_blocks_are_left_alone(void **state)
{
    (void)state;
    _Alignas(16) unsigned char block[64] = {0};

    heap_free(block + 16);
    assert_true(holds(block, sizeof(block), 0));
    assert_null(heap_realloc(block + 16, 32));
}

/* ------------------------------------------------------------------ threads and forks */

static int stop;

static void *churn(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    unsigned char *p[64] = {0};
    size_t size[64] = {0};

    for (unsigned n = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED) && n < 200000; n++) {
        seed = seed * 1103515245 + 12345;
        unsigned i = seed >> 16 & 63;
        if (p[i] && !holds(p[i], size[i], (unsigned char)i))
            return (void *)1;
        heap_free(p[i]);
        size[i] = seed >> 8 & 511;
        if (!(seed >> 20 & 255))
            size[i] = 50000;
        p[i] = heap_alloc(size[i]);
        if (!p[i])
            return (void *)1;
        fill(p[i], size[i], (unsigned char)i);
    }
    for (unsigned i = 0; i < 64; i++)
        heap_free(p[i]);
    return NULL;
}

static void threads_share_it(void **state)
{
    (void)state;
    pthread_t threads[4];
    void *bad;

    stop = 0;
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
}

/* A child gets the heap as another thread's work was cut off, and must be able to go on with it. */
static void forks_in_the_middle_leave_it_usable(void **state)
{
    (void)state;
    pthread_t threads[2];

    stop = 0;
    for (uintptr_t i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, churn, (void *)(i + 9));
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        if (!child) {
            alarm(20);
            heap_after_fork();
            stop = 0;
            unsigned char *p[200];
            for (unsigned k = 0; k < 200; k++) {
                p[k] = heap_alloc(k * 3);
                if (!p[k])
                    _exit(1);
                fill(p[k], k * 3, (unsigned char)k);
            }
            for (unsigned k = 0; k < 200; k++) {
                if (!holds(p[k], k * 3, (unsigned char)k))
                    _exit(2);
                heap_free(p[k]);
            }
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_is_aligned_and_whole),
        cmocka_unit_test(boundaries_of_every_class_hold),
        cmocka_unit_test(zeroed_blocks_are_zero_when_used_again),
        cmocka_unit_test(sizes_grow_and_shrink),
        cmocka_unit_test(big_blocks_go_back_to_the_kernel),
        cmocka_unit_test(small_blocks_are_used_again),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(foreign_blocks_are_left_alone),
        cmocka_unit_test(threads_share_it),
        cmocka_unit_test(forks_in_the_middle_leave_it_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
