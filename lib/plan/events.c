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
#include "import/pb_write.h"
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

static void put_scalar(tn_pb_out *event, const char *tag, double x) {
    if (!isfinite(x)) return;
    const tn_pb_mark value = tn_pb_open(event, 1); /* Summary.value */
    tn_pb_put_text(event, 1, tag);
    tn_pb_put_float(event, 2, (float)x); /* Value.simple_value */
    tn_pb_close(event, value);
}

static void put_time(tn_pb_out *event) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    tn_pb_put_double(event, 1, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
}

/* Frees the event. */
static tn_status write_record(FILE *file, tn_pb_out *event) {
    uint8_t head[12], tail[4];
    tn_status status = event->status;
    tn_put_little(head, 8, event->size);
    tn_put_little(head + 8, 4, masked(head, 8));
    if (status == TN_OK) {
        tn_put_little(tail, 4, masked(event->data, event->size));
        if (fwrite(head, sizeof head, 1, file) != 1 || fwrite(event->data, event->size, 1, file) != 1 ||
            fwrite(tail, sizeof tail, 1, file) != 1 || fflush(file) != 0)
            status = tn_fail(TN_E_IO, "events for TensorBoard cannot be written: %s", strerror(errno));
    }
    tn_pb_out_free(event);
    return status;
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
    tn_pb_out event = {0};
    put_time(&event);
    tn_pb_put_text(&event, 3, "brain.Event:2"); /* Event.file_version */
    tn_status status = write_record(file, &event);
    if (status == TN_OK)
        *out_file = file;
    else
        fclose(file);
    return status;
}

tn_status tn_events_epoch(FILE *file, int64_t epoch, const tn_epoch *e) {
    tn_pb_out event = {0};
    put_time(&event);
    tn_pb_put_int(&event, 2, epoch); /* Event.step */
    const tn_pb_mark summary = tn_pb_open(&event, 5);
    put_scalar(&event, "loss/training", e->loss);
    put_scalar(&event, "loss/validation", e->validation);
    put_scalar(&event, "rate", e->rate);
    tn_pb_close(&event, summary);
    return write_record(file, &event);
}
