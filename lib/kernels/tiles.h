/* AMX: the process's permission, and a thread's tiles.
 *
 * Linux saves the eight tile registers (8 KiB) only for processes that asked for it, once; from then on it refuses
 * alternate signal stacks too small for them (AT_MINSIGSTKSZ tells the size), and refuses the request itself while
 * such a stack is in use. So nobody asks before the level is wanted: options.cpu or TENON_CPU below "amx" keep a
 * process as it was. A thread's registers come into being with its first tile instruction.
 *
 * A kernel loads its configuration when it begins and releases the tiles when it ends. Between kernels no thread has
 * tile state, so context switches and signal frames cost what they did, and tiles that the host's own code holds are
 * lost only across calls of this library, as the ABI has it (all of AMX is call-clobbered).
 * Source: Intel 64 and IA-32 Optimization Reference Manual, chapter 20; Linux, Documentation/arch/x86/xstate.rst. */
#ifndef TN_TILES_H
#define TN_TILES_H

#include <stdbool.h>
#include <stdint.h>

/* Does the system know tiles at all? Asks for nothing. */
bool tn_amx_supported(void);
/* Asks for tiles the first time; true where they may be used. */
bool tn_amx_permitted(void);

/* What LDTILECFG reads: tile i has `rows[i]` rows of `row_bytes[i]` bytes. */
typedef struct tn_tiles {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tn_tiles;

#endif
