/* Decodes the lengths and the branches of x86-64 instructions, and proves a function's exits. */
#include "hook/x86.h"

/*
 * What follows an opcode, one letter each:
 *   .  nothing          m  ModRM              b  ModRM, imm8        z  ModRM, imm16/32
 *   1  imm8             4  imm16/32           8  imm16/32/64        w  imm16
 *   e  imm16, imm8      j  rel8               J  rel32              o  an address of 8 bytes
 *   t  ModRM, and imm8 for /0 and /1          T  ModRM, and imm16/32 for /0 and /1
 *   x  not an instruction in 64-bit mode, an escape, or one that no program has
 */
static const char one_byte[] = "mmmm14xxmmmm14xx"  /* 00 */
                               "mmmm14xxmmmm14xx"  /* 10 */
                               "mmmm14xxmmmm14xx"  /* 20 */
                               "mmmm14xxmmmm14xx"  /* 30 */
                               "xxxxxxxxxxxxxxxx"  /* 40: REX */
                               "................"  /* 50 */
                               "xxxmxxxx4z1b...."  /* 60 */
                               "jjjjjjjjjjjjjjjj"  /* 70 */
                               "bzxbmmmmmmmmmmmm"  /* 80 */
                               "..........x....."  /* 90 */
                               "oooo....14......"  /* a0 */
                               "1111111188888888"  /* b0 */
                               "bbw.xxbze.w..1x."  /* c0 */
                               "mmmmxxx.mmmmmmmm"  /* d0 */
                               "jjjj1111JJxj...."  /* e0 */
                               "x.xx..tT......mm"; /* f0 */

static const char two_byte[] = "mmmmx.....x.xmxx"  /* 0f 00 */
                               "mmmmmmmmmmmmmmmm"  /* 0f 10 */
                               "xxxxxxxxmmmmmmmm"  /* 0f 20: moves of control registers */
                               "......x.xxxxxxxx"  /* 0f 30 */
                               "mmmmmmmmmmmmmmmm"  /* 0f 40 */
                               "mmmmmmmmmmmmmmmm"  /* 0f 50 */
                               "mmmmmmmmmmmmmmmm"  /* 0f 60 */
                               "bbbbmmm.mmxxmmmm"  /* 0f 70 */
                               "JJJJJJJJJJJJJJJJ"  /* 0f 80 */
                               "mmmmmmmmmmmmmmmm"  /* 0f 90 */
                               "...mbmmm...mbmmm"  /* 0f a0 */
                               "mmmmmmmmmmbmmmmm"  /* 0f b0 */
                               "mmbmbbbm........"  /* 0f c0 */
                               "mmmmmmmmmmmmmmmm"  /* 0f d0 */
                               "mmmmmmmmmmmmmmmm"  /* 0f e0 */
                               "mmmmmmmmmmmmmmmx"; /* 0f f0 */

struct cursor {
    const uint8_t *code;
    size_t size, at;
    bool operand16, address32, lock, repeat, repeat_not, rex, vector;
    struct x86_instruction *out;
};

static bool has(const struct cursor *c, size_t count)
{
    return c->size - c->at >= count;
}

static int32_t read_signed(const uint8_t *at, unsigned bytes)
{
    if (bytes == 1)
        return (int8_t)at[0];
    return (int32_t)(at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);
}

/* Legacy prefixes and REX; a REX that another prefix follows has no effect. */
static bool take_prefixes(struct cursor *c)
{
    for (; has(c, 1); c->at++) {
        uint8_t byte = c->code[c->at];
        switch (byte) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
            break;
        case 0x66:
            c->operand16 = true;
            break;
        case 0x67:
            c->address32 = true;
            break;
        case 0xf0:
            c->lock = true;
            break;
        case 0xf2:
            c->repeat_not = true;
            break;
        case 0xf3:
            c->repeat = true;
            break;
        default:
            if ((byte & 0xf0) != 0x40)
                return true;
            c->rex = true;
            c->out->wide = byte & 8;
            continue;
        }
        c->rex = c->out->wide = false;
    }
    return false;
}

