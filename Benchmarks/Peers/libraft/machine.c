#include "machine.h"

#include <string.h>

struct numbers {
    uint64_t applied, wrong, order;
};

struct raft_buffer machine_entry(const struct machine *machine, uint64_t sequence) {
    struct raft_buffer buffer = {raft_malloc(machine->payload), machine->payload};
    if (!buffer.base) return buffer;
    memset(buffer.base, ENTRY_FILLER, buffer.len);
    memcpy(buffer.base, &sequence, sizeof sequence);
    return buffer;
}

static int apply(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result) {
    struct machine *machine = fsm->data;
    const unsigned char *bytes = buffer->base;
    *result = NULL;
    uint64_t sequence = UINT64_MAX;
    if (buffer->len == machine->payload && bytes[buffer->len - 1] == ENTRY_FILLER)
        memcpy(&sequence, bytes, sizeof sequence);
    if (sequence != machine->applied) machine->wrong += 1;
    machine->applied += 1;
    machine->order = (machine->order ^ sequence) * 0x100000001B3;
    if (machine->on_applied) machine->on_applied(sequence, machine->context);
    return 0;
}

static int snapshot(struct raft_fsm *fsm, struct raft_buffer *buffers[], unsigned *count) {
    struct machine *machine = fsm->data;
    struct raft_buffer *buffer = raft_malloc(sizeof *buffer);
    struct numbers *numbers = raft_malloc(sizeof *numbers);
    if (!buffer || !numbers) {
        raft_free(buffer);
        raft_free(numbers);
        return RAFT_NOMEM;
    }
    *numbers = (struct numbers){machine->applied, machine->wrong, machine->order};
    *buffer = (struct raft_buffer){numbers, sizeof *numbers};
    *buffers = buffer;
    *count = 1;
    return 0;
}

static int restore(struct raft_fsm *fsm, struct raft_buffer *buffer) {
    struct machine *machine = fsm->data;
    struct numbers numbers;
    if (buffer->len != sizeof numbers) return RAFT_MALFORMED;
    memcpy(&numbers, buffer->base, sizeof numbers);
    machine->applied = numbers.applied;
    machine->wrong = numbers.wrong;
    machine->order = numbers.order;
    raft_free(buffer->base);
    return 0;
}

void machine_init(struct machine *machine, struct raft_fsm *fsm, size_t payload) {
    *machine = (struct machine){.order = 0xCBF29CE484222325, .payload = payload};
    *fsm = (struct raft_fsm){
        .version = 1, .data = machine, .apply = apply, .snapshot = snapshot, .restore = restore};
}
