/* Files of arrays and sound, written by hand. */
#ifndef TN_MEDIA_FILES_H
#define TN_MEDIA_FILES_H

#include <stdint.h>
#include <string.h>

static inline size_t make_npy(uint8_t *to, int version, const char *header, const void *data, size_t size) {
    size_t length = strlen(header), lead = version == 1 ? 10 : 12;
    memcpy(to, "\x93NUMPY", 6);
    to[6] = (uint8_t)version;
    to[7] = 0;
    for (size_t i = 8; i < lead; i++) to[i] = (uint8_t)(length >> (8 * (i - 8)));
    memcpy(to + lead, header, length);
    memcpy(to + lead + length, data, size);
    return lead + length + size;
}

static inline size_t make_wav(uint8_t *to, unsigned format, unsigned channels, unsigned rate, unsigned bits,
                              const void *data, size_t size) {
    const uint8_t head[44] = {'R',
                              'I',
                              'F',
                              'F',
                              0,
                              0,
                              0,
                              0,
                              'W',
                              'A',
                              'V',
                              'E',
                              'f',
                              'm',
                              't',
                              ' ',
                              16,
                              0,
                              0,
                              0,
                              (uint8_t)format,
                              0,
                              (uint8_t)channels,
                              0,
                              (uint8_t)rate,
                              (uint8_t)(rate >> 8),
                              (uint8_t)(rate >> 16),
                              0,
                              0,
                              0,
                              0,
                              0,
                              (uint8_t)(channels * bits / 8),
                              0,
                              (uint8_t)bits,
                              0,
                              'd',
                              'a',
                              't',
                              'a',
                              (uint8_t)size,
                              (uint8_t)(size >> 8),
                              0,
                              0};
    memcpy(to, head, sizeof head);
    memcpy(to + sizeof head, data, size);
    return sizeof head + size;
}

#endif
