/** Docker's multiplexed stream: an 8-byte header (channel, length), then the bytes. */

import type { ExecOutput } from '../../../../src/lib/container-streams.ts';

const HEADER_BYTES = 8;
const STDERR = 2;

/** The frames of a stream, as they come; a long frame may be handed out in several pieces. */
export async function* dockerFrames(
  stream: AsyncIterable<unknown>,
): AsyncGenerator<ExecOutput, void, undefined> {
  let header = Buffer.alloc(0);
  let left = 0;
  let channel: ExecOutput['channel'] = 'stdout';
  for await (const chunk of stream) {
    let data = Buffer.from(chunk as Uint8Array);
    while (data.length > 0) {
      if (left === 0) {
        const wanted = HEADER_BYTES - header.length;
        header = Buffer.concat([header, data.subarray(0, wanted)]);
        data = data.subarray(wanted);
        if (header.length < HEADER_BYTES) break;
        channel = header[0] === STDERR ? 'stderr' : 'stdout';
        left = header.readUInt32BE(4);
        header = Buffer.alloc(0);
        continue;
      }
      const piece = data.subarray(0, left);
      left -= piece.length;
      data = data.subarray(piece.length);
      yield { channel, data: piece };
    }
  }
}
