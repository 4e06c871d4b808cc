import { randomBytes } from 'node:crypto';
import { noise } from '@chainsafe/libp2p-noise';
import type { ConnectionEncrypter } from '@libp2p/interface';
import t from 'tap';
import { Uint8ArrayList } from 'uint8arraylist';
import { prepareKeys } from '../../src/mesh/noise-ciphers.ts';

type Bytes = Uint8Array | Uint8ArrayList;
type Ciphers = {
  encrypt(text: Bytes, nonce: Uint8Array, data: Uint8Array, key: Uint8Array): Bytes;
  decrypt(sealed: Bytes, nonce: Uint8Array, data: Uint8Array, key: Uint8Array): Bytes;
};

function ciphers(prepare: boolean): Ciphers {
  const logger = { forComponent: () => undefined };
  const components = { logger } as unknown as Parameters<ReturnType<typeof noise>>[0];
  const encrypter = noise()(components);
  if (prepare) prepareKeys(encrypter as ConnectionEncrypter);
  return (encrypter as unknown as { crypto: Ciphers }).crypto;
}

const SIZES = [0, 1, 583, 584, 599, 600, 1199, 1200, 5000, 65_000];

t.test('noise: prepared keys seal and open what noise itself does, in pieces too', async (t) => {
  const [ours, theirs] = [ciphers(true), ciphers(false)];
  t.not(ours.encrypt, theirs.encrypt, 'the ciphers are replaced in this version of noise');
  const key = new Uint8Array(randomBytes(32));
  const data = new Uint8Array(randomBytes(32));
  for (const [number, size] of SIZES.entries()) {
    const nonce = new Uint8Array(12).fill(number);
    const text = new Uint8Array(randomBytes(size));
    const pieces = () => new Uint8ArrayList(text.slice(0, size / 2), text.slice(size / 2));
    const sealed = ours.encrypt(pieces(), nonce, data, key).subarray();
    t.ok(Buffer.from(theirs.encrypt(text, nonce, data, key).subarray()).equals(sealed), `${size}`);
    const copies = [sealed.slice(), sealed.slice()] as const;
    t.ok(Buffer.from(ours.decrypt(copies[0], nonce, data, key).subarray()).equals(text));
    t.ok(Buffer.from(theirs.decrypt(copies[1], nonce, data, key).subarray()).equals(text));
  }
});

t.test('noise: a packet that was changed, or is too short, is not opened', async (t) => {
  const { encrypt, decrypt } = ciphers(true);
  const [key, nonce, data] = [new Uint8Array(32).fill(1), new Uint8Array(12), new Uint8Array(0)];
  for (const at of [0, 700, 1009]) {
    const sealed = Uint8Array.from(encrypt(new Uint8Array(1000), nonce, data, key).subarray());
    sealed[at] = (sealed[at] ?? 0) ^ 1;
    t.throws(() => decrypt(sealed, nonce, data, key), `byte ${at}`);
  }
  const whole = encrypt(new Uint8Array(1000), nonce, data, key).subarray();
  t.throws(() => decrypt(whole, nonce, data, new Uint8Array(32).fill(2)), 'another key');
  t.throws(() => decrypt(whole.slice(0, 900), nonce, data, key), 'cut');
});
