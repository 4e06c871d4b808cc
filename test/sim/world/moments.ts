/** Where to strike: a member that was just at one of these points has most to lose. */

import type { Message } from '../../../raft/types.ts';

/** Points at which a crash, a pause or a cut is most likely to find a mistake. */
export const moments = [
  'vote',
  'term',
  'elected',
  'acknowledgement',
  'commit',
  'config applied',
  'config written',
  'read',
  'snapshot stored',
  'snapshot taken',
  'snapshot installing',
  'hand-over',
] as const;

export type Moment = (typeof moments)[number];

/** The moment that sending `message` is; undefined if it is none. */
export function momentOf(message: Message): Moment | undefined {
  switch (message.type) {
    case 'vote':
      return 'vote';
    case 'vote-response':
      return message.reject ? undefined : 'vote';
    case 'append-response':
      return message.reject ? undefined : 'acknowledgement';
    case 'read-index':
      return 'read';
    case 'timeout-now':
      return 'hand-over';
    default:
      return undefined;
  }
}
