/*
 * The few machine operations that capture stands on: single instructions on memory that only one
 * thread and its signal handlers write (no lock prefix), the stack pointer, and copying without
 * libc.
 */
#ifndef SCOPE_CAPTURE_PRIMITIVE_H
#define SCOPE_CAPTURE_PRIMITIVE_H

#include <stddef.h>
#include <stdint.h>

/* Orders what the thread does as its own signal handlers see it. */
#define compiler_barrier() __asm__ volatile("" ::: "memory")

static inline uint64_t stack_pointer(void)
{
    uint64_t sp;
#if defined(__x86_64__)
    __asm__ volatile("movq %%rsp, %0" : "=r"(sp));
#else
    __asm__ volatile("mov %0, sp" : "=r"(sp));
#endif
    return sp;
}

#if defined(__x86_64__)
static inline uint32_t own_xadd32(uint32_t *p, uint32_t n)
{
    __asm__ volatile("xaddl %0, %1" : "+r"(n), "+m"(*p) : : "memory", "cc");
    return n;
}
static inline uint64_t own_xadd64(uint64_t *p, uint64_t n)
{
    __asm__ volatile("xaddq %0, %1" : "+r"(n), "+m"(*p) : : "memory", "cc");
    return n;
}
/* Puts `to` where `from` stands; returns whether it stood there. */
static inline int own_replace64(uint64_t *p, uint64_t from, uint64_t to)
{
    uint64_t was = from;
    __asm__ volatile("cmpxchgq %2, %1" : "+a"(was), "+m"(*p) : "r"(to) : "memory", "cc");
    return was == from;
}
static inline int own_replace32(uint32_t *p, uint32_t from, uint32_t to)
{
    uint32_t was = from;
    __asm__ volatile("cmpxchgl %2, %1" : "+a"(was), "+m"(*p) : "r"(to) : "memory", "cc");
    return was == from;
}
static inline int own_replace8(uint8_t *p, uint8_t from, uint8_t to)
{
    uint8_t was = from;
    __asm__ volatile("cmpxchgb %2, %1" : "+a"(was), "+m"(*p) : "q"(to) : "memory", "cc");
    return was == from;
}
#else
#define OWN_REPLACE(p, from, to) \
    __atomic_compare_exchange_n(p, &from, to, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
static inline uint32_t own_xadd32(uint32_t *p, uint32_t n)
{
    return __atomic_fetch_add(p, n, __ATOMIC_RELAXED);
}
static inline uint64_t own_xadd64(uint64_t *p, uint64_t n)
{
    return __atomic_fetch_add(p, n, __ATOMIC_RELAXED);
}
static inline int own_replace64(uint64_t *p, uint64_t from, uint64_t to)
{
    return OWN_REPLACE(p, from, to);
}
static inline int own_replace32(uint32_t *p, uint32_t from, uint32_t to)
{
    return OWN_REPLACE(p, from, to);
}
static inline int own_replace8(uint8_t *p, uint8_t from, uint8_t to)
{
    return OWN_REPLACE(p, from, to);
}
#endif

/*
 * The least that lies between a frame and that of a signal handler on top of it on the same stack:
 * the red zone and what the kernel pushes. A frame nearer than this is no handler's.
 */
enum { SIGNAL_FRAME_MIN = 896 };

static inline void bytes_copy(uint8_t *to, const uint8_t *from, size_t n)
{
#if defined(__x86_64__)
    if (n >= 512) {
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
        return;
    }
#endif
    for (; n >= 32; n -= 32, to += 32, from += 32) {
        __builtin_memcpy(to, from, 32);
        compiler_barrier(); /* or the compiler calls memcpy for the loop */
    }
    if (n & 16) {
        __builtin_memcpy(to, from, 16);
        to += 16, from += 16;
    }
    if (n & 8) {
        __builtin_memcpy(to, from, 8);
        to += 8, from += 8;
    }
    if (n & 4) {
        __builtin_memcpy(to, from, 4);
        to += 4, from += 4;
    }
    for (n &= 3; n; n--) {
        *to++ = *from++;
        compiler_barrier();
    }
}

/* n: a multiple of 8; both 8-aligned. */
static inline void words_clear(void *at, size_t n)
{
    uint64_t *to = at;
#if defined(__x86_64__)
    size_t words = n / 8;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(0) : "memory");
#else
    for (; n; n -= 8) {
        *to++ = 0;
        compiler_barrier();
    }
#endif
}

static inline int words_are_zero(const void *at, size_t n)
{
    const uint64_t *p = at;
    for (size_t i = 0; i < n / 8; i++) {
        if (p[i])
            return 0;
    }
    return 1;
}

#endif