/* ModRM, SIB and displacement. */
static bool take_operand(struct cursor *c)
{
    if (!has(c, 1))
        return false;
    uint8_t modrm = c->code[c->at];
    unsigned mod = modrm >> 6, rm = modrm & 7, displacement = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    c->out->modrm_at = (uint8_t)c->at++;
    if (mod == 3)
        return true;
    if (rm == 4) {
        if (!has(c, 1))
            return false;
        if (mod == 0 && (c->code[c->at] & 7) == 5)
            displacement = 4;
        c->at++;
    } else if (mod == 0 && rm == 5) {
        if (!has(c, 4))
            return false;
        c->out->rip_at = (uint8_t)c->at;
        c->out->displacement = read_signed(c->code + c->at, 4);
        displacement = 4;
    }
    if (!has(c, displacement))
        return false;
    c->at += displacement;
    return true;
}

static bool pass(struct cursor *c, size_t count)
{
    if (!has(c, count))
        return false;
    c->at += count;
    return true;
}

static bool take_relative(struct cursor *c, unsigned bytes)
{
    /* with an operand size of 16 bits, Intel and AMD disagree on how long these are */
    if (!has(c, bytes) || (c->operand16 && !c->out->wide))
        return false;
    c->out->relative_at = (uint8_t)c->at;
    c->out->relative_len = (uint8_t)bytes;
    c->out->relative = read_signed(c->code + c->at, bytes);
    c->at += bytes;
    return true;
}

static unsigned reg_of(const struct cursor *c)
{
    return (c->code[c->out->modrm_at] >> 3) & 7u;
}

static bool take_rest(struct cursor *c, char form)
{
    unsigned immediate = c->operand16 && !c->out->wide ? 2 : 4;
    switch (form) {
    case '.':
        return true;
    case 'm':
        return take_operand(c);
    case 'b':
        return take_operand(c) && pass(c, 1);
    case 'z':
        return take_operand(c) && pass(c, immediate);
    case '1':
        return pass(c, 1);
    case '4':
        return pass(c, immediate);
    case '8':
        return pass(c, c->out->wide ? 8 : immediate);
    case 'w':
        return pass(c, 2);
    case 'e':
        return pass(c, 3);
    case 'j':
        return take_relative(c, 1);
    case 'J':
        return take_relative(c, 4);
    case 'o':
        return pass(c, c->address32 ? 4 : 8);
    case 't':
        return take_operand(c) && pass(c, reg_of(c) < 2 ? 1 : 0);
    case 'T':
        return take_operand(c) && pass(c, reg_of(c) < 2 ? immediate : 0);
    default:
        return false;
    }
}

/* The form of a vector instruction; `pp`: the prefix that is packed into its own. */
static char vector_form(unsigned map, uint8_t o, unsigned pp)
{
    if (map == 3)
        return 'b';
    if (map != 1)
        return 'm';
    if (o == 0x77)
        return '.';
    if ((o >= 0x70 && o <= 0x73) || o == 0xc2 || (o >= 0xc4 && o <= 0xc6))
        return 'b';
    if (o == 0x74 || o == 0x75) /* without a prefix, branches of a processor long gone */
        return pp == 1 ? 'm' : 'x';
    bool known = (o >= 0x10 && o <= 0x17) || (o >= 0x28 && o <= 0x2f) || (o >= 0x41 && o <= 0x4b) ||
                 (o >= 0x50 && o <= 0x7f) || (o >= 0x90 && o <= 0x93) || o == 0x98 || o == 0x99 ||
                 o == 0xae || o >= 0xd0;
    return known ? 'm' : 'x';
}

/* VEX (C4, C5), EVEX (62), XOP (8F): the prefix holds the map; 0 for none that we know. */
static unsigned vector_map(const struct cursor *c, unsigned *prefix)
{
    const uint8_t *p = c->code + c->at;
    unsigned map;
    switch (p[0]) {
    case 0xc5:
        *prefix = 2;
        return has(c, 2) ? 1 : 0;
    case 0xc4:
        *prefix = 3;
        map = has(c, 3) ? p[1] & 0x1fu : 0;
        return map <= 3 ? map : 0;
    case 0x8f:
        *prefix = 3;
        map = has(c, 3) ? p[1] & 0x1fu : 0;
        return map >= 8 && map <= 10 ? map : 0;
    default: /* 0x62 */
        *prefix = 4;
        if (!has(c, 4) || (p[1] & 8) || !(p[2] & 4))
            return 0;
        map = p[1] & 7u;
        return map == 4 || map == 7 ? 0 : map;
    }
}

