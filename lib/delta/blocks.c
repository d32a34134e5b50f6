/* Steps to blocks: see blocks.h. A block ends once it has coded so much that a reader's memory stays small. */
#include "delta/blocks.h"

tn_status tn_blocks_begin(tn_blocks *b, tn_string base, tn_string result, tn_output *output) {
    *b = (tn_blocks){.base = base, .result = result, .output = output};
    b->models = tn_models_create();
    b->room = b->models ? tn_alloc(NULL, TN_DELTA_STORED) : NULL;
    if (b->room) return TN_OK;
    tn_models_destroy(b->models);
    return TN_E_MEMORY;
}

static tn_status end_block(tn_blocks *b) {
    uint8_t digest[TN_SHA256_BYTES], head[TN_DELTA_BLOCK_HEADER];
    if (b->result_at == b->block_at) return TN_OK;
    tn_coder_finish(&b->coder);
    if (b->coder.full)
        return tn_fail(TN_E_INTERNAL, "the steps to %llu bytes of the result need more than %u bytes",
                       (unsigned long long)(b->result_at - b->block_at), TN_DELTA_STORED);
    tn_delta_block block = {.stored = (uint32_t)b->coder.used, .length = (uint32_t)(b->result_at - b->block_at)};
    tn_sha256_of(b->result.data + b->block_at, block.length, digest);
    memcpy(block.result_check, digest, sizeof block.result_check);
    tn_delta_block_write(&block, b->room, head);
    tn_output_write(b->output, head, sizeof head);
    tn_output_write(b->output, b->room, block.stored);
    b->block_at = b->result_at;
    b->coded = 0;
    b->count++;
    return b->output->status;
}

/* As much of a step as the block takes; moves the step on. */
static tn_status write_some(tn_blocks *b, tn_step *step) {
    uint64_t made = b->result_at - b->block_at, width = (uint64_t)tn_element_width(step->element);
    uint64_t room = step->kind == TN_STEP_COPY
                        ? TN_DELTA_LENGTH - made
                        : TN_MIN(TN_DELTA_LENGTH - made, TN_DELTA_CODED - b->coded) / width * width;
    if (room == 0) return end_block(b);
    if (made == 0) {
        tn_coder_encode_to(&b->coder, b->room, TN_DELTA_STORED);
        tn_models_reset(b->models, b->block_at);
    }
    tn_step part = *step;
    part.length = TN_MIN(step->length, room);
    if (!tn_models_step(b->models, &b->coder, &part)) return tn_fail(TN_E_INTERNAL, "a step that cannot be");
    /* An encoder only reads there. */
    uint8_t *result = (uint8_t *)(uintptr_t)b->result.data + b->result_at;
    const uint8_t *base = (const uint8_t *)b->base.data + step->base;
    if (step->kind == TN_STEP_CHANGE)
        tn_models_change(b->models, &b->coder, step->element, base, result, (size_t)(part.length / width));
    if (step->kind == TN_STEP_NEW)
        tn_models_new(b->models, &b->coder, step->element, result, (size_t)(part.length / width));
    if (step->kind != TN_STEP_COPY) b->coded += part.length;
    b->result_at += part.length;
    step->base += part.length;
    step->length -= part.length;
    return TN_OK;
}

static tn_status flush(tn_blocks *b) {
    while (b->waiting.length) TN_TRY(write_some(b, &b->waiting));
    return TN_OK;
}

uint64_t tn_blocks_expected(const tn_blocks *b) {
    return b->waiting.base + b->waiting.length;
}

tn_status tn_blocks_add(tn_blocks *b, tn_step step) {
    tn_step *w = &b->waiting;
    if (!step.length) return TN_OK;
    if (step.kind == TN_STEP_NEW) step.base = tn_blocks_expected(b);
    bool goes_on = w->length && w->kind == step.kind && w->element == step.element &&
                   (step.kind == TN_STEP_NEW || w->base + w->length == step.base);
    if (goes_on) {
        w->length += step.length;
        return TN_OK;
    }
    TN_TRY(flush(b));
    *w = step;
    return TN_OK;
}

tn_status tn_blocks_end(tn_blocks *b, tn_status status) {
    if (status == TN_OK) status = flush(b);
    if (status == TN_OK) status = end_block(b);
    tn_models_destroy(b->models);
    tn_free(NULL, b->room, TN_DELTA_STORED);
    return status;
}
