/* The descriptor table: lives of a number, and what happens to one when another has begun. */
#include "region_fixture.h"

#include <pthread.h>

static int set_up(void **state)
{
    (void)state;
    region_open(2, 1);
    fd_table = mmap(NULL, FD_TABLE_SIZE * sizeof(*fd_table), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return fd_table == MAP_FAILED;
}

static int tear_down(void **state)
{
    (void)state;
    munmap(fd_table, FD_TABLE_SIZE * sizeof(*fd_table));
    fd_table = NULL;
    region_close();
    return 0;
}

static void a_life(void **state)
{
    (void)state;
    assert_int_equal(fd_get(70000), 0);
    fd_entry e = fd_opened(region, 70000, KIND_TCP, FD_SERVER);
    assert_int_equal(fd_get(70000), e);
    assert_int_equal(FD_KIND(e), KIND_TCP);
    assert_true(e & FD_OPEN && e & FD_SERVER);
    assert_int_not_equal(FD_GENERATION(e), 0);
    assert_int_equal(fd_closing(70000), e);
    assert_int_equal(fd_get(70000), e & ~(uint64_t)FD_OPEN);
    fd_entry next = fd_opened(region, 70000, KIND_FILE, 0);
    assert_int_not_equal(FD_GENERATION(next), FD_GENERATION(e));
    assert_int_equal(FD_KIND(next), KIND_FILE);
    assert_false(next & FD_SERVER);
}

static void outside(void **state)
{
    (void)state;
    assert_int_equal(fd_get(-1), 0);
    assert_int_equal(fd_get(FD_TABLE_SIZE), 0);
    assert_int_equal(fd_opened(region, -1, KIND_FILE, 0), 0);
    assert_int_equal(region->drops[DROP_DESCRIPTOR], 0);
    assert_int_equal(fd_opened(region, FD_TABLE_SIZE, KIND_FILE, 0), 0);
    assert_int_equal(region->drops[DROP_DESCRIPTOR], 1);
    assert_int_equal(fd_closing(-5), 0);
    assert_int_equal(fd_closing(FD_TABLE_SIZE), 0);
    fd_change(FD_TABLE_SIZE, 1, FD_OPEN, 0);
    fd_change(-1, 1, FD_OPEN, 0);
    assert_int_not_equal(fd_opened(region, FD_TABLE_SIZE - 1, KIND_FILE, 0), 0);
}

static void before_there_is_a_table(void **state)
{
    (void)state;
    uint64_t *table = fd_table;
    fd_table = NULL;
    assert_int_equal(fd_get(1), 0);
    assert_int_equal(fd_opened(region, 1, KIND_FILE, 0), 0);
    assert_int_equal(fd_closing(1), 0);
    fd_change(1, 1, FD_OPEN, 0);
    fd_table = table;
}

static void a_failed_close_comes_back(void **state)
{
    (void)state;
    fd_entry e = fd_opened(region, 5, KIND_FILE, FD_LOG);
    fd_entry was = fd_closing(5);
    fd_change(5, FD_GENERATION(e), FD_BINARY, 0); /* meanwhile, by another thread */
    fd_reopened(5, was);
    assert_int_equal(fd_get(5), e | FD_BINARY);
    was = fd_closing(5);
    fd_entry next = fd_opened(region, 5, KIND_TCP, 0);
    fd_reopened(5, was);
    assert_int_equal(fd_get(5), next);
    was = fd_closing(6); /* never met */
    fd_reopened(6, was);
    assert_int_equal(fd_get(6), 0);
}

static void changes_are_for_one_life(void **state)
{
    (void)state;
    fd_entry e = fd_opened(region, 5, KIND_SOCKET, 0);
    fd_change(5, FD_GENERATION(e), FD_CONNECTED | FD_NONBLOCK, 0);
    fd_change(5, FD_GENERATION(e), 0, FD_NONBLOCK);
    e = fd_get(5);
    assert_true(e & FD_CONNECTED && e & FD_OPEN && !(e & FD_NONBLOCK));
    assert_int_equal(FD_KIND(e), KIND_SOCKET);
    fd_change(5, FD_GENERATION(e), 0xff, 0); /* flags alone, never the kind */
    assert_int_equal(FD_KIND(fd_get(5)), KIND_SOCKET);
    fd_entry next = fd_opened(region, 5, KIND_FILE, 0);
    fd_change(5, FD_GENERATION(e), FD_ENDED, FD_OPEN);
    assert_int_equal(fd_get(5), next);
}

static void *flip(void *p)
{
    uint32_t flag = *(uint32_t *)p, generation = FD_GENERATION(fd_get(9));
    for (int i = 0; i < 200000; i++) {
        fd_change(9, generation, flag, 0);
        fd_change(9, generation, 0, flag);
    }
    fd_change(9, generation, flag, 0);
    return NULL;
}

static void no_change_is_lost(void **state)
{
    (void)state;
    uint32_t flags[2] = {FD_BINARY, FD_CONNECTED};
    pthread_t threads[2];
    fd_opened(region, 9, KIND_FILE, 0);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, flip, &flags[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_true(fd_get(9) & FD_BINARY && fd_get(9) & FD_CONNECTED);
}

static void a_generation_is_never_zero(void **state)
{
    (void)state;
    region->next_generation = UINT32_MAX;
    assert_int_equal(FD_GENERATION(fd_opened(region, 1, KIND_FILE, 0)), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_life),
        TEST(outside),
        TEST(before_there_is_a_table),
        TEST(a_failed_close_comes_back),
        TEST(changes_are_for_one_life),
        TEST(no_change_is_lost),
        TEST(a_generation_is_never_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
