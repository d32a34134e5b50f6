/* Fuzzing WAV: any bytes are refused with a sentence, or make a sound, which is brought to another rate and to a spectrum. */
#include <stdlib.h>
#include <string.h>
#include <tenon/media.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void use(const tn_tensor *sound, int rate) {
    const tn_spectrum_options options = {
        .struct_size = sizeof options, .rate = 1000, .window = 16, .hop = 8, .bands = 4};
    tn_tensor *other, *bands;
    if (tn_tensor_rank(sound) != 2 || rate < 1) abort();
    int64_t frames = tn_tensor_dims(sound)[1];
    if (frames > 4096) return;
    if (tn_sound_resample(sound, rate < 1000 ? 1 : rate / 1000, 1, &other) != TN_OK) abort();
    tn_status status = tn_spectrum(other, &options, &bands);
    if ((status == TN_OK) != (tn_tensor_dims(other)[1] >= 16)) abort();
    tn_tensor_destroy(bands);
    tn_tensor_destroy(other);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    tn_tensor *sound;
    int rate;
    unsigned char *copy = malloc(size ? size : 1); /* of exactly its size */
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    if (tn_sound_parse(copy, size, "fuzz.wav", &rate, &sound) == TN_OK)
        use(sound, rate);
    else if (sound || !*tn_last_error())
        abort();
    tn_tensor_destroy(sound);
    free(copy);
    return 0;
}
