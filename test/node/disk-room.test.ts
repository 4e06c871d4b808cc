import { tmpdir } from 'node:os';
import t from 'tap';
import { VirtualClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { DiskRoom } from '../../src/node/disk-room.ts';

const MIB = 1024 ** 2;
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
const GROWTH = { bytes: 5_000, essential: false };

t.test('disk room: refuses what grows while the disk is short, and only then', async (t) => {
  const clock = new VirtualClock();
  let free = 500 * MIB;
  let told = 0;
  const room = new DiskRoom(
    { clock, log: silentLogger, freeBytes: async () => free },
    { directory: '/data', reserveBytes: 128 * MIB, onShort: () => told++ },
  );
  t.equal(room.refuse(GROWTH), undefined, 'not before it has looked');
  await room.start();
  t.equal(room.refuse(GROWTH), undefined);
  free = 100 * MIB;
  clock.advance(2_000);
  await settle();
  t.match(room.refuse(GROWTH), {
    code: 'store-full',
    message:
      /disk of \/data has 100 MiB left, and 128 are kept in reserve \(setting diskReserveMib\)/,
  });
  t.equal(room.refuse({ bytes: -5, essential: false }), undefined, 'what shrinks may pass');
  t.equal(room.refuse({ bytes: 500, essential: true }), undefined, 'and leases');
  t.equal(told, 1);
  for (let n = 0; n < 31; n++) {
    clock.advance(2_000);
    await settle();
  }
  t.equal(told, 2, 'told once a minute');
  free = 500 * MIB;
  clock.advance(2_000);
  await settle();
  t.equal(room.problem(), undefined, 'it recovers by itself');
  room.stop();
  t.equal(clock.msToNext(), undefined);
});

t.test('disk room: a disk that cannot be asked refuses nothing; the kernel can be', async (t) => {
  const clock = new VirtualClock();
  const broken = new DiskRoom(
    { clock, log: silentLogger, freeBytes: () => Promise.reject(new Error('gone')) },
    { directory: '/data', reserveBytes: MIB },
  );
  await broken.start();
  t.equal(broken.refuse(GROWTH), undefined);
  broken.stop();
  const real = new DiskRoom({ clock, log: silentLogger }, { directory: tmpdir(), reserveBytes: 0 });
  await real.start();
  t.ok(real.freeBytes > 0 && real.freeBytes < Number.POSITIVE_INFINITY);
  t.equal(real.refuse(GROWTH), undefined, 'a reserve of 0 is none');
  real.stop();
});
