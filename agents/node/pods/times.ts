/** Times as the API writes them. */

/** RFC 3339 with seconds, as the API's times are. */
export function isoSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
