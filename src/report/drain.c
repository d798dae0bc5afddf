/*
 * Drain: reads the ring. Chunks are found by the pool's bitmap, not by looking at every lane, put
 * in order for each lane, and read where they lie; a chunk goes back to the pool once it is read
 * and nobody can be writing into it any more. See report.h; the rules of writing are in layout.h.
 */
#include "report/drain_internal.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>

#include "capture/capture.h"
#include "os/sys.h"

#define MILLISECOND 1000000ULL
#define SECOND 1000000000ULL

/* A slot that others stand behind is given up, even unproven, after this. */
#define STALL (2 * SECOND)
/* A chunk with abandoned slots is not reused before: should the guess have been wrong, a late
   writer still writes into memory that is nobody else's. */
#define QUARANTINE (2 * SECOND)
/* The same where nothing was proven, only waited for. */
#define LONG_QUARANTINE (30 * SECOND)
/* What another core stored is seen by now. */
#define SETTLED (2 * MILLISECOND)

struct drain *drain_new(struct region_head *region)
{
    if (region->magic != LAYOUT_MAGIC || region->version != LAYOUT_VERSION ||
        region->size_of_head != sizeof(*region))
        return NULL;
    uint64_t size = region->size;
    struct drain shape = {.region = region,
                          .chunks_at = region->chunks_at,
                          .lanes_at = region->lanes_at,
                          .chunks = region->chunks,
                          .lanes = region->lanes};
    if (!shape.chunks || shape.chunks > CHUNK_MAX || !shape.lanes || shape.lanes > LANES_MAX ||
        shape.chunks_at % 64 || shape.lanes_at % 64 || shape.chunks_at < sizeof(*region) ||
        shape.chunks_at > size || (size - shape.chunks_at) / CHUNK_SIZE < shape.chunks ||
        shape.lanes_at < shape.chunks_at + (uint64_t)shape.chunks * CHUNK_SIZE ||
        shape.lanes_at > size || (size - shape.lanes_at) / LANE_SIZE < shape.lanes)
        return NULL;
    struct drain *d = malloc(sizeof(*d));
    if (!d)
        return NULL;
    *d = shape;
    d->born = now_mono();
    d->chunk = calloc(d->chunks, sizeof(*d->chunk));
    /* each chunk of a run can be found with one lane and linked to another one */
    d->active = calloc(2 * (size_t)d->chunks, sizeof(*d->active));
    d->closes = calloc(CLOSES_MAX, sizeof(*d->closes));
    if (!d->chunk || !d->active || !d->closes) {
        drain_free(d);
        return NULL;
    }
    return d;
}

void drain_free(struct drain *d)
{
    if (!d)
        return;
    for (uint32_t i = 0; i < d->lane_room; i++)
        free(d->lane[i].seen);
    batch_free(&d->batch);
    free(d->chunk);
    free(d->active);
    free(d->closes);
    free(d->lane);
    free(d);
}

bool drain_lane_room(struct drain *d, uint32_t number)
{
    if (number < d->lane_room)
        return true;
    uint32_t room = d->lane_room ? d->lane_room : 16;
    while (room <= number)
        room *= 2;
    struct drain_lane *lane = realloc(d->lane, room * sizeof(*lane));
    if (!lane)
        return false;
    memset(lane + d->lane_room, 0, (room - d->lane_room) * sizeof(*lane));
    d->lane = lane;
    d->lane_room = room;
    return true;
}

bool drain_is_tight(const struct drain *d)
{
    uint32_t words = (d->chunks + 63) / 64, free_ones = 0;
    for (uint32_t w = 0; w < words; w++)
        free_ones += (uint32_t)__builtin_popcountll(
            __atomic_load_n(&d->region->chunk_free[w], __ATOMIC_RELAXED));
    return free_ones < (d->chunks + 3) / 4;
}

/* ------------------------------------------------------------------ which chunks are whose */

static uint32_t chunk_head(const struct chunk *chunk)
{
    uint32_t head = __atomic_load_n(&chunk->head, __ATOMIC_ACQUIRE);
    return head < CHUNK_SIZE ? head : CHUNK_SIZE;
}

static void unlink_chunk(struct drain *d, uint32_t i)
{
    uint32_t *p = &d->lane[d->chunk[i].lane].first;
    while (*p && *p != i + 1)
        p = &d->chunk[*p - 1].next;
    if (*p)
        *p = d->chunk[i].next;
    d->chunk[i] = (struct drain_chunk){.is = CHUNK_IDLE};
}

