/**
 * How a machine becomes a member. It knows a token; the cluster knows the token's secret. On a
 * connection that noise has tied to both peer ids, each side proves that it knows the secret, the
 * cluster first: a false cluster learns nothing of the newcomer, a false newcomer nothing of the
 * cluster, and a proof is of no use between any other two peers or a second time.
 *
 *   newcomer                                   member
 *      | -- {token id, nonce} ------------------> |   looks the secret up
 *      | <------------- {nonce, member's proof} - |   or {refused}
 *      | -- {newcomer's proof}, request --------> |   checks, accepts
 *      | <------------------------------- grant - |   or {refused}
 */

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { type Clock, systemClock } from '../lib/clock.ts';
import { hasCode, messageOf, SkeinError } from '../lib/errors.ts';
import { decode, encode } from './codec.ts';
import { type JoinToken, peerOf } from './join-token.ts';
import type { JoinableMesh } from './mesh.ts';
import { toSkeinError } from './rpc-wire.ts';
import type { MeshStream, PeerId, RequestOptions } from './types.ts';

export const JOIN_PROTOCOL = '/skein/join/1';

export type JoinServerOptions = {
  /** The secret of a token that is valid now. */
  readonly verify: (tokenId: string) => Uint8Array | undefined | Promise<Uint8Array | undefined>;
  /**
   * Makes the proven newcomer a member and returns what it needs (any msgpack value). A SkeinError
   * thrown here travels to the newcomer.
   */
  readonly accept: (request: unknown, from: PeerId, tokenId: string) => Promise<unknown>;
};

const NONCE_BYTES = 32;

/** Lets newcomers join through this node until the returned function is called. */
export function serveJoin(mesh: JoinableMesh, options: JoinServerOptions): () => Promise<void> {
  return mesh.welcomeStrangers(JOIN_PROTOCOL, (stream) => {
    return receive(mesh.self, stream, options).catch((error: unknown) => {
      stream.abort(error instanceof Error ? error : new Error(String(error)));
    });
  });
}

/**
 * Asks the token's members in turn to be let in, and returns the grant. The caller must check that
 * the granted CA certificate has the token's hash. Rejects with not-admitted if the token is refused
 * or a member does not know the secret, peer-unreachable if no address answers.
 */
export async function requestJoin(
  mesh: JoinableMesh,
  token: JoinToken,
  request: unknown,
  options: RequestOptions & { readonly clock?: Clock },
): Promise<unknown> {
  const { clock = systemClock } = options;
  const endMs = clock.monotonicMs() + options.deadlineMs;
  const byPeer = Map.groupBy(token.addresses, peerOf);
  byPeer.delete(mesh.self);
  const failures: string[] = [];
  let last: SkeinError | undefined;
  for (const [peer, addresses] of byPeer) {
    const deadlineMs = endMs - clock.monotonicMs();
    if (deadlineMs <= 0) break;
    try {
      const stream = await mesh.approach(peer, addresses, JOIN_PROTOCOL, {
        ...options,
        deadlineMs,
      });
      return await ask(mesh.self, stream, token, request, { ...options, deadlineMs, clock });
    } catch (error) {
      // The next member may be reachable, or able; a clear refusal is the cluster's answer.
      if (!(error instanceof SkeinError) || !error.retryable) throw error;
      last = error;
      failures.push(`${peer}: ${messageOf(error)}`);
    }
  }
  if (last !== undefined && !hasCode(last, 'peer-unreachable')) throw last;
  const tried = failures.length === 0 ? 'the token names no other machine' : failures.join('; ');
  throw new SkeinError('peer-unreachable', `no member of the cluster answered: ${tried}`, {
    retryable: true,
  });
}

async function receive(
  self: PeerId,
  stream: MeshStream,
  options: JoinServerOptions,
): Promise<void> {
  const frames = stream.frames[Symbol.asyncIterator]();
  const hello = parse(await nextFrame(frames));
  const { tokenId } = hello;
  const theirs = bytesOf(hello.nonce);
  if (typeof tokenId !== 'string' || theirs?.byteLength !== NONCE_BYTES) {
    throw new SkeinError('not-admitted', 'a join request has an unknown shape');
  }
  const secret = await options.verify(tokenId);
  if (secret === undefined) {
    await refuse(stream, new SkeinError('not-admitted', UNKNOWN_TOKEN));
    return;
  }
  const ours = randomBytes(NONCE_BYTES);
  const exchange: Exchange = { member: self, newcomer: stream.peer, tokenId, ours, theirs };
  const proof = prove(secret, 'member', exchange);
  await stream.send(
    json({ nonce: ours.toString('base64url'), proof: proof.toString('base64url') }),
  );
  const answer = bytesOf(parse(await nextFrame(frames)).proof);
  if (answer === undefined || !same(answer, prove(secret, 'newcomer', exchange))) {
    await refuse(stream, new SkeinError('not-admitted', UNKNOWN_TOKEN));
    return;
  }
  const request = decode(await nextFrame(frames));
  try {
    const grant = await options.accept(request, stream.peer, tokenId);
    await stream.send(json({}));
    await stream.send(encode(grant));
    await stream.closeWrite();
  } catch (error) {
    const refusal =
      error instanceof SkeinError ? error : new SkeinError('remote-failed', messageOf(error));
    await refuse(stream, refusal);
  }
}

