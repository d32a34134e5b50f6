/* Announcing: one connection, one message, and the broker's word that it has it. */
#include "mqtt/mqtt.h"

enum { MOST_MS = 10000, MOST_TEXT = 1024 };

typedef struct announcement {
    bool done, late;
    int64_t until;
} announcement;

static void ready(void *context) {
    ((announcement *)context)->done = true;
}

static bool go_on(void *context) {
    announcement *a = context;
    a->late = tn_mqtt_now() > a->until;
    return !a->done && !a->late;
}

static tn_status announce(const tn_broker *b, const char *text) {
    announcement a = {.until = tn_mqtt_now() + MOST_MS};
    const tn_mqtt_task task = {text, ready, NULL, go_on, &a};
    tn_mqtt_client *c;
    TN_TRY(tn_mqtt_client_create(b, &task, &c));
    tn_status status = tn_mqtt_client_run(c);
    tn_mqtt_client_destroy(c);
    if (status == TN_OK && !a.done)
        return tn_fail(TN_E_IO, "the broker '%s' has not taken the message within %d s", b->url, MOST_MS / 1000);
    return status;
}

tn_status tn_mqtt_announce(const tn_mqtt_options *options, const char *text) {
    tn_broker b;
    if (strlen(text) > MOST_TEXT) return tn_fail(TN_E_LIMIT, "an announcement has at most %d bytes", MOST_TEXT);
    tn_status status = tn_broker_open(options, &b);
    if (status == TN_OK) status = announce(&b, text);
    tn_broker_close(&b);
    return status;
}
