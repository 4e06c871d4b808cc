/**
 * Every bound of the mesh in one place, with the failure it prevents. Tests narrow some of them;
 * production uses these.
 */

export type MeshLimits = {
  /** Largest frame of a stream, unless its protocol says otherwise. Default 4 MiB. */
  readonly frameBytesMax: number;
  /** Largest request or response body, framed. Default 16 MiB. */
  readonly rpcFrameBytesMax: number;
  /** Unsent bytes at which `send` makes its caller wait. Default 256 KiB. */
  readonly sendHighWaterBytes: number;
  /** Unsent bytes at which a stream whose sender never waits is cut. Default 64 MiB. */
  readonly sendBytesMax: number;
  /** Unread bytes at which the reading side stops granting window. Default 1 MiB. */
  readonly readHighWaterBytes: number;
  /** Streams of one protocol on one connection, each way. Default 2048. */
  readonly streamsPerProtocolMax: number;
  /** Requests to one peer that wait for an answer. Default 8192. */
  readonly requestsOutstandingMax: number;
  /** Requests of one peer being served at once. Default 8192. */
  readonly requestsServedMax: number;
  /** Connections of strangers (only while joining is enabled). Default 16. */
  readonly strangersMax: number;
  /** How long a stranger may stay. Default 20 s. */
  readonly strangerStayMs: number;
  /** Largest frame a stranger may send. Default 64 KiB. */
  readonly strangerFrameBytesMax: number;
  /** Connections in handshake at once; more are refused at the door. Default 64. */
  readonly handshakesMax: number;
  /** An inbound handshake that takes longer is cut. Default 3 s. */
  readonly handshakeMs: number;
  /** TCP connections in all. Default 4096. */
  readonly connectionsMax: number;
  /** New connections per second and source address. Default 100. */
  readonly connectionsPerSecond: number;
  /** Between two heartbeats on every connection. Default 500 ms. */
  readonly heartbeatMs: number;
  /** A peer not heard for this long, counted in heartbeats, is dead. Default 1500 ms. */
  readonly silenceMs: number;
  /** A new connection must exchange greetings within this. Default 3 s. */
  readonly greetingMs: number;
  /** How long the process at the other end of an older connection has to show that it lives. Default 500 ms. */
  readonly contestMs: number;
  /** One dial to all addresses of a peer. Default 5 s, and 2 s for each address. */
  readonly dialMs: number;
  readonly dialAddressMs: number;
  /** Wait before a dial is repeated, growing from initial to max. Default 100 ms to 3 s. */
  readonly redialInitialMs: number;
  readonly redialMaxMs: number;
  /** How long the peer with the higher id leaves the first dial to the other. Default 250 ms. */
  readonly dialDeferMs: number;
  /** How long a surplus connection may finish what it carries. Default 5 s. */
  readonly surplusStayMs: number;
  /** Largest gossip message. Default 64 KiB. */
  readonly gossipBytesMax: number;
};

export const MESH_LIMITS: MeshLimits = {
  frameBytesMax: 4 * 1024 * 1024,
  rpcFrameBytesMax: 16 * 1024 * 1024,
  sendHighWaterBytes: 256 * 1024,
  sendBytesMax: 64 * 1024 * 1024,
  readHighWaterBytes: 1024 * 1024,
  streamsPerProtocolMax: 2048,
  requestsOutstandingMax: 8192,
  requestsServedMax: 8192,
  strangersMax: 16,
  strangerStayMs: 20_000,
  strangerFrameBytesMax: 64 * 1024,
  handshakesMax: 64,
  handshakeMs: 3000,
  connectionsMax: 4096,
  connectionsPerSecond: 100,
  heartbeatMs: 500,
  silenceMs: 1500,
  greetingMs: 3000,
  contestMs: 500,
  dialMs: 5000,
  dialAddressMs: 2000,
  redialInitialMs: 100,
  redialMaxMs: 3000,
  dialDeferMs: 250,
  surplusStayMs: 5000,
  gossipBytesMax: 64 * 1024,
};
