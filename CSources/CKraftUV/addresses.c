#include "CKraftUV.h"

#include <netinet/in.h>
#include <string.h>

int kraft_uv_address_parse(const char *host, uint16_t port, struct sockaddr_storage *out) {
    memset(out, 0, sizeof *out);
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)out) == 0) return 0;
    return uv_ip6_addr(host, port, (struct sockaddr_in6 *)out);
}

int kraft_uv_address_resolved(
    const struct addrinfo *list, uint16_t port, struct sockaddr_storage *out) {
    memset(out, 0, sizeof *out);
    for (; list; list = list->ai_next) {
        if (list->ai_family == AF_INET && list->ai_addrlen >= sizeof(struct sockaddr_in)) {
            memcpy(out, list->ai_addr, sizeof(struct sockaddr_in));
            ((struct sockaddr_in *)out)->sin_port = htons(port);
            return 0;
        }
        if (list->ai_family == AF_INET6 && list->ai_addrlen >= sizeof(struct sockaddr_in6)) {
            memcpy(out, list->ai_addr, sizeof(struct sockaddr_in6));
            ((struct sockaddr_in6 *)out)->sin6_port = htons(port);
            return 0;
        }
    }
    return UV_EAI_NONAME;
}

int kraft_uv_address_bound(
    uv_tcp_t *tcp, char *host, size_t host_capacity, uint16_t *port, int *is_ipv6) {
    struct sockaddr_storage address;
    int length = sizeof address;
    int status = uv_tcp_getsockname(tcp, (struct sockaddr *)&address, &length);
    if (status != 0) return status;
    *is_ipv6 = address.ss_family == AF_INET6;
    if (*is_ipv6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
        *port = ntohs(in6->sin6_port);
        return uv_ip6_name(in6, host, host_capacity);
    }
    const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
    *port = ntohs(in->sin_port);
    return uv_ip4_name(in, host, host_capacity);
}
