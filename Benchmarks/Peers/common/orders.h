// What the runner and a process that it started say to each other: one word a line on standard
// input, one JSON object a line on standard output. The process ends when its input does, so it
// can't outlive the runner.
//
//   load   start the closed loop
//   mark   tell how far everything is; latencies are those since the last mark
//   stop   start no more calls; once none is under way, tell how far everything is
#ifndef PEERS_ORDERS_H
#define PEERS_ORDERS_H

#include <stdarg.h>
#include <stdint.h>
#include <uv.h>

#include "latencies.h"

struct orders {
    uv_pipe_t input;
    char line[64];
    size_t length;
    void (*on_order)(const char *word, void *context);
    void *context;
};

// Reads orders on `loop` from now on.
void orders_start(struct orders *orders, uv_loop_t *loop);

// Answers a mark: `more` are further members of the JSON object, in printf's language.
__attribute__((format(printf, 2, 3)))
void answer_mark(struct latencies *latencies, const char *more, ...);

// Says that something has come to pass.
void announce(const char *event);

// Tells the runner why this process can't go on, and ends it.
__attribute__((format(printf, 1, 2), noreturn))
void fail(const char *reason, ...);

// A decimal number from the command line, or the end.
uint64_t number_argument(const char *text, uint64_t least, uint64_t most);

#endif
