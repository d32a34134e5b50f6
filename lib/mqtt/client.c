/* One connection to a broker at a time. All of libmosquitto is used from the thread that runs it, but for `stir`. */
#include "mqtt/mosquitto.h"
#include "mqtt/mqtt.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { KEEPALIVE = 60, TURN_MS = 1000 };

struct tn_mqtt_client {
    const tn_mosquitto *api;
    struct mosquitto *mosquitto;
    const tn_broker *broker;
    const tn_mqtt_task *task;
    bool begun;        /* it was connected before, or tried */
    char refused[128]; /* what the broker said of this connection; "": nothing bad */
};

static void on_connect(struct mosquitto *m, void *context, int code) {
    tn_mqtt_client *c = context;
    const char *text = c->task->announce;
    if (code) {
        snprintf(c->refused, sizeof c->refused, "%s", c->api->connack_string(code));
        return;
    }
    code = text ? c->api->publish(m, NULL, c->broker->topic, (int)strlen(text), text, 1, false)
                : c->api->subscribe(m, NULL, c->broker->topic, 1);
    if (code) snprintf(c->refused, sizeof c->refused, "%s", c->api->strerror(code));
}

static void on_subscribe(struct mosquitto *m, void *context, int id, int count, const int *granted) {
    tn_mqtt_client *c = context;
    (void)m, (void)id;
    if (count != 1 || granted[0] > 2)
        snprintf(c->refused, sizeof c->refused, "it does not let us listen to '%.80s'", c->broker->topic);
    else
        c->task->ready(c->task->context);
}

static void on_publish(struct mosquitto *m, void *context, int id) {
    tn_mqtt_client *c = context;
    (void)m, (void)id;
    c->task->ready(c->task->context);
}

static void on_message(struct mosquitto *m, void *context, const struct mosquitto_message *message) {
    tn_mqtt_client *c = context;
    (void)m, (void)message;
    c->task->message(c->task->context);
}

/* A key with a password: without this, OpenSSL would ask for it on the terminal. */
static int no_password(char *text, int size, int writes, void *context) {
    (void)text, (void)size, (void)writes, (void)context;
    return 0;
}

static tn_status set_tls(tn_mqtt_client *c) {
    const tn_broker *b = c->broker;
    const char *const files[] = {b->ca_file, b->certificate_file, b->key_file};
    for (size_t i = 0; i < TN_COUNT(files); i++)
        if (files[i] && access(files[i], R_OK) != 0)
            return tn_fail(TN_E_IO, "cannot read '%s': %s", files[i], strerror(errno));
    int code = c->api->tls_set(c->mosquitto, b->ca_file, b->ca_file ? NULL : "/etc/ssl/certs", b->certificate_file,
                               b->key_file, no_password);
    return code == MOSQ_ERR_SUCCESS ? TN_OK
                                    : tn_fail(TN_E_UNSUPPORTED, "libmosquitto's TLS: %s", c->api->strerror(code));
}

static tn_status set_up(tn_mqtt_client *c) {
    const tn_broker *b = c->broker;
    const tn_mosquitto *api = c->api;
    int code = c->task->announce ? api->pub_topic_check(b->topic) : api->sub_topic_check(b->topic);
    if (code != MOSQ_ERR_SUCCESS)
        return tn_fail(TN_E_INVALID, "'%.100s' is no topic of MQTT to %s", b->topic,
                       c->task->announce ? "publish on" : "listen to");
    c->mosquitto = api->new (NULL, true, c);
    if (!c->mosquitto) return tn_fail(TN_E_MEMORY, "no memory for libmosquitto");
    api->threaded_set(c->mosquitto, true);
    api->connect_callback_set(c->mosquitto, on_connect);
    api->subscribe_callback_set(c->mosquitto, on_subscribe);
    api->publish_callback_set(c->mosquitto, on_publish);
    api->message_callback_set(c->mosquitto, on_message);
    if (b->name && api->username_pw_set(c->mosquitto, b->name, b->password) != MOSQ_ERR_SUCCESS)
        return tn_fail(TN_E_INVALID, "libmosquitto does not take the name and password");
    return b->tls ? set_tls(c) : TN_OK;
}

tn_status tn_mqtt_client_create(const tn_broker *b, const tn_mqtt_task *task, tn_mqtt_client **out_client) {
    const tn_mosquitto *api;
    *out_client = NULL;
    TN_TRY(tn_mosquitto_load(&api));
    tn_mqtt_client *c = tn_alloc_zero(NULL, sizeof *c);
    if (!c) return TN_E_MEMORY;
    c->api = api;
    c->broker = b;
    c->task = task;
    tn_status status = set_up(c);
    if (status == TN_OK)
        *out_client = c;
    else
        tn_mqtt_client_destroy(c);
    return status;
}

void tn_mqtt_client_destroy(tn_mqtt_client *c) {
    if (!c) return;
    if (c->mosquitto) c->api->destroy(c->mosquitto);
    tn_free(NULL, c, sizeof *c);
}

tn_status tn_mqtt_client_run(tn_mqtt_client *c) {
    const tn_mosquitto *api = c->api;
    const tn_broker *b = c->broker;
    bool on = true;
    c->refused[0] = 0;
    int code =
        c->begun ? api->reconnect_async(c->mosquitto) : api->connect_async(c->mosquitto, b->host, b->port, KEEPALIVE);
    c->begun = true;
    while (code == MOSQ_ERR_SUCCESS && !c->refused[0] && (on = c->task->go_on(c->task->context)))
        code = api->loop(c->mosquitto, TURN_MS, 1);
    int number = errno;
    api->disconnect(c->mosquitto); /* sent by a turn of the loop, if there is a connection */
    api->loop(c->mosquitto, 100, 1);
    if (!on) return TN_OK;
    return tn_fail(TN_E_IO, "the broker '%s': %s", b->url,
                   c->refused[0]            ? c->refused
                   : code == MOSQ_ERR_ERRNO ? strerror(number)
                                            : api->strerror(code));
}

void tn_mqtt_client_stir(tn_mqtt_client *c) {
    c->api->disconnect(c->mosquitto); /* ends the turn of the loop */
}
