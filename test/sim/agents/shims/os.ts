/** What agents get for `node:os` in a simulation: the same machine everywhere. */

export const arch = (): string => 'x64';
export const availableParallelism = (): number => 8;
export const loadavg = (): number[] => [0, 0, 0];
export const release = (): string => '6.0.0-sim';
export const totalmem = (): number => 16 * 1024 ** 3;
