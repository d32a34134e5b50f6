/* Loading libmosquitto; it stays loaded. */
#include "mqtt/mosquitto.h"
#include "base/base.h"
#include <dlfcn.h>
#include <pthread.h>

static tn_mosquitto functions;
static const char *missing; /* NULL: all are there */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
    void *library = dlopen("libmosquitto.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        missing = "libmosquitto.so.1";
        return;
    }
    /* ISO C knows no conversion of void * to a function's; POSIX has this one. */
#define TN_X(name)                                                                                                     \
    if (!(*(void **)&functions.name = dlsym(library, "mosquitto_" #name))) missing = "mosquitto_" #name;
    TN_MOSQUITTO_FUNCTIONS(TN_X)
#undef TN_X
    if (!missing && functions.lib_init() != MOSQ_ERR_SUCCESS) missing = "its own start";
}

tn_status tn_mosquitto_load(const tn_mosquitto **out_mosquitto) {
    pthread_once(&once, load);
    *out_mosquitto = &functions;
    return missing ? tn_fail(TN_E_UNSUPPORTED,
                             "libmosquitto cannot be used: %s fails or is not there; install libmosquitto1", missing)
                   : TN_OK;
}
