/* The permission to use AMX's tiles; see tiles.h. */
#include "kernels/tiles.h"

#if defined(__x86_64__) && defined(__linux__)
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GET_SUPPORTED = 0x1021, GET_PERMITTED = 0x1022, ASK_PERMISSION = 0x1023, TILE_CONFIG = 17, TILE_DATA = 18 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool permitted;

static bool has_tiles(int question) {
    const uint64_t wanted = 1u << TILE_CONFIG | 1u << TILE_DATA;
    uint64_t features = 0;
    return syscall(SYS_arch_prctl, question, &features) == 0 && (features & wanted) == wanted;
}

static void ask(void) {
    permitted = syscall(SYS_arch_prctl, ASK_PERMISSION, TILE_DATA) == 0 && has_tiles(GET_PERMITTED);
}

bool tn_amx_supported(void) {
    return has_tiles(GET_SUPPORTED);
}

bool tn_amx_permitted(void) {
    pthread_once(&once, ask);
    return permitted;
}
#else
bool tn_amx_supported(void) {
    return false;
}
bool tn_amx_permitted(void) {
    return false;
}
#endif
