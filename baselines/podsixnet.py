"""A relay by PodSixNet, as its own examples have it: a channel for each player, and a pump every 10 ms.

python3 podsixnet.py HOST PORT; says "listening podsixnet ADDRESS" and ends when standard input closes.
"""

import os
import sys
import threading
import time

from PodSixNet.Channel import Channel
from PodSixNet.Server import Server


class Player(Channel):
    other = None

    def Network_move(self, data):
        if self.other:
            self.other.Send(data)

    def Close(self):
        self._server.leave(self)


class Relay(Server):
    channelClass = Player
    waiting = None

    def Connected(self, channel, address):
        if self.waiting is None:
            self.waiting = channel
        else:
            channel.other, self.waiting.other = self.waiting, channel
            self.waiting = None

    def leave(self, player):
        if player.other:
            player.other.other = player.other = None
        if self.waiting is player:
            self.waiting = None
        # Else the next pump would write to it, and close whoever has its descriptor by then.
        if player in self.channels:
            self.channels.remove(player)


def end_with_standard_input():
    sys.stdin.read()
    os._exit(0)


relay = Relay(localaddr=(sys.argv[1], int(sys.argv[2])))
print("listening podsixnet %s:%d" % relay.socket.getsockname())
print("ready: players may connect; ends when standard input closes", flush=True)
sys.stdout = open(os.devnull, "w")  # PodSixNet tells of each connection.
threading.Thread(target=end_with_standard_input, daemon=True).start()
while True:
    relay.Pump()
    time.sleep(0.01)