static void link_chunk(struct drain *d, uint32_t i, uint32_t lane, uint32_t sequence)
{
    uint32_t *p = &d->lane[lane].first;
    if (!d->lane[lane].active) {
        d->lane[lane].active = true;
        d->active[d->active_count++] = lane;
    }
    while (*p && (int32_t)(d->chunk[*p - 1].sequence - sequence) <= 0)
        p = &d->chunk[*p - 1].next;
    d->chunk[i] = (struct drain_chunk){
        .lane = lane, .sequence = sequence, .next = *p, .at = CHUNK_DATA, .is = CHUNK_LINKED};
    *p = i + 1;
}

/* Lanes whose last chunk is gone are no longer active. */
static void prune_active(struct drain *d)
{
    uint32_t kept = 0;
    for (uint32_t k = 0; k < d->active_count; k++) {
        struct drain_lane *lane = &d->lane[d->active[k]];
        if (lane->first)
            d->active[kept++] = d->active[k];
        else
            lane->active = false;
    }
    d->active_count = kept;
}

static void release_chunk(struct drain *d, uint32_t i, uint32_t used)
{
    struct chunk *chunk = drain_chunk_at(d, i);
    uint64_t mask = 1ULL << i % 64;
    if (d->chunk[i].is == CHUNK_LINKED)
        unlink_chunk(d, i);
    d->chunk[i] = (struct drain_chunk){.is = CHUNK_IDLE};
    memset(chunk, 0, used);
    __atomic_fetch_sub(&d->region->chunks_used, 1, __ATOMIC_RELAXED);
    __atomic_fetch_or(&d->region->chunk_free[i / 64], mask, __ATOMIC_RELEASE);
}

/*
 * A chunk that is taken but has nothing in it: on its way to a lane, which may yet give it back; so
 * it is not looked into. One that stays so was left behind by a jump, or is nonsense: it goes back.
 */
static void meet_empty(struct drain *d, uint32_t i, uint32_t lane, uint32_t sequence)
{
    struct drain_chunk *c = &d->chunk[i];
    if (c->is != CHUNK_EMPTY || c->lane != lane || c->sequence != sequence) {
        *c = (struct drain_chunk){
            .lane = lane, .sequence = sequence, .since = d->now, .is = CHUNK_EMPTY};
        return;
    }
    const struct lane *of = drain_lane_at(d, lane < d->lanes ? lane : 0);
    if (++c->met > 2 && d->now - c->since > LONG_QUARANTINE &&
        __atomic_load_n(&of->chunk, __ATOMIC_ACQUIRE) != i + 1 &&
        !__atomic_load_n(&of->writer, __ATOMIC_ACQUIRE))
        release_chunk(d, i, CHUNK_SIZE);
}

/* given: its lane has just given it away, so that it stays what it is even with nothing in it. */
static void meet_used(struct drain *d, uint32_t i, bool given)
{
    struct drain_chunk *c = &d->chunk[i];
    const struct chunk *chunk = drain_chunk_at(d, i);
    uint32_t head = chunk_head(chunk);
    uint32_t lane = __atomic_load_n(&chunk->lane, __ATOMIC_RELAXED);
    uint32_t sequence = __atomic_load_n(&chunk->sequence, __ATOMIC_RELAXED);
    if (c->is == CHUNK_LINKED && head >= CHUNK_DATA && c->lane == lane && c->sequence == sequence)
        return;
    bool written = (head > CHUNK_DATA || (given && head == CHUNK_DATA)) && lane < d->lanes;
    if (c->is == CHUNK_LINKED) {
        /* once written into, a chunk is nobody's but ours to free */
        drain_drop(d, DROP_INVALID);
        unlink_chunk(d, i);
    } else if (head > CHUNK_DATA && !written && c->is != CHUNK_EMPTY) {
        drain_drop(d, DROP_INVALID);
    }
    if (!written)
        meet_empty(d, i, lane, sequence);
    else if (drain_lane_room(d, lane))
        link_chunk(d, i, lane, sequence);
}

