#include "http2.h"

#include <stdlib.h>
#include <string.h>

#include "../common/orders.h"

enum { FRAME_HEADER_SIZE = 9, MESSAGE_HEADER_SIZE = 5 };

static void append(struct bytes *output, const void *base, size_t count) {
    if (output->capacity - output->count < count) {
        output->capacity = 2 * (output->count + count);
        output->base = realloc(output->base, output->capacity);
        if (!output->base) fail("out of memory");
    }
    memcpy(output->base + output->count, base, count);
    output->count += count;
}

static void append_byte(struct bytes *output, size_t byte) {
    uint8_t value = (uint8_t)byte;
    append(output, &value, 1);
}

static void append_number(struct bytes *output, size_t number) {
    uint8_t bytes[] = {
        (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    append(output, bytes, sizeof bytes);
}

static void append_frame_header(
    struct bytes *output, size_t length, uint8_t type, uint8_t flags, uint32_t stream) {
    uint8_t bytes[] = {
        (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, type, flags};
    append(output, bytes, sizeof bytes);
    append_number(output, stream);
}

uint32_t http2_number(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

size_t http2_frame(const uint8_t *input, size_t count, struct frame *frame) {
    if (count < FRAME_HEADER_SIZE) return 0;
    frame->length = http2_number(input) >> 8;
    frame->type = input[3];
    frame->flags = input[4];
    frame->stream = http2_number(input + 5) & 0x7FFFFFFF;
    frame->payload = input + FRAME_HEADER_SIZE;
    if (frame->length > HTTP2_LARGEST_FRAME) fail("etcd sent a frame that is too large");
    return count - FRAME_HEADER_SIZE < frame->length ? 0 : FRAME_HEADER_SIZE + frame->length;
}

void http2_hello(struct bytes *output) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    append(output, preface, sizeof preface - 1);
    append_frame_header(output, 0, HTTP2_SETTINGS, 0, 0);
    // As large as a window can be: no benchmark is long enough to need another update.
    append_frame_header(output, 4, HTTP2_WINDOW_UPDATE, 0, 0);
    append_number(output, 0x7FFFFFFF - HTTP2_FIRST_WINDOW);
}

void http2_acknowledge(struct bytes *output, const struct frame *frame) {
    uint32_t length = frame->type == HTTP2_PING ? frame->length : 0;
    append_frame_header(output, length, frame->type, HTTP2_ACK, 0);
    append(output, frame->payload, length);
}

static void append_text(struct bytes *output, const char *text) {
    append_byte(output, strlen(text));
    append(output, text, strlen(text));
}

// HPACK. Each header that is added to the dynamic table pushes the ones before it one further, so
// the four of the first call are at 65 to 62 afterwards.
static void append_headers(struct bytes *output, bool is_first) {
    append_byte(output, 0x83);  // :method POST
    append_byte(output, 0x86);  // :scheme http
    if (!is_first) {
        for (size_t place = 65; place >= 62; place--) append_byte(output, 0x80 | place);
        return;
    }
    append_byte(output, 0x44);  // :path
    append_text(output, "/etcdserverpb.KV/Put");
    append_byte(output, 0x41);  // :authority
    append_text(output, "127.0.0.1");
    append_byte(output, 0x5F);  // content-type
    append_text(output, "application/grpc");
    append_byte(output, 0x40);
    append_text(output, "te");
    append_text(output, "trailers");
}

static size_t length_of_varint(size_t number) {
    size_t length = 1;
    while (number >>= 7) length++;
    return length;
}

static void append_varint(struct bytes *output, size_t number) {
    while (number > 0x7F) {
        append_byte(output, 0x80 | (number & 0x7F));
        number >>= 7;
    }
    append_byte(output, number);
}

static void append_field(struct bytes *output, size_t number, const void *base, size_t count) {
    append_byte(output, number << 3 | 2);
    append_varint(output, count);
    append(output, base, count);
}

size_t grpc_put(
    struct bytes *output, uint32_t stream, bool is_first, const char *key, const void *value,
    size_t value_size) {
    size_t start = output->count;
    append_frame_header(output, 0, HTTP2_HEADERS, HTTP2_END_HEADERS, stream);
    append_headers(output, is_first);
    output->base[start + 2] = (uint8_t)(output->count - start - FRAME_HEADER_SIZE);

    size_t key_size = strlen(key);
    size_t message = 2 + length_of_varint(key_size) + key_size + length_of_varint(value_size)
        + value_size;
    append_frame_header(
        output, MESSAGE_HEADER_SIZE + message, HTTP2_DATA, HTTP2_END_STREAM, stream);
    append_byte(output, 0);
    append_number(output, message);
    append_field(output, 1, key, key_size);
    append_field(output, 2, value, value_size);
    return MESSAGE_HEADER_SIZE + message;
}

bool grpc_is_message(const struct frame *frame) {
    return frame->length >= MESSAGE_HEADER_SIZE && frame->payload[0] == 0
        && http2_number(frame->payload + 1) == frame->length - MESSAGE_HEADER_SIZE;
}
