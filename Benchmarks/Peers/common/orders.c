#include "orders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    static char bytes[256];
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(bytes, sizeof bytes);
}

static void take(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer) {
    struct orders *orders = stream->data;
    if (count < 0) exit(0);
    for (ssize_t place = 0; place < count; place++) {
        if (buffer->base[place] == '\n') {
            orders->line[orders->length] = 0;
            orders->length = 0;
            orders->on_order(orders->line, orders->context);
        } else if (orders->length + 1 < sizeof orders->line) {
            orders->line[orders->length++] = buffer->base[place];
        } else {
            fail("an order is too long");
        }
    }
}

void orders_start(struct orders *orders, uv_loop_t *loop) {
    orders->input.data = orders;
    if (uv_pipe_init(loop, &orders->input, 0) != 0 || uv_pipe_open(&orders->input, 0) != 0
        || uv_read_start((uv_stream_t *)&orders->input, allocate, take) != 0)
        fail("standard input is no pipe");
}

static uint64_t microseconds(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

void answer_mark(struct latencies *latencies, const char *more, ...) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf(
        "{\"clock_ns\": %llu, \"cpu_us\": %llu, \"measured\": %llu, \"p50_us\": %.3f, "
        "\"p99_us\": %.3f, ",
        (unsigned long long)uv_hrtime(),
        (unsigned long long)(microseconds(usage.ru_utime) + microseconds(usage.ru_stime)),
        (unsigned long long)latencies->count, latencies_percentile(latencies, 0.5),
        latencies_percentile(latencies, 0.99));
    va_list arguments;
    va_start(arguments, more);
    vprintf(more, arguments);
    va_end(arguments);
    printf("}\n");
    fflush(stdout);
    memset(latencies, 0, sizeof *latencies);
}

void announce(const char *event) {
    printf("{\"event\": \"%s\"}\n", event);
    fflush(stdout);
}

void fail(const char *reason, ...) {
    printf("{\"error\": \"");
    va_list arguments;
    va_start(arguments, reason);
    vprintf(reason, arguments);
    va_end(arguments);
    printf("\"}\n");
    fflush(stdout);
    exit(1);
}

uint64_t number_argument(const char *text, uint64_t least, uint64_t most) {
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != 0 || number < least || number > most)
        fail("%s is no number from %llu to %llu", text, (unsigned long long)least,
            (unsigned long long)most);
    return number;
}