static void discover(struct drain *d)
{
    prune_active(d);
    for (uint32_t w = 0; w * 64 < d->chunks; w++) {
        /* the bits of full chunks only call us: they have */
        uint64_t *full_word = &d->region->chunk_full[w], full = 0;
        if (__atomic_load_n(full_word, __ATOMIC_RELAXED))
            full = __atomic_exchange_n(full_word, 0, __ATOMIC_ACQUIRE);
        uint64_t free_ones = __atomic_load_n(&d->region->chunk_free[w], __ATOMIC_ACQUIRE);
        uint64_t look = ~free_ones | d->met[w]; /* few of many: the others' pages stay untouched */
        d->met[w] = ~free_ones;
        for (; look; look &= look - 1) {
            uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(look);
            if (i >= d->chunks)
                break;
            if (!(free_ones >> i % 64 & 1))
                meet_used(d, i, full >> i % 64 & 1);
            else if (d->chunk[i].is == CHUNK_LINKED)
                unlink_chunk(d, i); /* not by anything of ours */
            else
                d->chunk[i].is = CHUNK_IDLE;
        }
    }
    prune_active(d);
}

/* ------------------------------------------------------------------ reclaim */

/* Registering among other threads takes the kernel 5 to 10 ms: not for a process that ends at once.
 */
