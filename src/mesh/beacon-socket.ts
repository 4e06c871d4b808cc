/** Datagrams to everybody on one link, by multicast. */

import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import type { OpenBeacon } from './local-discovery.ts';

export type BeaconOptions = {
  /** The address of the interface to call on and to listen on; one that is not this machine's means the default route's. */
  readonly interfaceAddress: string;
  /** Default 7946. */
  readonly port?: number;
};

/** Of those that no protocol of its own uses and no router passes on (administratively scoped). */
const GROUP = '239.255.79.46';
const PORT = 7946;

/** The beacon of one interface. Several processes of a machine may share the port. */
export function multicastBeacon({ interfaceAddress, port = PORT }: BeaconOptions): OpenBeacon {
  const all = Object.values(networkInterfaces()).flat();
  const own = all.some((entry) => entry?.address === interfaceAddress);
  return (onPacket) =>
    new Promise((resolve, reject) => {
      const socket = createSocket({ type: 'udp4', reuseAddr: true });
      socket.once('error', reject);
      socket.on('message', onPacket);
      socket.bind({ address: GROUP, port }, () => {
        try {
          socket.addMembership(GROUP, own ? interfaceAddress : undefined);
          if (own) socket.setMulticastInterface(interfaceAddress);
          socket.setMulticastTTL(1);
        } catch (error) {
          socket.close();
          reject(error);
          return;
        }
        socket.off('error', reject);
        // A link that is down at this moment loses calls; the next one may pass.
        socket.on('error', () => {});
        socket.unref();
        resolve({
          send: (packet) => socket.send(packet, port, GROUP, () => {}),
          close: () => socket.close(),
        });
      });
    });
}
