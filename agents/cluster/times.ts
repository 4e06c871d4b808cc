/** Times as the API shows them. */

/** RFC 3339 with seconds, of wall time in milliseconds since the epoch. */
export function isoSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