static bool can_barrier(struct drain *d, bool urgent)
{
    if (__atomic_load_n(&d->region->sandboxed, __ATOMIC_RELAXED))
        return false;
    if (!d->membarrier) {
        long r = sys(membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
        if (r == -EPERM) {
            if (!urgent && d->now - d->born < SECOND)
                return false;
            r = sys(membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
        }
        d->membarrier = r == 0 ? 1 : -1;
    }
    return d->membarrier > 0;
}

/* The chunk of the list of lane `number` that the lane writes into, plus one, or 0. */
static uint32_t current_chunk(const struct drain *d, uint32_t number)
{
    uint32_t c = __atomic_load_n(&drain_lane_at(d, number)->chunk, __ATOMIC_ACQUIRE);
    if (!c || c > d->chunks || d->chunk[c - 1].is != CHUNK_LINKED || d->chunk[c - 1].lane != number)
        return 0;
    return c;
}

/*
 * After the barrier: a writer that began before it shows in lane->writer, one that begins after it
 * sees lane->reclaim and takes the chunk off the lane before it clears that. The order of the three
 * loads matters: chunk, reclaim, writer.
 */
static void reclaim_one(struct drain *d, uint32_t number)
{
    struct lane *lane = drain_lane_at(d, number);
    uint32_t c = current_chunk(d, number);
    bool asked = __atomic_load_n(&lane->reclaim, __ATOMIC_ACQUIRE) == 1;
    bool quiet = __atomic_load_n(&lane->writer, __ATOMIC_ACQUIRE) == 0;
    for (uint32_t i = d->lane[number].first; quiet && i; i = d->chunk[i - 1].next) {
        if (d->chunk[i - 1].left)
            d->chunk[i - 1].silent = true;
    }
    uint32_t expected = c;
    if (c && asked && quiet &&
        __atomic_compare_exchange_n(&lane->chunk, &expected, 0, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED)) {
        d->chunk[c - 1].silent = true;
        d->chunk[c - 1].left = d->now;
    }
    __atomic_store_n(&lane->reclaim, 0, __ATOMIC_RELEASE);
}

static void reclaim_chunks(struct drain *d, bool urgent)
{
    if (!d->active_count || !can_barrier(d, urgent))
        return;
    for (uint32_t k = 0; k < d->active_count; k++)
        __atomic_store_n(&drain_lane_at(d, d->active[k])->reclaim, 1, __ATOMIC_SEQ_CST);
    bool barrier = sys(membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
    if (!barrier)
        d->membarrier = -1;
    for (uint32_t k = 0; k < d->active_count; k++) {
        if (barrier)
            reclaim_one(d, d->active[k]);
        else
            __atomic_store_n(&drain_lane_at(d, d->active[k])->reclaim, 0, __ATOMIC_RELEASE);
    }
}

/* ------------------------------------------------------------------ slots */

static const struct record *slot_at(const struct drain *d, uint32_t i, uint32_t at)
{
    return (const struct record *)((const uint8_t *)drain_chunk_at(d, i) + at);
}

static uint32_t slot_word(const struct drain *d, uint32_t i, uint32_t at)
{
    return __atomic_load_n(&slot_at(d, i, at)->word, __ATOMIC_ACQUIRE);
}

/*
 * The first word of a line behind an empty slot: another slot's word, or, when the slot's writer
 * goes on just now, part of a payload that is being copied. Whoever looks reads the slot's own word
 * again then, and throws away what he saw; so this may race.
 */
__attribute__((no_sanitize("thread"))) static uint32_t line_word(const struct drain *d, uint32_t i,
                                                                 uint32_t at)
{
    uint32_t word = *(const volatile uint32_t *)((const uint8_t *)drain_chunk_at(d, i) + at);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
#if !defined(__x86_64__)
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
    return word;
}

/* Whether a word that is not zero can be a slot's at this offset. */
static bool word_is_sound(uint32_t word, uint32_t at)
{
    uint32_t length = SLOT_LENGTH(word), state = word & SLOT_STATE;
    return (state == SLOT_OPEN || state == SLOT_COMMITTED) && length >= sizeof(struct record) &&
           length % SLOT_ALIGN == 0 && length <= CHUNK_SIZE - at;
}

/* Where the slot after the one at `at` begins, whose word is `word`; up to `head`. */
static uint32_t slot_after(const struct drain *d, uint32_t i, uint32_t at, uint32_t word,
                           uint32_t head)
{
    if (word)
        return at + SLOT_LENGTH(word);
    do {
        at += SLOT_ALIGN;
    } while (at < head && !line_word(d, i, at));
    return at;
}

/* Whether a record of depth 0 is committed behind `at` in chunk i or in one after it. */
static bool outer_follows(const struct drain *d, uint32_t i, uint32_t at)
{
    for (uint32_t c = i + 1; c; c = d->chunk[c - 1].next) {
        uint32_t head = chunk_head(drain_chunk_at(d, c - 1));
        if (c != i + 1)
            at = CHUNK_DATA;
        while (at < head) {
            uint32_t word = slot_word(d, c - 1, at);
            if (word && !word_is_sound(word, at))
                return false;
            if ((word & SLOT_STATE) == SLOT_COMMITTED && !SLOT_DEPTH(word))
                return true;
            uint32_t next = slot_after(d, c - 1, at, word, head);
            if (!word && slot_word(d, c - 1, at))
                return false; /* opened meanwhile: what looked like the next may be part of it */
            at = next;
        }
    }
    return false;
}

enum hole { HOLE_WAIT, HOLE_PROVEN, HOLE_TOO_OLD };

/* What to do about the uncommitted slot at `at`. If not to wait, the slot's word is read again. */
static enum hole judge_hole(struct drain *d, uint32_t number, uint32_t i, uint32_t at,
                            uint32_t word)
{
    struct drain_lane *lane = &d->lane[number];
    uint64_t place = (uint64_t)(i + 1) << 32 | at;
    if (d->chunk[i].silent || outer_follows(d, i, at) ||
        !__atomic_load_n(&drain_lane_at(d, number)->tid, __ATOMIC_ACQUIRE))
        return HOLE_PROVEN;
    if (lane->stalled_at != place) {
        lane->stalled_at = place;
        lane->stalled_since = d->now;
    }
    uint32_t head = chunk_head(drain_chunk_at(d, i));
    bool waited_for = d->chunk[i].next || slot_after(d, i, at, word, head) < head;
    return waited_for && d->now - lane->stalled_since > STALL ? HOLE_TOO_OLD : HOLE_WAIT;
}

/* ------------------------------------------------------------------ records */

static bool record_is_sound(const struct record *r, uint32_t length)
{
    return r->type < RECORD_TYPES && r->op < OP_COUNT && r->kind < KIND_COUNT &&
           r->payload <= length - sizeof(*r) && r->payload <= RECORD_PAYLOAD_MAX;
}

/* Copies a committed record out. False: there is no memory, it stays where it is. */
static bool take_record(struct drain *d, uint32_t number, const struct record *slot, uint32_t word)
{
    struct drain_lane *lane = &d->lane[number];
    struct record r;
    memcpy(&r, slot, sizeof(r)); /* once: the program can change it under our eyes */
    r.word = word;
    if (r.type == RECORD_NONE)
        return true;
    if (!record_is_sound(&r, SLOT_LENGTH(word))) {
        drain_drop(d, DROP_INVALID);
        return true;
    }
    if (r.type == RECORD_THREAD)
        lane->tid = r.fd;
    struct record *copy = batch_add(&d->batch, &r, lane->tid);
    if (!copy)
        return false;
    memcpy(copy + 1, slot + 1, r.payload);
    if ((r.type == RECORD_TOTALS || r.type == RECORD_CLOSE) && r.payload >= sizeof(struct totals)) {
        bool news = totals_news(d, number, (struct totals *)(copy + 1));
        if (!news && r.type == RECORD_TOTALS)
            batch_undo(&d->batch);
    }
    if (r.type == RECORD_CLOSE)
        totals_closing(d, &r);
    return true;
}

/* A record of depth 0 shows that no writer from before it is left: none has an earlier chunk. */
static void note_outer(struct drain *d, uint32_t number, uint32_t i)
{
    if (d->chunk[i].outer_seen)
        return;
    d->chunk[i].outer_seen = true;
    for (uint32_t c = d->lane[number].first; c && c != i + 1; c = d->chunk[c - 1].next)
        d->chunk[c - 1].silent = true;
}

/* Reads what is new in chunk i. False where a slot is waited for, or memory. */
static bool read_chunk(struct drain *d, uint32_t number, uint32_t i)
{
    struct drain_chunk *c = &d->chunk[i];
    uint32_t head, changes = 0;
    while (c->at < (head = chunk_head(drain_chunk_at(d, i)))) {
        uint32_t word = slot_word(d, i, c->at);
        if (word && !word_is_sound(word, c->at)) {
            drain_drop(d, DROP_INVALID);
            c->at = CHUNK_SIZE;
            c->hold = d->now + QUARANTINE;
            return true;
        }
        if ((word & SLOT_STATE) == SLOT_COMMITTED) {
            if (!take_record(d, number, slot_at(d, i, c->at), word))
                return false;
            if (!SLOT_DEPTH(word))
                note_outer(d, number, i);
            c->at += SLOT_LENGTH(word);
            changes = 0;
            continue;
        }
        enum hole hole = judge_hole(d, number, i, c->at, word);
        if (hole == HOLE_WAIT)
            return false;
        if (slot_word(d, i, c->at) != word) {
            /* its writer was faster than our proof; an honest one is not so twice */
            if (++changes > 2)
                return false;
            continue;
        }
        drain_drop(d, DROP_ABANDONED);
        c->hold = d->now + (hole == HOLE_PROVEN ? QUARANTINE : LONG_QUARANTINE);
        c->at = slot_after(d, i, c->at, word, head);
    }
    return true;
}

static void read_all(struct drain *d)
{
    for (uint32_t k = 0; k < d->active_count; k++) {
        uint32_t number = d->active[k];
        for (uint32_t c = d->lane[number].first; c; c = d->chunk[c - 1].next) {
            if (!read_chunk(d, number, c - 1))
                break;
        }
    }
}

/* ------------------------------------------------------------------ back to the pool */

/* Whether no writer can be at work any more in a chunk that its lane has left. */
static bool is_silent(const struct drain *d, const struct drain_chunk *c, uint64_t now)
{
    const struct lane *lane = drain_lane_at(d, c->lane);
    uint64_t ago = now - c->left;
    return c->silent || !__atomic_load_n(&lane->tid, __ATOMIC_ACQUIRE) ||
           (ago > SETTLED && !__atomic_load_n(&lane->writer, __ATOMIC_ACQUIRE)) ||
           ago > LONG_QUARANTINE;
}

static void free_chunks(struct drain *d)
{
    uint64_t now = now_mono();
    for (uint32_t k = 0; k < d->active_count; k++) {
        uint32_t number = d->active[k], next;
        for (uint32_t i = d->lane[number].first; i; i = next) {
            struct drain_chunk *c = &d->chunk[i - 1];
            next = c->next;
            if (__atomic_load_n(&drain_lane_at(d, number)->chunk, __ATOMIC_ACQUIRE) == i) {
                c->left = 0;
                c->silent = false;
                continue;
            }
            if (!c->left)
                c->left = now;
            if (c->hold > now || !is_silent(d, c, now))
                continue;
            uint32_t head = chunk_head(drain_chunk_at(d, i - 1));
            if (c->at >= head) /* or something came in at the last moment */
                release_chunk(d, i - 1, head);
        }
    }
    prune_active(d);
}

size_t drain_run(struct drain *d, bool reclaim, drain_take *take, void *context)
{
    bool late = __atomic_load_n(&d->region->late, __ATOMIC_RELAXED);
    uint64_t horizon = late ? UINT64_MAX : ticks_now();
    d->now = now_mono();
    d->close_count = 0;
    discover(d);
    bool tight = drain_is_tight(d);
    if (tight || (reclaim && !late))
        reclaim_chunks(d, tight);
    read_all(d);
    if (d->close_count || reclaim) {
        totals_look(d, reclaim);
        /* what was evicted before we looked stands in records that came meanwhile */
        discover(d);
        read_all(d);
    }
    free_chunks(d);
    return batch_hand_out(&d->batch, horizon, take, context);
}
