#include "clients.h"

#include <stdlib.h>

#include "../common/orders.h"

static void on_applied(uint64_t sequence, void *context) {
    struct clients *clients = context;
    if (sequence != clients->acknowledged) return;
    uint64_t began = clients->began[sequence % clients->in_flight];
    latencies_record(&clients->latencies, uv_hrtime() - began);
    clients->acknowledged += 1;
}

static void on_done(struct raft_apply *request, int status, void *result) {
    (void)request;
    (void)result;
    if (status != 0) fail("a write failed: %s", raft_strerror(status));
}

void clients_init(
    struct clients *clients, struct raft *raft, struct machine *machine, unsigned in_flight,
    bool gathers) {
    *clients = (struct clients){
        .raft = raft, .machine = machine, .in_flight = in_flight, .gathers = gathers};
    clients->requests = calloc(in_flight, sizeof *clients->requests);
    clients->began = calloc(in_flight, sizeof *clients->began);
    clients->batch = calloc(in_flight, sizeof *clients->batch);
    if (!clients->requests || !clients->began || !clients->batch) fail("out of memory");
    machine->on_applied = on_applied;
    machine->context = clients;
}

void clients_propose(struct clients *clients) {
    while (clients->is_running
           && clients->proposed - clients->acknowledged < clients->in_flight) {
        struct raft_apply *request = &clients->requests[clients->proposed % clients->in_flight];
        uint64_t due = clients->in_flight - (clients->proposed - clients->acknowledged);
        unsigned count = clients->gathers ? (unsigned)due : 1;
        uint64_t now = uv_hrtime();
        for (unsigned place = 0; place < count; place++) {
            clients->batch[place] = machine_entry(clients->machine, clients->proposed);
            if (!clients->batch[place].base) fail("out of memory");
            clients->began[clients->proposed % clients->in_flight] = now;
            clients->proposed += 1;
        }
        int status = raft_apply(clients->raft, request, clients->batch, count, on_done);
        if (status != 0) fail("a write was refused: %s", raft_errmsg(clients->raft));
    }
}
