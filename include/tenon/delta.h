/* Deltas: what changed from one file to another, as a small file that makes the one of the other.
 *
 *     tn_delta_make("press-1.2.0.onnx", "press-1.3.0.onnx", "press.tnd", NULL);
 *     // where the old one is
 *     tn_delta_apply("press-1.2.0.onnx", "press.tnd", "press-1.3.0.onnx", NULL, NULL);
 *
 * Of two model files (.onnx, .tenon) the tensors are found by their names, or shapes, and compared element by element: a
 * weight that training moved a little costs the bits of the move. Everything else, and any other two files, is compared by
 * its bytes. What is the same in both costs a few bits. Deflated sections of a .tenon hide what they have in common: make
 * deltas of files that are not compressed.
 *
 * A delta belongs to one base, by its SHA-256, and what it makes is compared with the SHA-256 of the result.
 *
 * Cuts. A delta can be applied as far as it came: then tn_delta_apply fails with TN_E_INTERRUPTED, and what it made stays in
 * RESULT.part. Fetch what is missing, and apply again: blocks that are in RESULT.part are compared with their checks and not
 * made again. The same holds for a power cut, a full disk, or an end of the program at any moment. RESULT appears once it
 * is whole. A RESULT.part that nobody goes on with may be deleted.
 *
 * Memory. Applying needs 7 MiB at most, whatever the sizes of the files. Making needs 8 MiB and 300 bytes for each tensor,
 * and maps both files, which take room in memory only as far as the system has it to spare.
 *
 * Thread-safety: everything may be called by many threads at once; of two that make the same result at once, the second
 * one fails with TN_E_STATE.
 *
 *
 * THE FORMAT, version 1.0
 *
 * Numbers are unsigned and little-endian. A check is the first 4 bytes of a SHA-256. A delta is a header and blocks, one
 * behind the other, until they have made the whole result; behind the last one there is nothing.
 *
 *     header  offset  bytes
 *                  0      8   magic: 89 54 4e 44 0d 0a 1a 0a
 *                  8      2   major version: 1
 *                 10      2   minor version: 0; a delta of another version cannot be read
 *                 12      4   check of the header's bytes 0 to 11 followed by 16 to 95
 *                 16      8   length of the base
 *                 24      8   length of the result: at most 1024 times (that of the base + 1 MiB)
 *                 32     32   SHA-256 of the base
 *                 64     32   SHA-256 of the result
 *
 *     block        0      4   n, the bytes that its steps take: at most 3 MiB
 *                  4      4   bytes of the result that it makes: 1 to 1 GiB
 *                  8      4   check of those
 *                 12      4   check of the block's bytes 0 to 11 followed by its steps
 *                 16      n   steps
 *
 * A block can be read without those before it. Its steps are one stream of bits; they make its bytes of the result one after
 * the other. A step is of a kind: 0 COPY takes bytes of the base as they are, 1 CHANGE takes them with differences, 2 NEW
 * takes nothing of it. CHANGE and NEW are of elements of a type, and make at most 1 MiB in a block:
 *
 *     type            0 byte  1 int8  2 int16  3 int32  4 int64  5 float16  6 bfloat16  7 float32  8 float64
 *     width w, bytes       1       1        2        4        8          2           2          4          8
 *     depth d              4       4        5        6        7          5           5          6          7
 *     exponent's bits      -       -        -        -        -          5           8          8         11
 *     fraction's bits      -       -        -        -        -         10           7         23         52
 *
 * (Unsigned whole numbers are as the signed ones.) All that follows is arithmetic of whole numbers; / rounds towards zero.
 *
 * Bits. `low` and `high` are numbers of 64 bits, 0 and 2^64 - 1 when a block begins; `code` is the first 8 bytes of the
 * steps, the first one highest, and zeros follow the last byte. A bit of probability p (of 65536, that it is 1) is 1 if
 * code <= low + (high - low) / 65536 p, which then becomes high; else low becomes that + 1. As long as low and high have the
 * same highest byte, all three go up by a byte: low takes 0 from below, high 255, code the next byte. n raw bits, 16 at a
 * time and the rest last, highest first: part = (high - low) / 2^n; the value is (code - low) / part, at most 2^n - 1; low
 * grows by part times it, and high becomes low + part - 1 unless it is 2^n - 1. (Where part is 0, n bits of p = 32768.) When
 * the steps are done, the three have gone up at least n - 1 times, n being the bytes of the steps, and the last of these is
 * not zero.
 *
 * Learnt bits. A slot is q, of 22 bits, at first 2^21, and a count n, at first 0. Alone it gives p = q / 64, at least 1.
 * Afterwards q grows by (t - q) (131072 / (2n + 3)) / 65536, where t is 0 or 2^22 - 1 by the bit, and then n by 1 up to 400.
 *
 * Mixed bits have three slots and a mixer of three weights, each at first 26214. x_i = stretch(q_i / 1024), and
 * p = squash((x_0 w_0 + x_1 w_1 + x_2 w_2) / 65536). Afterwards w_i grows by x_i (65536 bit - p) / 131072, within -2^20 to
 * 2^20, and the slots learn as above. squash(x), x within -3071 to 3071: with u = x + 3072, i = u / 128, r = u % 128, it is
 * (k_i (128 - r) + k_(i+1) r + 64) / 128, within 1 to 65535, where k_i is 65536 / (1 + exp(12 - i / 2)) rounded to the
 * nearest whole number. stretch(v) is the least x whose squash(x) / 16 is at least v, 3071 if there is none.
 *
 * A tree of depth d codes a number of d bits, highest first: the slot of each bit is number `node`, which is 1 at first
 * and becomes 2 node + bit; what remains of it without its highest 1 is the number.
 *
 * below(T, n, v): the n bits of v below its first one. The first 3 of them are a tree over the slots T, whose depth is n if
 * that is less; the others are raw.
 *
 * number(S): a tree of depth 6 over the slots S gives n; the number is 2^n + below(L_n, n), L_n being eight slots that all
 * numbers share.
 *
 * A step begins with its kind, a tree of depth 2 by the kind before (3 at a block's beginning); if not COPY, its type, a tree
 * of depth 4 by the type before (0 at first; COPY leaves it). If not NEW, its place in the base: `expected` and `held` are the
 * result's offset at a block's beginning. A learnt bit 0: it is `expected`; else another one, 0: it is `held`; else a third
 * one, and number(P): so far behind `expected` (0) or before it (1). Then number(S_kind,type) of elements, COPY's being bytes
 * of type 0. Afterwards expected is the place + the length in bytes (of NEW, `expected` grows by it), and so is `held` after
 * COPY and CHANGE.
 *
 * CHANGE, for each element, b being the base's: a length l, mixed, a tree of depth d in each of three tables by a context;
 * the mixer is by `node`. If l is above 8 w, it is 8 w. If it is not 0: a learnt bit `down`, by
 * 4 s + 2 (l <= 2) + (b's highest bit), s being 0 if the last difference was 0 or there was none, 1 up, 2 down; then the
 * magnitude 2^(l-1) + below(M_l, l - 1). The element is b moved up or down by it, modulo 2^(8w), in the order of numbers:
 * whole numbers are their own order; of a float with the highest bit 0 that is b with the bit set, else all bits inverted.
 * Each type has all of this for itself. With l1, l2, l3 the lengths before (0 at first), the contexts are
 *
 *     floats    c0 = (a - 16 e) / 8 within 0 to 255     c1 = e
 *               c2 = (l1 = 0 ? 0 : l1 + e1 - e within 1 to 127) + (l2 = 0 ? 0 : 128)
 *     width 1   c0 = b     c1 = 64 min(l1, 3) + 16 min(l2, 3) + 4 min(l3, 3) + s
 *               c2 = 4 min(a / 4, 63) + (b = 0 ? 0 : b >= 128 ? 1 : b < 32 ? 2 : 3)
 *     others    c0 = l1    c1 = 16 min(l1, 15) + min(l2, 15)    c2 = the bits that b has, 0 to 64
 *
 * where e is b's exponent (its highest 8 bits, of float64), e1 the one before, 0 at first. a is 0 at first. After an element
 * of a float whose l is not 0 it is 16 (l + e) if it was 0, else it grows by (16 (l + e) - a) / 8; after one of a whole
 * number it grows by (16 l - a) / 16.
 *
 * NEW, for each byte of each element, in order: mixed, trees of depth 8, first by the byte's number i in the element; second by
 * i % 4 and the byte w before; third by the byte before. The mixer is by i. Bytes before are those of NEW in this block,
 * whatever their type; 0 before the first. */
