/* What the files of src/hook share with one another, and with nobody else. */
#ifndef SCOPE_HOOK_INTERNAL_H
#define SCOPE_HOOK_INTERNAL_H

#include "hook/elf.h"
#include "hook/hook.h"

/* -------- preload.c */

/* Our own object; valid once anything was looked up. */
const struct elf_object *preload_self(void);
/* The C library's object, NULL when there is none (a static or foreign host). */
const struct elf_object *preload_libc(void);
/* Whether another, earlier copy of this library is loaded: it is the one that observes. */
bool preload_is_second(void);
/* Whether the object whose dynamic section this is was loaded at start. */
bool preload_is_initial(const ElfW(Dyn) * dynamic);

/* -------- clock.c */

/* Chooses the source of ticks. True: the processor's counter. Call before anything uses ticks. */
bool clock_choose(void);
/* One reading of ticks beside CLOCK_MONOTONIC, the tightest of three. */
struct clock_pair {
    uint64_t ticks, mono;
};
struct clock_pair clock_read(void);
/* The relation from two readings (waits until they are 20 us apart) and the wall clock. */
void clock_relate(struct clock_relation *relation, const struct clock_pair *first);

/* -------- state.c */

/* From here on hook_lane() gives lanes. */
void state_publish(struct region_head *region, int32_t pid);
/* Makes the key whose destructor gives a thread's lane back. */
void state_make_key(void);

/* -------- fd.c, cwd.c, stdio.c */

/* Meets the descriptors that are open at start; files and pipes only if all: else at their first use. */
void fd_meet_inherited(struct region_head *region, struct lane *lane, bool all);
/* Patches the tables of stdio; false: they are not as expected. */
bool stdio_patch(void);

/* -------- span.c */

struct conf;
/*
 * From the constructor, once region->watch says what is asked for: seeds the ids and, where process
 * spans are wanted, makes this process one: below what the environment says is its parent, or going
 * on from before an exec; what that handed over is taken out of the environment.
 */
void span_start(struct region_head *region, const struct conf *conf, char **environment);
/* What a configuration, read at the start or later, adds to region->watch, and who is sampled. */
uint32_t span_watch(const struct conf *conf);
void span_sample(struct region_head *region, const struct conf *conf);

/* -------- init.c */

/* Makes the region at an early call, before our constructor. True: there is one now. */
bool init_early(void);

#endif
