/* A peer by ENet's own library, for transport/tests/enet.rs.
 *
 *   enet_peer PORT CHANNELS CHECKSUM LEAVE
 *
 * Connects to 127.0.0.1, sends a small and a large reliable packet on channel 0 and an unreliable one on channel 1,
 * and prints a line for all that comes: the channel, the length, and a sum of the bytes. CHECKSUM 1 switches ENet's
 * on. After three packets it disconnects with the number LEAVE, or waits to be disconnected if that is 0. */

#include <enet/enet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As MAX_CONTROL_BYTES. */
#define LARGE_BYTES 1120
/* Longer than the server takes to refuse, shorter than the test waits. */
#define PATIENCE_MS 5000

static void send_packet(ENetPeer *peer, enet_uint8 channel, const void *data, size_t bytes, enet_uint32 flags) {
    if (enet_peer_send(peer, channel, enet_packet_create(data, bytes, flags)) != 0) {
        fprintf(stderr, "cannot send on channel %d\n", channel);
        exit(2);
    }
}

static void say_all(ENetPeer *peer) {
    unsigned char large[LARGE_BYTES];
    for (size_t place = 0; place < sizeof large; place++) large[place] = (unsigned char)(place * 7);
    send_packet(peer, 0, "control from C", 14, ENET_PACKET_FLAG_RELIABLE);
    send_packet(peer, 0, large, sizeof large, ENET_PACKET_FLAG_RELIABLE);
    send_packet(peer, 1, "state from C", 12, 0);
}

int main(int count, char **arguments) {
    if (count != 5 || enet_initialize() != 0) return 2;
    ENetHost *host = enet_host_create(NULL, 1, 0, 0, 0);
    if (host == NULL) return 2;
    if (atoi(arguments[3])) host->checksum = enet_crc32;

    ENetAddress address;
    enet_address_set_host_ip(&address, "127.0.0.1");
    address.port = (enet_uint16)atoi(arguments[1]);
    ENetPeer *peer = enet_host_connect(host, &address, (size_t)atoi(arguments[2]), 0);
    if (peer == NULL) return 2;

    int left = 3;
    ENetEvent event;
    while (enet_host_service(host, &event, PATIENCE_MS) > 0) {
        switch (event.type) {
        case ENET_EVENT_TYPE_CONNECT:
            printf("connected\n");
            if (peer->channelCount > 1) say_all(peer);
            break;
        case ENET_EVENT_TYPE_RECEIVE: {
            unsigned long sum = 0;
            for (size_t place = 0; place < event.packet->dataLength; place++) sum += event.packet->data[place];
            printf("channel %d: %zu bytes, sum %lu\n", event.channelID, event.packet->dataLength, sum);
            enet_packet_destroy(event.packet);
            if (--left == 0 && atoi(arguments[4])) enet_peer_disconnect(peer, (enet_uint32)atoi(arguments[4]));
            break;
        }
        case ENET_EVENT_TYPE_DISCONNECT:
            printf("disconnected: %u\n", event.data);
            return 0;
        default:
            break;
        }
    }
    printf("no answer\n");
    return 1;
}
