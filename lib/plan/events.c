/* Events for TensorBoard: records of protobuf messages `Event` (tensorflow/core/util/event.proto), each
 *
 *     8 bytes  length of the message, little-endian
 *     4        masked CRC-32C of these
 *     ...      the message
 *     4        masked CRC-32C of the message
 *
 * as tensorflow/core/lib/io/record_writer.h has it. A run that is resumed begins another file beside the first: TensorBoard
 * takes all of a folder together. Times are the machine's; nothing of this goes into the model file. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/little.h"
#include "plan/plan.h"

/* Castagnoli's polynomial, bit-reversed. */
static uint32_t crc32c(const uint8_t *data, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static uint32_t masked(const uint8_t *data, size_t size) {
    const uint32_t crc = crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

typedef struct {
    size_t size;
    uint8_t data[256];
} message;

static void put(message *m, uint8_t tag, const void *data, size_t size) {
    m->data[m->size++] = tag;
    m->data[m->size++] = (uint8_t)size; /* below 128 here: one byte of a varint */
    memcpy(m->data + m->size, data, size);
    m->size += size;
}
static void put_fixed(message *m, uint8_t tag, uint64_t bits, int bytes) {
    m->data[m->size++] = tag;
    tn_put_little(m->data + m->size, bytes, bits);
    m->size += (size_t)bytes;
}

static void put_scalar(message *summary, const char *tag, double x) {
    message value = {0};
    const float number = (float)x;
    uint32_t bits;
    if (!isfinite(x)) return;
    memcpy(&bits, &number, sizeof bits);
    put(&value, 0x0A, tag, strlen(tag));        /* Value.tag */
    put_fixed(&value, 0x15, bits, 4);           /* Value.simple_value */
    put(summary, 0x0A, value.data, value.size); /* Summary.value */
}

static message event(void) {
    message m = {0};
    struct timespec now;
    double seconds;
    uint64_t bits;
    clock_gettime(CLOCK_REALTIME, &now);
    seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    memcpy(&bits, &seconds, sizeof bits);
    put_fixed(&m, 0x09, bits, 8); /* Event.wall_time */
    return m;
}

static tn_status write_record(FILE *file, const message *m) {
    uint8_t head[12], tail[4];
    tn_put_little(head, 8, m->size);
    tn_put_little(head + 8, 4, masked(head, 8));
    tn_put_little(tail, 4, masked(m->data, m->size));
    if (fwrite(head, sizeof head, 1, file) == 1 && fwrite(m->data, m->size, 1, file) == 1 &&
        fwrite(tail, sizeof tail, 1, file) == 1 && fflush(file) == 0)
        return TN_OK;
    return tn_fail(TN_E_IO, "events for TensorBoard cannot be written: %s", strerror(errno));
}

tn_status tn_events_open(const char *folder, FILE **out_file) {
    char host[65] = "", path[4096];
    *out_file = NULL;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return tn_fail(TN_E_IO, "cannot make the folder '%s' for events: %s", folder, strerror(errno));
    if (gethostname(host, sizeof host - 1) != 0) snprintf(host, sizeof host, "here");
    if (snprintf(path, sizeof path, "%s/events.out.tfevents.%010lld.%s.%ld", folder, (long long)time(NULL), host,
                 (long)getpid()) >= (int)sizeof path)
        return tn_fail(TN_E_LIMIT, "the path of the folder for events is too long");
    FILE *file = fopen(path, "abe");
    if (!file) return tn_fail(TN_E_IO, "cannot write '%s': %s", path, strerror(errno));
    message m = event();
    put(&m, 0x1A, "brain.Event:2", 13); /* Event.file_version */
    tn_status status = write_record(file, &m);
    if (status == TN_OK)
        *out_file = file;
    else
        fclose(file);
    return status;
}

tn_status tn_events_epoch(FILE *file, int64_t epoch, const tn_epoch *e) {
    message m = event(), summary = {0};
    m.data[m.size++] = 0x10; /* Event.step */
    for (uint64_t v = (uint64_t)epoch;; v >>= 7) {
        m.data[m.size++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
        if (v <= 127) break;
    }
    put_scalar(&summary, "loss/training", e->loss);
    put_scalar(&summary, "loss/validation", e->validation);
    put_scalar(&summary, "rate", e->rate);
    put(&m, 0x2A, summary.data, summary.size); /* Event.summary */
    return write_record(file, &m);
}