async function ask(
  self: PeerId,
  stream: MeshStream,
  token: JoinToken,
  request: unknown,
  options: RequestOptions & { readonly clock: Clock },
): Promise<unknown> {
  const timer = options.clock.after(options.deadlineMs, () => {
    const message = `${stream.peer} did not answer the join request in time`;
    stream.abort(new SkeinError('deadline-exceeded', message, { retryable: true }));
  });
  const onAbort = () => stream.abort(new SkeinError('aborted', 'joining was given up'));
  options.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const theirs = randomBytes(NONCE_BYTES);
    await stream.send(json({ tokenId: token.id, nonce: theirs.toString('base64url') }));
    const frames = stream.frames[Symbol.asyncIterator]();
    const challenge = unrefused(parse(await nextFrame(frames)), false);
    const ours = bytesOf(challenge.nonce);
    const proof = bytesOf(challenge.proof);
    if (ours === undefined || proof === undefined) {
      throw new SkeinError('not-admitted', `${stream.peer} speaks another join protocol`);
    }
    const tokenId = token.id;
    const exchange: Exchange = { member: stream.peer, newcomer: self, tokenId, ours, theirs };
    if (!same(proof, prove(token.secret, 'member', exchange))) {
      throw new SkeinError(
        'not-admitted',
        `${stream.peer} does not know the secret of the token: it is not the cluster that made it, or the token is wrong`,
      );
    }
    const answer = prove(token.secret, 'newcomer', exchange).toString('base64url');
    void stream.send(json({ proof: answer })).catch(() => {});
    await stream.send(encode(request));
    unrefused(parse(await nextFrame(frames)), true);
    return decode(await nextFrame(frames));
  } finally {
    timer.cancel();
    options.signal?.removeEventListener('abort', onAbort);
    stream.abort(new SkeinError('aborted', 'the join exchange is over'));
  }
}

const UNKNOWN_TOKEN =
  'the cluster does not accept this join token: it is unknown, wrong, or has expired';

type Exchange = {
  readonly member: PeerId;
  readonly newcomer: PeerId;
  readonly tokenId: string;
  /** The member's nonce. */
  readonly ours: Uint8Array;
  /** The newcomer's nonce. */
  readonly theirs: Uint8Array;
};

/** The proof of one side: a code over its role, both peers, the token and both nonces. */
function prove(secret: Uint8Array, role: 'member' | 'newcomer', exchange: Exchange): Buffer {
  const { member, newcomer, tokenId, ours, theirs } = exchange;
  const mac = createHmac('sha256', secret);
  mac.update(encode(['skein join 1', role, member, newcomer, tokenId, ours, theirs]));
  return mac.digest();
}

function same(left: Uint8Array, right: Uint8Array): boolean {
  return left.byteLength === right.byteLength && timingSafeEqual(left, right);
}

async function refuse(stream: MeshStream, error: SkeinError): Promise<void> {
  const { code, message, retryable } = error;
  await stream.send(json({ refused: { code, message, retryable } }));
  await stream.closeWrite();
}

/** Throws the error a refusal carries; a code counts only from a member that has proven itself. */
function unrefused(frame: Record<string, unknown>, proven: boolean): Record<string, unknown> {
  const { refused } = frame;
  if (typeof refused !== 'object' || refused === null) return frame;
  const { code, message, retryable } = refused as Record<string, unknown>;
  const trusted = proven ? String(code) : 'not-admitted';
  throw toSkeinError(trusted, String(message), retryable === true);
}

async function nextFrame(frames: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  const next = await frames.next();
  if (next.done) throw new SkeinError('stream-closed', 'the join exchange ended early');
  return next.value;
}

/** Frames before the proofs are JSON: nothing a stranger sends reaches a richer decoder. */
function json(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function parse(frame: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(frame).toString());
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Reported below.
  }
  throw new SkeinError('not-admitted', 'a frame of the join exchange cannot be read');
}

function bytesOf(value: unknown): Uint8Array | undefined {
  return typeof value === 'string' ? Buffer.from(value, 'base64url') : undefined;
}