static bool take_vector(struct cursor *c)
{
    static const char xop[] = "bmz"; /* maps 8, 9, 10; the immediate of 10 has 4 bytes */
    unsigned prefix = 0, map = vector_map(c, &prefix);
    if (!map || c->operand16 || c->repeat || c->repeat_not || c->lock || c->rex)
        return false;
    unsigned pp = c->code[c->at + (prefix == 2 ? 1 : 2)] & 3u;
    c->at += prefix;
    if (!has(c, 1))
        return false;
    c->out->legacy = false;
    c->out->map = (uint8_t)map;
    c->out->opcode_at = (uint8_t)c->at;
    uint8_t opcode = c->code[c->at++];
    return take_rest(c, map >= 8 ? xop[map - 8] : vector_form(map, opcode, pp));
}

/* The opcodes that are known among those behind 0F38 and 0F3A. */
static bool known_three(unsigned map, uint8_t o)
{
    if (map == 2)
        return o <= 0x0b || o == 0x10 || o == 0x14 || o == 0x15 || o == 0x17 ||
               (o >= 0x1c && o <= 0x25 && o != 0x1f) || (o >= 0x28 && o <= 0x2b) ||
               (o >= 0x30 && o <= 0x41) || (o >= 0x80 && o <= 0x82) || (o >= 0xc8 && o <= 0xcd) ||
               o == 0xcf || o == 0xd8 || (o >= 0xdb && o <= 0xdf) || o == 0xf0 || o == 0xf1 ||
               o == 0xf5 || o == 0xf6 || (o >= 0xf8 && o <= 0xfb);
    return (o >= 0x08 && o <= 0x0f) || (o >= 0x14 && o <= 0x17) || (o >= 0x20 && o <= 0x22) ||
           (o >= 0x40 && o <= 0x44 && o != 0x43) || (o >= 0x60 && o <= 0x63) || o == 0xcc ||
           o == 0xce || o == 0xcf || o == 0xdf;
}

static bool take_escaped(struct cursor *c)
{
    if (!has(c, 1))
        return false;
    uint8_t opcode = c->code[c->at];
    unsigned map = opcode == 0x38 ? 2 : opcode == 0x3a ? 3 : 1;
    if (map > 1) {
        c->at++;
        if (!has(c, 1))
            return false;
        opcode = c->code[c->at];
    }
    c->out->map = (uint8_t)map;
    c->out->opcode_at = (uint8_t)c->at++;
    if (map > 1)
        return known_three(map, opcode) && take_rest(c, map == 2 ? 'm' : 'b');
    /* vmread's opcode, with these prefixes one of SSE4a that has two immediates */
    if (opcode == 0x78 && (c->operand16 || c->repeat_not))
        return false;
    return take_rest(c, two_byte[opcode]);
}

static bool classify_one(struct cursor *c, uint8_t opcode)
{
    struct x86_instruction *out = c->out;
    if (opcode == 0xeb || opcode == 0xe9)
        out->kind = X86_JUMP;
    else if (opcode >= 0x70 && opcode <= 0x7f)
        out->kind = X86_BRANCH;
    else if (opcode >= 0xe0 && opcode <= 0xe3)
        out->kind = X86_LOOP;
    else if (opcode == 0xe8)
        out->kind = X86_CALL;
    else if (opcode == 0xc2 || opcode == 0xc3)
        out->kind = X86_RETURN;
    else if (opcode == 0xca || opcode == 0xcb || opcode == 0xcf)
        out->kind = X86_FAR;
    else if (opcode == 0xf4)
        out->kind = X86_STOP;
    else if (opcode == 0xc7 && c->code[out->modrm_at] == 0xf8) { /* xbegin */
        out->kind = X86_LOOP;
        out->relative_len = 4;
        out->relative_at = (uint8_t)(c->at - 4);
        out->relative = read_signed(c->code + c->at - 4, 4);
        return !c->operand16;
    } else if (opcode == 0xc6 || opcode == 0xc7 || opcode == 0x8f) {
        return reg_of(c) == 0 || (opcode == 0xc6 && c->code[out->modrm_at] == 0xf8);
    } else if (opcode == 0xfe) {
        return reg_of(c) < 2;
    } else if (opcode == 0xff) {
        static const uint8_t kinds[] = {X86_PLAIN,         X86_PLAIN, X86_CALL_INDIRECT, X86_FAR,
                                        X86_JUMP_INDIRECT, X86_FAR,   X86_PLAIN};
        if (reg_of(c) > 6)
            return false;
        out->kind = kinds[reg_of(c)];
        return out->kind == X86_PLAIN || !c->operand16 || out->wide;
    }
    return true;
}

