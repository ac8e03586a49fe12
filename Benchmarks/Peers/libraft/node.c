// One node of a group over libraft, as it comes in Debian, with raft_uv for disk and network.
//
//   libraft-node ID ADDRESS,ADDRESS,… FOLDER IN-FLIGHT PAYLOAD one|turn SNAPSHOT-THRESHOLD
//
// Node 1 becomes the leader, and holds the clients. common/orders.h tells what is said to it.
#include <raft.h>
#include <raft/uv.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../common/orders.h"
#include "clients.h"
#include "machine.h"

enum {
    FIRST_ELECTION_MILLISECONDS = 200,
    LATER_ELECTION_MILLISECONDS = 4000,
    RETRY_MILLISECONDS = 20
};

struct node {
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_check_t check;
    struct raft_uv_transport transport;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft raft;
    struct machine machine;
    struct clients clients;
    struct orders orders;
    bool is_leading;
    bool is_stopping;
};

static void must(int status, const char *what, const char *reason) {
    if (status != 0) fail("%s: %s", what, reason ? reason : raft_strerror(status));
}

static void answer(struct node *node) {
    const struct machine *machine = &node->machine;
    answer_mark(
        &node->clients.latencies,
        "\"acknowledged\": %llu, \"applied\": %llu, \"wrong\": %llu, \"order\": \"%016llx\"",
        (unsigned long long)node->clients.acknowledged, (unsigned long long)machine->applied,
        (unsigned long long)machine->wrong, (unsigned long long)machine->order);
}

static void turn(struct node *node) {
    bool is_leading = raft_state(&node->raft) == RAFT_LEADER;
    if (is_leading && !node->is_leading) {
        // A leader steps down when it hasn't heard of the others for that long.
        raft_set_election_timeout(&node->raft, LATER_ELECTION_MILLISECONDS);
        announce("leading");
    }
    if (node->is_leading && !is_leading) fail("lost its leadership");
    node->is_leading = is_leading;
    clients_propose(&node->clients);
    if (node->is_stopping && node->clients.proposed == node->clients.acknowledged) {
        node->is_stopping = false;
        answer(node);
    }
}

static void on_prepare(uv_prepare_t *handle) { turn(handle->data); }
static void on_check(uv_check_t *handle) { turn(handle->data); }

static void on_order(const char *word, void *context) {
    struct node *node = context;
    if (strcmp(word, "load") == 0) {
        node->clients.is_running = true;
    } else if (strcmp(word, "mark") == 0) {
        answer(node);
    } else if (strcmp(word, "stop") == 0) {
        node->clients.is_running = false;
        node->is_stopping = true;
    } else {
        fail("unknown order %s", word);
    }
}

// The configuration of all nodes, and this one's own address in `own`.
static void read_addresses(
    struct raft_configuration *configuration, char *addresses, uint64_t id, const char **own) {
    uint64_t count = 0;
    for (char *address = strtok(addresses, ","); address; address = strtok(NULL, ",")) {
        count += 1;
        must(raft_configuration_add(configuration, count, address, RAFT_VOTER), address, NULL);
        if (count == id) *own = address;
    }
    if (!*own) fail("no address for node %llu", (unsigned long long)id);
}

static void start_raft(struct node *node, uint64_t id, char *addresses, const char *folder) {
    must(raft_uv_tcp_init(&node->transport, &node->loop), "raft_uv_tcp_init", NULL);
    must(
        raft_uv_init(&node->io, &node->loop, folder, &node->transport), "raft_uv_init",
        node->io.errmsg);
    raft_uv_set_connect_retry_delay(&node->io, RETRY_MILLISECONDS);

    struct raft_configuration configuration;
    const char *own = NULL;
    raft_configuration_init(&configuration);
    read_addresses(&configuration, addresses, id, &own);
    must(raft_init(&node->raft, &node->io, &node->fsm, id, own), "raft_init", node->raft.errmsg);
    must(raft_bootstrap(&node->raft, &configuration), "raft_bootstrap", node->raft.errmsg);
    raft_configuration_close(&configuration);

    // Node 1 asks for votes long before the others would.
    raft_set_election_timeout(
        &node->raft, id == 1 ? FIRST_ELECTION_MILLISECONDS : LATER_ELECTION_MILLISECONDS);
    raft_set_pre_vote(&node->raft, true);
    must(raft_start(&node->raft), "raft_start", node->raft.errmsg);
}

int main(int count, char **arguments) {
    static struct node node;
    if (count != 8) fail("seven arguments, please: see the head of node.c");
    signal(SIGPIPE, SIG_IGN);
    uint64_t id = number_argument(arguments[1], 1, 9);
    unsigned in_flight = (unsigned)number_argument(arguments[4], 1, 65536);
    size_t payload = number_argument(arguments[5], ENTRY_LEAST_SIZE, 65536);
    bool gathers = strcmp(arguments[6], "turn") == 0;
    unsigned threshold = (unsigned)number_argument(arguments[7], 1, UINT32_MAX);

    must(uv_loop_init(&node.loop), "uv_loop_init", "failed");
    machine_init(&node.machine, &node.fsm, payload);
    start_raft(&node, id, arguments[2], arguments[3]);
    raft_set_snapshot_threshold(&node.raft, threshold);
    clients_init(&node.clients, &node.raft, &node.machine, in_flight, gathers);

    node.orders.on_order = on_order;
    node.orders.context = &node;
    orders_start(&node.orders, &node.loop);
    // Right before and right after the loop waits: whatever completed, more is proposed at once.
    node.prepare.data = node.check.data = &node;
    uv_prepare_init(&node.loop, &node.prepare);
    uv_prepare_start(&node.prepare, on_prepare);
    uv_check_init(&node.loop, &node.check);
    uv_check_start(&node.check, on_check);
    return uv_run(&node.loop, UV_RUN_DEFAULT);
}
