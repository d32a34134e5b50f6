/* Loading libmosquitto; it stays loaded. */
#include "mqtt/mosquitto.h"
#include "base/base.h"
#include "base/library.h"
#include <pthread.h>

static tn_mosquitto functions;
static const char *missing; /* NULL: all are there */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
#define TN_X(name) "mosquitto_" #name,
    static const char *const names[] = {TN_MOSQUITTO_FUNCTIONS(TN_X)};
#undef TN_X
    missing = tn_library_load("libmosquitto.so.1", names, TN_COUNT(names), &functions);
    if (!missing && functions.lib_init() != MOSQ_ERR_SUCCESS) missing = "its own start";
}

tn_status tn_mosquitto_load(const tn_mosquitto **out_mosquitto) {
    pthread_once(&once, load);
    *out_mosquitto = &functions;
    return missing ? tn_fail(TN_E_UNSUPPORTED,
                             "libmosquitto cannot be used: %s fails or is not there; install libmosquitto1", missing)
                   : TN_OK;
}
