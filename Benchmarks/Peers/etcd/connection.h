// One connection to etcd, with several puts under way on it.
#ifndef PEERS_ETCD_CONNECTION_H
#define PEERS_ETCD_CONNECTION_H

#include <stdbool.h>
#include <uv.h>

#include "http2.h"

struct call {
    // 0: this place is free.
    uint32_t stream;
    bool is_answered;
    uint64_t began;
};

struct connection {
    uv_tcp_t socket;
    uv_connect_t connecting;
    uv_write_t writing;
    bool is_connected;
    bool is_writing;
    // Under way to the kernel, and gathered meanwhile.
    struct bytes sending, output;
    uint8_t input[2 * HTTP2_LARGEST_FRAME];
    size_t input_count;
    int64_t window;
    uint32_t next_stream;
    struct call *calls;
    unsigned capacity;
    void (*on_done)(uint64_t began, void *context);
    void *context;
};

// Connects, for up to `capacity` calls at a time.
void connection_start(
    struct connection *connection, uv_loop_t *loop, const struct sockaddr *address,
    unsigned capacity, void (*on_done)(uint64_t began, void *context), void *context);

// Starts a put, to be sent by `connection_flush`. Says false when there is no place for it now.
bool connection_put(
    struct connection *connection, const char *key, const void *value, size_t value_size);

void connection_flush(struct connection *connection);

#endif
