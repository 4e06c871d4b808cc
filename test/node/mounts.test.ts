import t from 'tap';
import { mountsBelow } from '../../src/node/mounts.ts';

const MOUNTINFO = `22 1 0:20 / / rw - ext4 /dev/vda rw
30 22 0:30 / /var/lib/skein rw - tmpfs tmpfs rw
31 30 0:31 / /var/lib/skein/pods/u1/volumes/a rw - tmpfs tmpfs rw
32 31 0:32 / /var/lib/skein/pods/u1/volumes/a/b rw - tmpfs tmpfs rw
33 22 0:33 / /var/lib/skein-other/x rw - tmpfs tmpfs rw
34 30 0:34 / /var/lib/skein/with\\040space rw - tmpfs tmpfs rw
`;

t.test('mounts: what lies strictly below a directory, the deepest first', async (t) => {
  t.strictSame(mountsBelow(MOUNTINFO, '/var/lib/skein'), [
    '/var/lib/skein/pods/u1/volumes/a/b',
    '/var/lib/skein/pods/u1/volumes/a',
    '/var/lib/skein/with space',
  ]);
  t.strictSame(mountsBelow('', '/var/lib/skein'), []);
});