#ifndef TENON_DELTA_H
#define TENON_DELTA_H

#include <stddef.h>
#include <stdint.h>
#include <tenon/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_delta_info {
    size_t struct_size;                      /* set by the caller */
    char base_digest[72], result_digest[72]; /* "sha256:" and 64 hexadecimal digits */
    uint64_t base_bytes, result_bytes;
    uint64_t delta_bytes; /* of the file, as far as it is there */
    uint64_t ready_bytes; /* of the result, from its start, that what is there makes; all of it if the delta is whole */
    uint64_t blocks;      /* that are there, whole */
} tn_delta_info;

/* Writes to `delta` what makes `result` of `base`. The file that is there is replaced by the complete new one, or stays.
 * Both files must stay as they are meanwhile. out_info may be NULL. */
TN_API tn_status tn_delta_make(const char *base, const char *result, const char *delta, tn_delta_info *out_info);

/* All zero but struct_size is the default. */
typedef struct tn_delta_apply_options {
    size_t struct_size;
    uint64_t most_bytes; /* refuse to make a greater file than this; 0: no limit but the format's */
} tn_delta_apply_options;

typedef struct tn_delta_result {
    size_t struct_size; /* set by the caller */
    uint64_t bytes;     /* of the result that are made, also after a failure */
    uint64_t resumed;   /* of those, what was there from before */
} tn_delta_result;

/* Makes `result`, whole and compared with its SHA-256, or leaves it as it was. TN_E_INTERRUPTED: the delta is cut, see above.
 * TN_E_CHECK: it belongs to another base. TN_E_FORMAT: it is damaged. TN_E_LIMIT: too great. options and out_result may be
 * NULL. */
TN_API tn_status tn_delta_apply(const char *base, const char *delta, const char *result,
                                const tn_delta_apply_options *options, tn_delta_result *out_result);

/* What a delta says of itself, and how much of it is there; each block is compared with its check. */
TN_API tn_status tn_delta_inspect(const char *delta, tn_delta_info *out_info);

#ifdef __cplusplus
}
#endif
#endif