static void classify_two(struct cursor *c, uint8_t opcode)
{
    if (opcode >= 0x80 && opcode <= 0x8f)
        c->out->kind = X86_BRANCH;
    else if (opcode == 0x0b || opcode == 0xb9)
        c->out->kind = X86_STOP;
    else if (opcode == 0x07 || opcode == 0x35)
        c->out->kind = X86_FAR;
}

bool x86_decode(const uint8_t *code, size_t size, struct x86_instruction *instruction)
{
    struct cursor c = {
        .code = code, .size = size < X86_LENGTH_MAX ? size : X86_LENGTH_MAX, .out = instruction};
    *instruction = (struct x86_instruction){.legacy = true};
    if (!take_prefixes(&c))
        return false;
    uint8_t opcode = code[c.at];
    bool xop = opcode == 0x8f && has(&c, 2) && (code[c.at + 1] & 0x38);
    if (opcode == 0xc4 || opcode == 0xc5 || opcode == 0x62 || xop) {
        if (!take_vector(&c))
            return false;
    } else if (opcode == 0x0f) {
        c.at++;
        if (!take_escaped(&c))
            return false;
        if (instruction->map == 1)
            classify_two(&c, code[instruction->opcode_at]);
    } else {
        instruction->opcode_at = (uint8_t)c.at++;
        if (!take_rest(&c, one_byte[opcode]) || !classify_one(&c, opcode))
            return false;
    }
    instruction->length = (uint8_t)c.at;
    return true;
}

bool x86_is_endbr(const uint8_t *code, size_t size)
{
    return size >= 4 && code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa;
}

bool x86_is_prologue(const uint8_t *code, const struct x86_instruction *instruction)
{
    uint8_t opcode = code[instruction->opcode_at];
    uint8_t modrm = instruction->modrm_at ? code[instruction->modrm_at] : 0;
    if (!instruction->legacy || instruction->map)
        return false;
    if (opcode >= 0x50 && opcode <= 0x57) /* push */
        return true;
    if (!instruction->wide)
        return false;
    if ((opcode == 0x83 || opcode == 0x81) && modrm == 0xec) /* sub $n, %rsp */
        return !(code[instruction->opcode_at - 1] & 1);
    /* mov %rsp, %rbp, in its two forms */
    return code[instruction->opcode_at - 1] == 0x48 &&
           ((opcode == 0x89 && modrm == 0xe5) || (opcode == 0x8b && modrm == 0xec));
}

/* -------------------------------------------------- exits */

enum { WINDOW = 2048 }; /* bytes whose instructions' beginnings are marked at a time */

static bool goes_on(uint8_t kind)
{
    return kind != X86_JUMP && kind != X86_JUMP_INDIRECT && kind != X86_RETURN && kind != X86_STOP;
}

/* Marks the beginnings of instructions in [low, low + WINDOW), counted from low. */
static void mark_window(const uint8_t *code, size_t size, size_t low, uint8_t *marks)
{
    struct x86_instruction i;
    for (unsigned byte = 0; byte < WINDOW / 8; byte++)
        marks[byte] = 0;
    for (size_t at = 0; at < size && at < low + WINDOW; at += i.length) {
        x86_decode(code + at, size - at, &i);
        size_t where[2] = {at, code[at] == 0xf0 ? at + 1 : at}; /* a jump may pass by a lock */
        for (unsigned n = 0; n < 2; n++) {
            if (where[n] >= low && where[n] < low + WINDOW)
                marks[(where[n] - low) / 8] |= (uint8_t)(1u << ((where[n] - low) % 8));
        }
    }
}

