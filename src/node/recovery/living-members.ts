/** Who of a list of members answers on the network: before a cluster is given up it is asked whether it is gone. */

import { connect } from 'node:net';
import type { MemberRecord } from '../data-dir.ts';

const ANSWER_MS = 1500;

/** The members whose API port takes a connection. */
export async function livingMembers<M extends Pick<MemberRecord, 'api'>>(
  members: readonly M[],
): Promise<readonly M[]> {
  const answers = await Promise.all(members.map(({ api }) => answersAt(api)));
  return members.filter((_, at) => answers[at]);
}

function answersAt(api: string): Promise<boolean> {
  const at = api.lastIndexOf(':');
  const port = Number(api.slice(at + 1));
  if (at < 1 || !Number.isInteger(port) || port < 1 || port > 65_535) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect({ host: api.slice(0, at), port, timeout: ANSWER_MS });
    const end = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}
