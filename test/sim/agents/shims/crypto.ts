/** What the product's API gets for `node:crypto` in a simulation: uids that are the same in every run of a seed. */

export * from 'node:crypto';

let made = 0;

/** Numbers begin anew. */
export function resetUuids(): void {
  made = 0;
}

/** In place of node:crypto's. The digits are scattered, so that an order by uid is not one by age. */
export function randomUUID(): string {
  const scattered = Math.imul(++made, 0x9e3779b1) >>> 0;
  const tail = made.toString(16).padStart(12, '0');
  return `${scattered.toString(16).padStart(8, '0')}-0000-4000-8000-${tail}`;
}
