/* A library without libmosquitto hears nothing, and says so; its listeners wait all the same. */
#include "mqtt/mqtt.h"

tn_status tn_mqtt_client_create(const tn_broker *b, const tn_mqtt_task *task, tn_mqtt_client **out_client) {
    (void)b, (void)task;
    *out_client = NULL;
    return tn_fail(TN_E_UNSUPPORTED, "this library was built without MQTT; build it with libmosquitto");
}

void tn_mqtt_client_destroy(tn_mqtt_client *c) {
    (void)c;
}

tn_status tn_mqtt_client_run(tn_mqtt_client *c) {
    (void)c;
    return TN_E_UNSUPPORTED;
}

void tn_mqtt_client_stir(tn_mqtt_client *c) {
    (void)c;
}
