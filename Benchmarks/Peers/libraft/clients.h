// A closed loop of calls, on the loop of the node that leads.
#ifndef PEERS_LIBRAFT_CLIENTS_H
#define PEERS_LIBRAFT_CLIENTS_H

#include <raft.h>
#include <stdbool.h>
#include <uv.h>

#include "../common/latencies.h"
#include "machine.h"

struct clients {
    struct raft *raft;
    struct machine *machine;
    unsigned in_flight;
    // Hand libraft all calls of a turn of the loop at once, instead of one by one.
    bool gathers;
    bool is_running;
    uint64_t proposed;
    uint64_t acknowledged;
    // By sequence number modulo `in_flight`: entries are applied in the order of their proposal, so
    // a place is free again before its next turn.
    struct raft_apply *requests;
    uint64_t *began;
    struct raft_buffer *batch;
    struct latencies latencies;
};

void clients_init(
    struct clients *clients, struct raft *raft, struct machine *machine, unsigned in_flight,
    bool gathers);

// Proposes as many entries as are due. To be called once or twice a turn of the loop, and never
// from within libraft.
void clients_propose(struct clients *clients);

#endif