static bool branches_meet(const uint8_t *code, size_t size)
{
    for (size_t low = 0; low < size; low += WINDOW) {
        uint8_t marks[WINDOW / 8];
        struct x86_instruction i;
        mark_window(code, size, low, marks);
        for (size_t at = 0; at < size; at += i.length) {
            x86_decode(code + at, size - at, &i);
            int64_t to = (int64_t)at + i.length + i.relative - (int64_t)low;
            if (!i.relative_at || to < 0 || to >= WINDOW || (size_t)to + low >= size)
                continue;
            if (!(marks[to / 8] & (1u << (to % 8))))
                return false;
        }
    }
    return true;
}

struct proof {
    const uint8_t *code;
    size_t size;
    x86_is_function *is_function;
    void *context;
    const char *reason;
    bool branches;  /* some were met */
    bool indirect;  /* an indirect jump was met, which may be through a table of branches */
    bool last_ends; /* the instruction before does not go on, or may not: a call */
};

static bool is_padding(const uint8_t *code, const struct x86_instruction *i)
{
    uint8_t opcode = code[i->opcode_at];
    return i->legacy &&
           ((i->map == 0 && (opcode == 0x90 || opcode == 0xcc)) || (i->map == 1 && opcode == 0x1f));
}

/* Whether this instruction leaves the body; what cannot be said is put into p->reason. */
static bool leaves(struct proof *p, size_t at, const struct x86_instruction *i)
{
    int64_t to = (int64_t)at + i->length + i->relative;
    bool outside = to < 0 || to >= (int64_t)p->size;
    switch (i->kind) {
    case X86_RETURN:
        return true;
    case X86_FAR:
        p->reason = "it has a far transfer";
        return false;
    case X86_LOOP:
        if (outside)
            p->reason = "it leaves by a loop instruction";
        return false;
    case X86_JUMP:
    case X86_BRANCH:
        if (outside && (!p->is_function || !p->is_function(p->context, to)))
            p->reason = "it jumps to code that is not known to be a function";
        return outside;
    case X86_JUMP_INDIRECT:
        p->indirect = p->indirect || !i->rip_at; /* a table of branches has an index */
        return true;
    default:
        return false;
    }
}

long x86_exits(const uint8_t *code, size_t size, x86_is_function *is_function, void *context,
               struct x86_exit *exits, size_t room, const char **reason)
{
    struct proof p = {code, size, is_function, context, NULL, false, false, false};
    struct x86_instruction i;
    long count = 0;
    bool padding;
    if (!size || size > X86_BODY_MAX)
        p.reason = size ? "it is too long" : "its size is not known";
    for (size_t at = 0; at < size && !p.reason; at += i.length) {
        if (!x86_decode(code + at, size - at, &i)) {
            p.reason = "it has an instruction that is not known";
            break;
        }
        padding = is_padding(code + at, &i);
        /* without branches and without code behind it, it is the only way out: a tail call */
        if (p.indirect && (p.branches || !padding))
            p.reason = "it has an indirect jump";
        if (leaves(&p, at, &i)) {
            if ((size_t)count < room)
                exits[count] = (struct x86_exit){(uint32_t)at, i.length, i.kind};
            count++;
        }
        if (i.relative_at && i.kind != X86_CALL)
            p.branches = true;
        p.last_ends = !goes_on(i.kind) || i.kind == X86_CALL || i.kind == X86_CALL_INDIRECT ||
                      (p.last_ends && padding);
    }
    if (!p.reason && p.indirect && p.branches)
        p.reason = "it has an indirect jump";
    if (!p.reason && !p.last_ends)
        p.reason = "it goes on behind its end";
    if (!p.reason && !branches_meet(code, size))
        p.reason = "a branch goes into the middle of an instruction";
    if (!p.reason)
        return count;
    *reason = p.reason;
    return -1;
}
