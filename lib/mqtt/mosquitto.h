/* libmosquitto, loaded when it is first needed. */
#ifndef TN_MQTT_MOSQUITTO_H
#define TN_MQTT_MOSQUITTO_H

#include <mosquitto.h>
#include <tenon/status.h>

#define TN_MOSQUITTO_FUNCTIONS(X)                                                                                      \
    X(lib_init)                                                                                                        \
    X(new)                                                                                                             \
    X(destroy)                                                                                                         \
    X(username_pw_set)                                                                                                 \
    X(tls_set)                                                                                                         \
    X(threaded_set)                                                                                                    \
    X(connect_callback_set)                                                                                            \
    X(subscribe_callback_set)                                                                                          \
    X(publish_callback_set)                                                                                            \
    X(message_callback_set)                                                                                            \
    X(connect_async)                                                                                                   \
    X(reconnect_async)                                                                                                 \
    X(disconnect)                                                                                                      \
    X(loop)                                                                                                            \
    X(publish)                                                                                                         \
    X(subscribe)                                                                                                       \
    X(sub_topic_check)                                                                                                 \
    X(pub_topic_check)                                                                                                 \
    X(connack_string)                                                                                                  \
    X(strerror)

typedef struct tn_mosquitto {
#define TN_X(name) __typeof__(&mosquitto_##name) name;
    TN_MOSQUITTO_FUNCTIONS(TN_X)
#undef TN_X
} tn_mosquitto;

/* TN_E_UNSUPPORTED where it is not installed. */
tn_status tn_mosquitto_load(const tn_mosquitto **out_mosquitto);

#endif
