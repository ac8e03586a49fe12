#ifndef CKRAFTUV_H
#define CKRAFTUV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#pragma clang assume_nonnull begin

// Allocation: each returns NULL and sets `status` to a libuv error when it fails. `context` lands
// in the handle's or request's `data`. A handle is freed by kraft_uv_handle_free after it was
// closed; requests and the loop have functions of their own.

uv_loop_t *_Nullable kraft_uv_loop_new(int *status);
// Closes and frees; UV_EBUSY, and nothing freed, while a handle or request is alive.
int kraft_uv_loop_free(uv_loop_t *loop);

uv_async_t *_Nullable kraft_uv_async_new(
    uv_loop_t *loop, uv_async_cb callback, void *context, int *status);
uv_timer_t *_Nullable kraft_uv_timer_new(uv_loop_t *loop, void *context, int *status);
uv_prepare_t *_Nullable kraft_uv_prepare_new(uv_loop_t *loop, void *context, int *status);
uv_check_t *_Nullable kraft_uv_check_new(uv_loop_t *loop, void *context, int *status);
uv_tcp_t *_Nullable kraft_uv_tcp_new(uv_loop_t *loop, void *context, int *status);
void kraft_uv_handle_free(uv_handle_t *handle);

uv_connect_t *_Nullable kraft_uv_connect_new(void *context);
uv_write_t *_Nullable kraft_uv_write_new(void *context);
uv_shutdown_t *_Nullable kraft_uv_shutdown_new(void *context);
uv_work_t *_Nullable kraft_uv_work_new(void *context);
uv_getaddrinfo_t *_Nullable kraft_uv_getaddrinfo_new(void *context);
void kraft_uv_request_free(void *request);

// Casts that C allows because each struct begins with the other's fields.

static inline uv_handle_t *kraft_uv_handle(void *handle) { return (uv_handle_t *)handle; }
static inline uv_stream_t *kraft_uv_stream(uv_tcp_t *tcp) { return (uv_stream_t *)tcp; }

// Addresses.

// Fills `out` from a literal IPv4 or IPv6 address.
int kraft_uv_address_parse(const char *host, uint16_t port, struct sockaddr_storage *out);
// Copies the first usable address of a resolver's answer.
int kraft_uv_address_resolved(
    const struct addrinfo *_Nullable list, uint16_t port, struct sockaddr_storage *out);
// Where a bound socket is: the host as text, and the port.
int kraft_uv_address_bound(
    uv_tcp_t *tcp, char *host, size_t host_capacity, uint16_t *port, int *is_ipv6);
static inline const struct sockaddr *kraft_uv_sockaddr(const struct sockaddr_storage *address) {
    return (const struct sockaddr *)address;
}

// A loop thread must get EPIPE as an error, not as a signal that ends the process.
// SOCK_STREAM, whose type in Swift differs between systems.
static inline int kraft_uv_stream_type(void) { return SOCK_STREAM; }

void kraft_block_sigpipe(void);

// Files. All return 0 or a negative errno.

// Makes a file's data, and what is needed to read it back, survive a power cut.
int kraft_sync_data(int file);
// As kraft_sync_data, with the rest of its metadata.
int kraft_sync_all(int file);
// Opens with O_CLOEXEC; the descriptor, or a negative errno.
int kraft_open(const char *path, int flags, int mode);
// Opens for writes that go past the page cache, in whole blocks of 4,096 bytes; with `durable` each
// survives a power cut when it returns. -EINVAL or -ENOTSUP where the system can't.
int kraft_open_direct(const char *path, int durable);
// Takes an exclusive lock on an open file that ends with the process; -EWOULDBLOCK when it is
// taken.
int kraft_lock(int file);

#pragma clang assume_nonnull end

#endif
