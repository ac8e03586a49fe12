// The replicated state machine: it costs next to nothing, and gives away an entry that was lost,
// applied twice, damaged or applied out of order.
#ifndef PEERS_LIBRAFT_MACHINE_H
#define PEERS_LIBRAFT_MACHINE_H

#include <raft.h>
#include <stdint.h>

enum { ENTRY_FILLER = 0x5A, ENTRY_LEAST_SIZE = 16 };

struct machine {
    uint64_t applied;
    // Entries that were not the next in order, or not as they were proposed.
    uint64_t wrong;
    uint64_t order;
    size_t payload;
    // Called for each entry; may be null.
    void (*on_applied)(uint64_t sequence, void *context);
    void *context;
};

// Makes `fsm` drive `machine`, whose entries have `payload` bytes each.
void machine_init(struct machine *machine, struct raft_fsm *fsm, size_t payload);

// The bytes of entry `sequence`, owned by libraft as soon as it has taken them.
struct raft_buffer machine_entry(const struct machine *machine, uint64_t sequence);

#endif
