/**
 * The delay line process: owns the TAP device, holds each frame for its link's delay, drops the share
 * that the link loses. Started by delay.ts inside the switch's namespace with the links as JSON:
 * [{a, b (MAC addresses), delayMs, lossPercent}].
 */

import { execFileSync } from 'node:child_process';
import { closeSync, openSync, read, writeSync } from 'node:fs';
import koffi from 'koffi';

type Link = {
  readonly a: string;
  readonly b: string;
  readonly delayMs: number;
  readonly lossPercent: number;
};

const DEVICE = 'delay0';
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const FRAME_BYTES_MAX = 65_536;
/** Frames on hold; a full line drops, as a full router does. */
const HELD_FRAMES_MAX = 20_000;

function openTap(): number {
  const fd = openSync('/dev/net/tun', 'r+');
  const request = Buffer.alloc(40); // struct ifreq
  request.write(DEVICE, 0, 'latin1');
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI, 16);
  const ioctl = koffi.load('libc.so.6').func('int ioctl(int fd, unsigned long request, void *arg)');
  if (ioctl(fd, TUNSETIFF, request) !== 0) {
    closeSync(fd);
    throw new Error(`the kernel refused to make the TAP device ${DEVICE}`);
  }
  return fd;
}

const macAt = (frame: Buffer, offset: number): string =>
  frame.toString('hex', offset, offset + 6).replace(/(..)(?!$)/g, '$1:');

const links = JSON.parse(process.argv[2] ?? '[]') as Link[];
const linkOf = new Map(
  links.flatMap((link) => [
    [`${link.a} ${link.b}`, link],
    [`${link.b} ${link.a}`, link],
  ]),
);
const tap = openTap();
execFileSync('ip', ['link', 'set', DEVICE, 'up']);
let held = 0;

function onFrame(frame: Buffer): void {
  const link = linkOf.get(`${macAt(frame, 6)} ${macAt(frame, 0)}`);
  if (!link || Math.random() * 100 < link.lossPercent || held >= HELD_FRAMES_MAX) return;
  held++;
  setTimeout(() => {
    held--;
    writeSync(tap, frame);
  }, link.delayMs);
}

function readNext(buffer: Buffer): void {
  read(tap, buffer, 0, FRAME_BYTES_MAX, null, (error, length) => {
    if (error) throw error;
    onFrame(Buffer.from(buffer.subarray(0, length)));
    readNext(buffer);
  });
}

process.on('SIGTERM', () => process.exit(0));
readNext(Buffer.alloc(FRAME_BYTES_MAX));
