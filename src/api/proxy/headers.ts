/** Headers on their way through a proxy: what concerns one connection only, or proves who somebody is to us, stays behind. */

import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';

/** RFC 9110, 7.6.1. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];
/** What the client proves to the API server is not for a container's eyes. */
const CREDENTIALS = /^(authorization|expect|impersonate-.*|x-remote-.*)$/;

/** The headers that the container gets. */
export function requestHeaders(request: IncomingMessage, path: string): OutgoingHttpHeaders {
  const headers = endToEnd(request.headers);
  for (const name in headers) if (CREDENTIALS.test(name)) delete headers[name];
  const { remoteAddress } = request.socket;
  const before = request.headers['x-forwarded-for'];
  const chain = [before, remoteAddress].filter((one) => one !== undefined).join(', ');
  if (chain !== '') headers['x-forwarded-for'] = chain;
  headers['x-forwarded-uri'] = path;
  headers['x-forwarded-proto'] = 'https';
  if (request.headers.host !== undefined) headers['x-forwarded-host'] = request.headers.host;
  // A body of unknown length keeps that form also with methods that rarely have one.
  if (request.headers['transfer-encoding'] !== undefined) headers['transfer-encoding'] = 'chunked';
  return headers;
}

/** The headers that the client gets; redirections within the container's site stay below `base`. */
export function responseHeaders(answer: IncomingMessage, base: string): OutgoingHttpHeaders {
  const headers = endToEnd(answer.headers);
  const { location } = answer.headers;
  if (location?.startsWith('/') && !location.startsWith('//'))
    headers['location'] = base + location;
  return headers;
}

function endToEnd(given: IncomingHttpHeaders): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { ...given };
  const named = (given.connection ?? '').split(',').map((one) => one.trim().toLowerCase());
  for (const name of [...HOP_BY_HOP, ...named]) delete headers[name];
  return headers;
}
