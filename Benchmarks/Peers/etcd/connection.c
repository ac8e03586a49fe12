#include "connection.h"

#include <stdlib.h>
#include <string.h>

#include "../common/orders.h"

static struct call *find_call(struct connection *connection, uint32_t stream) {
    for (unsigned place = 0; place < connection->capacity; place++)
        if (connection->calls[place].stream == stream) return &connection->calls[place];
    return NULL;
}

static void end_call(struct connection *connection, struct call *call) {
    if (!call->is_answered) fail("etcd refused a put");
    uint64_t began = call->began;
    *call = (struct call){0};
    connection->on_done(began, connection->context);
}

static void take_frame(struct connection *connection, const struct frame *frame) {
    struct call *call = frame->stream ? find_call(connection, frame->stream) : NULL;
    switch (frame->type) {
    case HTTP2_DATA:
        if (call && grpc_is_message(frame)) call->is_answered = true;
        break;
    case HTTP2_SETTINGS:
    case HTTP2_PING:
        if (!(frame->flags & HTTP2_ACK)) http2_acknowledge(&connection->output, frame);
        return;
    case HTTP2_WINDOW_UPDATE:
        if (frame->stream == 0 && frame->length == 4)
            connection->window += http2_number(frame->payload) & 0x7FFFFFFF;
        return;
    case HTTP2_RST_STREAM:
        fail("etcd reset a call");
    case HTTP2_GOAWAY:
        fail("etcd said good-bye");
    default:
        break;
    }
    bool can_end = frame->type == HTTP2_DATA || frame->type == HTTP2_HEADERS;
    if (call && can_end && frame->flags & HTTP2_END_STREAM) end_call(connection, call);
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    struct connection *connection = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(
        (char *)connection->input + connection->input_count,
        (unsigned)(sizeof connection->input - connection->input_count));
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct connection *connection = stream->data;
    (void)buffer;
    if (count < 0) fail("the connection to etcd broke: %s", uv_strerror((int)count));
    connection->input_count += (size_t)count;
    struct frame frame;
    size_t taken = 0;
    size_t size;
    while ((size = http2_frame(
                connection->input + taken, connection->input_count - taken, &frame)) > 0) {
        take_frame(connection, &frame);
        taken += size;
    }
    connection->input_count -= taken;
    memmove(connection->input, connection->input + taken, connection->input_count);
}

static void on_connected(uv_connect_t *request, int status) {
    struct connection *connection = request->data;
    if (status != 0) fail("no connection to etcd: %s", uv_strerror(status));
    connection->is_connected = true;
    uv_tcp_nodelay(&connection->socket, 1);
    if (uv_read_start((uv_stream_t *)&connection->socket, allocate, on_read) != 0)
        fail("can't read from etcd");
}

void connection_start(
    struct connection *connection, uv_loop_t *loop, const struct sockaddr *address,
    unsigned capacity, void (*on_done)(uint64_t began, void *context), void *context) {
    connection->window = HTTP2_FIRST_WINDOW;
    connection->next_stream = 1;
    connection->capacity = capacity;
    connection->calls = calloc(capacity, sizeof *connection->calls);
    if (!connection->calls) fail("out of memory");
    connection->on_done = on_done;
    connection->context = context;
    connection->socket.data = connection->connecting.data = connection->writing.data = connection;
    http2_hello(&connection->output);
    if (uv_tcp_init(loop, &connection->socket) != 0
        || uv_tcp_connect(&connection->connecting, &connection->socket, address, on_connected) != 0)
        fail("can't connect to etcd");
}

bool connection_put(
    struct connection *connection, const char *key, const void *value, size_t value_size) {
    struct call *call = find_call(connection, 0);
    // A key has 32 bytes at most, and what is around it and the value no more.
    if (!call || connection->window < (int64_t)value_size + 64) return false;
    *call = (struct call){.stream = connection->next_stream, .began = uv_hrtime()};
    bool is_first = connection->next_stream == 1;
    connection->window -= (int64_t)grpc_put(
        &connection->output, connection->next_stream, is_first, key, value, value_size);
    connection->next_stream += 2;
    return true;
}

static void on_written(uv_write_t *request, int status) {
    struct connection *connection = request->data;
    if (status != 0) fail("can't write to etcd: %s", uv_strerror(status));
    connection->is_writing = false;
    connection_flush(connection);
}

void connection_flush(struct connection *connection) {
    if (!connection->is_connected || connection->is_writing || connection->output.count == 0)
        return;
    struct bytes empty = connection->sending;
    connection->sending = connection->output;
    connection->output = empty;
    connection->output.count = 0;
    connection->is_writing = true;
    uv_buf_t buffer =
        uv_buf_init((char *)connection->sending.base, (unsigned)connection->sending.count);
    uv_stream_t *stream = (uv_stream_t *)&connection->socket;
    if (uv_write(&connection->writing, stream, &buffer, 1, on_written) != 0)
        fail("can't write to etcd");
}
