import t from 'tap';
import { describeDisk, diskFaultsOf, parseDiskCondition } from '../../src/lab/disk-condition.ts';
import { decodeFaults, encodeFaults, type HostFaults } from '../../src/lab/host-faults.ts';

/** A page that holds these faults, as the shim maps it. */
function pageOf(faults: HostFaults): Buffer {
  const page = Buffer.alloc(4096);
  encodeFaults(faults).copy(page);
  return page;
}

t.test('lab: what a control block says is read back', async (t) => {
  for (const condition of ['healthy', 'slow:250', 'hung', 'failing', 'full', 'read-only']) {
    const disk = diskFaultsOf(parseDiskCondition(condition));
    for (const clockOffsetMs of [0, 3_600_000, -3_600_000]) {
      const met = { sync: 0, write: 0, change: 0 };
      t.strictSame(decodeFaults(pageOf({ disk, clockOffsetMs })), { disk, clockOffsetMs, met });
    }
  }
});

t.test('lab: the control block has the bytes that the shim expects', async (t) => {
  const disk = { sync: { kind: 'delay', delayMs: 258 }, write: { kind: 'fail', error: 'EIO' } };
  const block = encodeFaults({ disk, clockOffsetMs: -1 } as HostFaults);
  t.equal(
    block.toString('hex'),
    [
      '66616c74' + '01000000', // magic, version
      'c0bdf0ffffffffff', // -1 ms in ns
      '02000000' + '00000000' + '02010000' + '00000000', // sync: delay, 258 ms
      '01000000' + '05000000' + '00000000' + '00000000', // write: fail, EIO
      '00000000' + '00000000' + '00000000' + '00000000', // change: nothing
    ].join(''),
  );
});

t.test('lab: what is no control block is not taken for one', async (t) => {
  t.throws(() => decodeFaults(Buffer.alloc(4096)), { code: 'data-damaged' });
  t.throws(() => decodeFaults(Buffer.alloc(10)), { code: 'data-damaged' });
});

t.test(
  'lab: a condition of a disk that does not exist is refused with those that do',
  async (t) => {
    for (const text of ['', 'broken', 'slow', 'slow:', 'slow:0', 'slow:-1', 'slow:1e3', 'hung:1']) {
      t.throws(() => parseDiskCondition(text), {
        code: 'config-invalid',
        message: /use healthy, slow:<ms>, hung, failing, full or read-only/,
      });
    }
  },
);

t.test('lab: a disk is described in words', async (t) => {
  const said = (text: string) => describeDisk(diskFaultsOf(parseDiskCondition(text)));
  t.equal(said('healthy'), '');
  t.equal(said('slow:200'), 'sync takes 200 ms longer');
  t.equal(said('hung'), 'sync hangs');
  t.equal(said('full'), 'write of more bytes fails (ENOSPC)');
  t.equal(said('read-only'), 'write fails (EROFS), change fails (EROFS)');
});
