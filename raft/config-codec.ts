/**
 * The bytes of a membership change inside a 'config' entry. Version 1:
 * `[1][steps: u16]{[kind: u8][length: u16][node: utf-8]}...[context: the rest]`, numbers big-endian.
 */

import type { ConfChange, ConfChangeKind, ConfChangeStep } from './types.ts';

const version = 1;
const kinds: readonly ConfChangeKind[] = ['add-voter', 'add-learner', 'remove'];
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** A change as bytes. Throws RangeError for more than 65535 steps or an id above 65535 bytes. */
export function encodeConfChange(change: ConfChange): Uint8Array {
  const names = change.steps.map((step) => encoder.encode(step.node));
  const stepBytes = names.reduce((sum, name) => sum + 3 + name.length, 0);
  const bytes = new Uint8Array(3 + stepBytes + change.context.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, version);
  setUint16(view, 1, names.length);
  let at = 3;
  for (const [position, step] of change.steps.entries()) {
    const name = names[position] ?? new Uint8Array();
    view.setUint8(at, kinds.indexOf(step.kind));
    setUint16(view, at + 1, name.length);
    bytes.set(name, at + 3);
    at += 3 + name.length;
  }
  bytes.set(change.context, at);
  return bytes;
}

/** The change that `encodeConfChange` made these bytes of. Throws RangeError for anything else. */
export function decodeConfChange(bytes: Uint8Array): ConfChange {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint8(0) !== version) {
    throw new RangeError(`a configuration change of version ${view.getUint8(0)} is unknown`);
  }
  const steps: ConfChangeStep[] = [];
  let at = 3;
  for (let left = view.getUint16(1); left > 0; left--) {
    const kind = kinds[view.getUint8(at)];
    const end = at + 3 + view.getUint16(at + 1);
    if (kind === undefined || end > bytes.length) {
      throw new RangeError('a configuration change is damaged');
    }
    steps.push({ kind, node: decoder.decode(bytes.subarray(at + 3, end)) });
    at = end;
  }
  return { steps, context: bytes.slice(at) };
}

function setUint16(view: DataView, at: number, value: number): void {
  if (value > 0xffff) throw new RangeError('a configuration change fits its length fields');
  view.setUint16(at, value);
}
