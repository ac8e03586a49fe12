// A closed loop of puts into etcd, over gRPC.
//
//   etcd-load PORT IN-FLIGHT CONNECTIONS PAYLOAD KEYS
//
// To the member that listens on 127.0.0.1:PORT, KEYS keys in turn. common/orders.h tells what is
// said to it.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/orders.h"
#include "connection.h"

struct load {
    uv_loop_t loop;
    uv_check_t check;
    uv_prepare_t prepare;
    struct orders orders;
    struct connection *connections;
    unsigned connection_count;
    unsigned in_flight;
    uint64_t keys;
    size_t payload;
    uint8_t *value;
    uint64_t started;
    uint64_t acknowledged;
    bool is_running;
    bool is_stopping;
    struct latencies latencies;
};

static void answer(struct load *load) {
    answer_mark(
        &load->latencies, "\"acknowledged\": %llu", (unsigned long long)load->acknowledged);
}

static void on_done(uint64_t began, void *context) {
    struct load *load = context;
    latencies_record(&load->latencies, uv_hrtime() - began);
    load->acknowledged += 1;
}

static bool start_put(struct load *load, struct connection *connection) {
    char key[32];
    snprintf(key, sizeof key, "key-%06llu", (unsigned long long)(load->started % load->keys));
    memcpy(load->value, &load->started, sizeof load->started);
    if (!connection_put(connection, key, load->value, load->payload)) return false;
    load->started += 1;
    return true;
}

static void turn(struct load *load) {
    for (unsigned number = 0; number < load->connection_count; number++) {
        struct connection *connection = &load->connections[number];
        while (load->is_running && load->started - load->acknowledged < load->in_flight
               && start_put(load, connection)) {
        }
        connection_flush(connection);
    }
    if (load->is_stopping && load->started == load->acknowledged) {
        load->is_stopping = false;
        answer(load);
    }
}

static void on_check(uv_check_t *handle) { turn(handle->data); }
static void on_prepare(uv_prepare_t *handle) { turn(handle->data); }

static void on_order(const char *word, void *context) {
    struct load *load = context;
    if (strcmp(word, "load") == 0) {
        load->is_running = true;
    } else if (strcmp(word, "mark") == 0) {
        answer(load);
    } else if (strcmp(word, "stop") == 0) {
        load->is_running = false;
        load->is_stopping = true;
    } else {
        fail("unknown order %s", word);
    }
}

static void connect_all(struct load *load, int port) {
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", port, &address);
    load->connections = calloc(load->connection_count, sizeof *load->connections);
    if (!load->connections) fail("out of memory");
    unsigned count = load->connection_count;
    for (unsigned number = 0; number < count; number++) {
        unsigned capacity = (load->in_flight + count - 1 - number) / count;
        connection_start(
            &load->connections[number], &load->loop, (const struct sockaddr *)&address, capacity,
            on_done, load);
    }
}

int main(int count, char **arguments) {
    static struct load load;
    if (count != 6) fail("five arguments, please: see the head of load.c");
    signal(SIGPIPE, SIG_IGN);
    int port = (int)number_argument(arguments[1], 1, 65535);
    load.in_flight = (unsigned)number_argument(arguments[2], 1, 65536);
    load.connection_count = (unsigned)number_argument(arguments[3], 1, load.in_flight);
    load.payload = number_argument(arguments[4], sizeof load.started, 8192);
    load.keys = number_argument(arguments[5], 1, 1000000);
    load.value = calloc(1, load.payload);
    if (!load.value || uv_loop_init(&load.loop) != 0) fail("out of memory");
    memset(load.value, 'v', load.payload);

    connect_all(&load, port);
    load.orders.on_order = on_order;
    load.orders.context = &load;
    orders_start(&load.orders, &load.loop);
    load.check.data = load.prepare.data = &load;
    uv_prepare_init(&load.loop, &load.prepare);
    uv_prepare_start(&load.prepare, on_prepare);
    uv_check_init(&load.loop, &load.check);
    uv_check_start(&load.check, on_check);
    announce("ready");
    return uv_run(&load.loop, UV_RUN_DEFAULT);
}
