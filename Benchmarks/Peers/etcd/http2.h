// As much of HTTP/2 (RFC 9113), HPACK (RFC 7541), gRPC and etcd's messages as calls of
// etcdserverpb.KV/Put need. Answers' headers aren't decoded: a call that went well, and only that,
// is answered with a message.
#ifndef PEERS_ETCD_HTTP2_H
#define PEERS_ETCD_HTTP2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HTTP2_DATA = 0,
    HTTP2_HEADERS = 1,
    HTTP2_RST_STREAM = 3,
    HTTP2_SETTINGS = 4,
    HTTP2_PING = 6,
    HTTP2_GOAWAY = 7,
    HTTP2_WINDOW_UPDATE = 8
};
enum { HTTP2_ACK = 1, HTTP2_END_STREAM = 1, HTTP2_END_HEADERS = 4 };
enum { HTTP2_FIRST_WINDOW = 65535, HTTP2_LARGEST_FRAME = 16384 };

struct frame {
    uint32_t length;
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
    const uint8_t *payload;
};

// Bytes to be sent; grows as needed.
struct bytes {
    uint8_t *base;
    size_t count;
    size_t capacity;
};

// The frame at the beginning of `input`. Returns how many bytes it takes, or 0 when some of them
// are still missing.
size_t http2_frame(const uint8_t *input, size_t count, struct frame *frame);

// A client's first words on a connection.
void http2_hello(struct bytes *output);

void http2_acknowledge(struct bytes *output, const struct frame *frame);

// A whole call. The first one on a connection (`is_first`) spells out the headers, later ones point
// to them. Returns how many bytes it takes from the connection's window.
size_t grpc_put(
    struct bytes *output, uint32_t stream, bool is_first, const char *key, const void *value,
    size_t value_size);

// Whether a DATA frame holds an uncompressed message, whole.
bool grpc_is_message(const struct frame *frame);

uint32_t http2_number(const uint8_t *bytes);

#endif
