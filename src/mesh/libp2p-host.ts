/**
 * Composes the libp2p node: TCP, noise, yamux and nothing else. No peer discovery, no relay, no
 * identify, no ping: members and addresses come from the replicated state, the greeting on each
 * connection replaces identify, and our own heartbeat notices a dead peer sooner.
 */

import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import type {
  ComponentLogger,
  ConnectionEncrypter,
  Libp2p,
  Logger as Libp2pLogger,
  MessageStream,
  StreamMuxerFactory,
} from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { createLibp2p } from 'libp2p';
import type { Uint8ArrayList } from 'uint8arraylist';
import type { Logger } from '../lib/logger.ts';
import type { Admission } from './admission.ts';
import { mergeFrames } from './frame-merger.ts';
import { type Gossip, greetingCapability } from './gossip.ts';
import type { Identity } from './identity.ts';
import type { MeshLimits } from './limits.ts';
import { prepareKeys } from './noise-ciphers.ts';

export type HostOptions = {
  readonly identity: Identity;
  readonly listen: readonly string[];
  readonly announce: readonly string[];
  readonly limits: MeshLimits;
  readonly admission: Admission;
  readonly gossip: Gossip;
  readonly log: Logger;
};

/** Yamux never lets a peer have more than this in flight per stream; must fit the read buffer. */
const STREAM_WINDOW_BYTES_MAX = 1024 * 1024;
const READ_BUFFER_BYTES_MAX = 4 * 1024 * 1024;
/** Open streams of one connection, each way. */
const STREAMS_MAX = 4096;

/** Makes and starts the libp2p node. Throws if it cannot listen. */
export function createHost(options: HostOptions): Promise<Libp2p> {
  const { limits, identity, admission } = options;
  return createLibp2p({
    privateKey: identity.privateKey,
    addresses: { listen: [...options.listen], announce: [...options.announce] },
    logger: adaptLogger(options.log),
    transports: [
      tcp({
        maxConnections: limits.connectionsMax,
        dialOpts: { noDelay: true },
        listenOpts: { noDelay: true },
      }),
    ],
    connectionEncrypters: [(components) => adaptEncrypter(noise()(components))],
    streamMuxers: [
      () =>
        adaptMuxer(
          yamux({
            enableKeepAlive: true,
            maxInboundStreams: STREAMS_MAX,
            maxOutboundStreams: STREAMS_MAX,
            maxEarlyStreams: 64,
            streamOptions: {
              maxStreamWindowSize: STREAM_WINDOW_BYTES_MAX,
              maxReadBufferLength: READ_BUFFER_BYTES_MAX,
            },
          })(),
        ),
    ],
    connectionGater: admission.gater(),
    connectionManager: {
      maxConnections: limits.connectionsMax,
      dialTimeout: limits.dialMs,
      addressDialTimeout: limits.dialAddressMs,
      inboundUpgradeTimeout: limits.handshakeMs,
      inboundStreamProtocolNegotiationTimeout: limits.handshakeMs,
      outboundStreamProtocolNegotiationTimeout: limits.handshakeMs,
      inboundConnectionThreshold: limits.connectionsPerSecond,
      maxIncomingPendingConnections: limits.handshakesMax,
      reconnectRetries: 0,
    },
    connectionMonitor: { enabled: false },
    services: {
      greeting: greetingCapability,
      gossip: (components) => options.gossip.service(components),
    },
  });
}

/**
 * Noise hands each sealed message to the socket in pieces (length, cipher text, tag), each of which would be a system call
 * and a packet.
 */
function adaptEncrypter(encrypter: ConnectionEncrypter): ConnectionEncrypter {
  prepareKeys(encrypter);
  const secureInbound = encrypter.secureInbound.bind(encrypter);
  const secureOutbound = encrypter.secureOutbound.bind(encrypter);
  encrypter.secureInbound = (connection, options) => secureInbound(flat(connection), options);
  encrypter.secureOutbound = (connection, options) => secureOutbound(flat(connection), options);
  return encrypter;
}

function flat<C extends MessageStream>(connection: C): C {
  const send = connection.send.bind(connection);
  connection.send = (data) => send(data.subarray());
  return connection;
}

/**
 * Yamux writes window updates and farewells from microtasks and event listeners, where an exception
 * because the connection just closed would end the process. A closed connection takes nothing more.
 */
function adaptMuxer(muxer: StreamMuxerFactory): StreamMuxerFactory {
  const createStreamMuxer = muxer.createStreamMuxer.bind(muxer);
  muxer.createStreamMuxer = (connection) => {
    const send = connection.send.bind(connection);
    connection.send = (data) => {
      try {
        return send(data);
      } catch {
        return false;
      }
    };
    mergeFrames(connection);
    spareExceptions(connection);
    return createStreamMuxer(connection);
  };
  return muxer;
}

/** Longest message of noise: as the length of one, it says that not all is there. */
const NOISE_MESSAGE_BYTES_MAX = 65_535;

/**
 * Noise finds the end of what was received by an exception, one for each packet, whose trace costs as much as opening the
 * packet. Asked for a length that is not there yet, it hears a length that cannot be there: it waits all the same.
 */
function spareExceptions(connection: MessageStream): void {
  const { decoder } = connection as { decoder?: { lengthDecoder?: unknown } };
  if (typeof decoder?.lengthDecoder !== 'function') return;
  decoder.lengthDecoder = (received: Uint8ArrayList<ArrayBufferLike>) =>
    received.byteLength < 2 ? NOISE_MESSAGE_BYTES_MAX : received.get(0) * 256 + received.get(1);
}

/** libp2p logs by printf formats on every frame; only its errors reach our log, at debug level. */
function adaptLogger(log: Logger): ComponentLogger {
  const forComponent = (component: string): Libp2pLogger => {
    const quiet = () => {};
    const error = (format: unknown, ...rest: unknown[]) => {
      const cause = [...rest, format].find((part) => part instanceof Error);
      log.debug({ component, cause: cause?.message }, String(format));
    };
    return Object.assign(quiet, {
      error,
      trace: quiet,
      enabled: false,
      newScope: (name: string) => forComponent(`${component}:${name}`),
    });
  };
  return { forComponent };
}
