/* Inside of listening and announcing; what they promise is in tenon/mqtt.h.
 *
 * Three layers: options, checked and copied (broker.c), one connection by libmosquitto (client.c), and what is done with
 * connections: announce.c makes one, listener.c one after the other. */
#ifndef TN_MQTT_MQTT_H
#define TN_MQTT_MQTT_H

#include <tenon/mqtt.h>
#include "base/base.h"

/* broker.c */
typedef struct tn_broker {
    tn_region *region; /* of what is copied */
    char host[256];
    int port;
    bool tls;
    const char *url, *topic, *ca_file, *certificate_file, *key_file;
    char *name, *password; /* NULL: anonymous */
    int spread_ms, wait_ms;
} tn_broker;
tn_status tn_broker_open(const tn_mqtt_options *options, tn_broker *out); /* close it, also after a failure */
void tn_broker_close(tn_broker *b);

/* client.c; without libmosquitto absent.c */
typedef struct tn_mqtt_client tn_mqtt_client;
typedef struct tn_mqtt_task {
    const char *announce;         /* what to publish; NULL: to listen */
    void (*ready)(void *context); /* the broker has it; listening has begun */
    void (*message)(void *context);
    bool (*go_on)(void *context); /* asked about once a second at least */
    void *context;
} tn_mqtt_task;
/* TN_E_UNSUPPORTED, with a sentence, where there is no libmosquitto. Broker and task must stay. */
tn_status tn_mqtt_client_create(const tn_broker *b, const tn_mqtt_task *task, tn_mqtt_client **out_client);
void tn_mqtt_client_destroy(tn_mqtt_client *c); /* accepts NULL */
/* One connection, from its beginning to its end: TN_OK if go_on ended it. */
tn_status tn_mqtt_client_run(tn_mqtt_client *c);
/* From another thread, after `ready`: has go_on asked at once. */
void tn_mqtt_client_stir(tn_mqtt_client *c);

int64_t tn_mqtt_now(void); /* milliseconds of a clock that only goes forth */

#endif
