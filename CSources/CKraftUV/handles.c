#include "CKraftUV.h"

#include <stdlib.h>

uv_loop_t *kraft_uv_loop_new(int *status) {
    uv_loop_t *loop = malloc(sizeof *loop);
    *status = loop ? uv_loop_init(loop) : UV_ENOMEM;
    if (loop && *status != 0) {
        free(loop);
        loop = NULL;
    }
    return loop;
}

int kraft_uv_loop_free(uv_loop_t *loop) {
    int status = uv_loop_close(loop);
    if (status == 0) free(loop);
    return status;
}

// Allocates a handle, initializes it with `initialize`, and stores the context.
#define KRAFT_NEW_HANDLE(type, initialize)                 \
    type *handle = malloc(sizeof *handle);                 \
    *status = handle ? (initialize) : UV_ENOMEM;           \
    if (handle && *status != 0) {                          \
        free(handle);                                      \
        handle = NULL;                                     \
    }                                                      \
    if (handle) handle->data = context;                    \
    return handle;

uv_async_t *kraft_uv_async_new(
    uv_loop_t *loop, uv_async_cb callback, void *context, int *status) {
    KRAFT_NEW_HANDLE(uv_async_t, uv_async_init(loop, handle, callback))
}

uv_timer_t *kraft_uv_timer_new(uv_loop_t *loop, void *context, int *status) {
    KRAFT_NEW_HANDLE(uv_timer_t, uv_timer_init(loop, handle))
}

uv_prepare_t *kraft_uv_prepare_new(uv_loop_t *loop, void *context, int *status) {
    KRAFT_NEW_HANDLE(uv_prepare_t, uv_prepare_init(loop, handle))
}

uv_check_t *kraft_uv_check_new(uv_loop_t *loop, void *context, int *status) {
    KRAFT_NEW_HANDLE(uv_check_t, uv_check_init(loop, handle))
}

uv_tcp_t *kraft_uv_tcp_new(uv_loop_t *loop, void *context, int *status) {
    KRAFT_NEW_HANDLE(uv_tcp_t, uv_tcp_init(loop, handle))
}

void kraft_uv_handle_free(uv_handle_t *handle) { free(handle); }

#define KRAFT_NEW_REQUEST(type)              \
    type *request = malloc(sizeof *request); \
    if (request) request->data = context;    \
    return request;

uv_connect_t *kraft_uv_connect_new(void *context) { KRAFT_NEW_REQUEST(uv_connect_t) }
uv_write_t *kraft_uv_write_new(void *context) { KRAFT_NEW_REQUEST(uv_write_t) }
uv_shutdown_t *kraft_uv_shutdown_new(void *context) { KRAFT_NEW_REQUEST(uv_shutdown_t) }
uv_work_t *kraft_uv_work_new(void *context) { KRAFT_NEW_REQUEST(uv_work_t) }
uv_getaddrinfo_t *kraft_uv_getaddrinfo_new(void *context) { KRAFT_NEW_REQUEST(uv_getaddrinfo_t) }

void kraft_uv_request_free(void *request) { free(request); }
