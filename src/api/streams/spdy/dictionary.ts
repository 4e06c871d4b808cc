/**
 * The dictionary with which SPDY/3 primes header compression (section 2.6.10.1): common names and values,
 * each name with its length in four bytes before it.
 */

const NAMES = [
  'options head post put delete trace accept accept-charset accept-encoding accept-language',
  'accept-ranges age allow authorization cache-control connection content-base content-encoding',
  'content-language content-length content-location content-md5 content-range content-type date',
  'etag expect expires from host if-match if-modified-since if-none-match if-range',
  'if-unmodified-since last-modified location max-forwards pragma proxy-authenticate',
  'proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade',
  'user-agent vary via warning www-authenticate method get status',
].flatMap((line) => line.split(' '));
const MORE_NAMES = ['200 OK', 'version', 'HTTP/1.1', 'url', 'public', 'set-cookie', 'keep-alive'];
const TEXT = [
  '1001012012022052063003023033043053063074024054064074084094104114124134144154164175025045052',
  '03 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request',
  '401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented',
  '503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 ',
  'Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,',
  'application/xml,application/xhtml+xml,text/plain,text/javascript,public',
  'privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.',
].join('');

/** 1423 bytes; Adler-32 e3c6a7c2. */
export const SPDY_DICTIONARY: Buffer = Buffer.concat([
  ...[...NAMES, ...MORE_NAMES, 'origin'].map(prefixed),
  Buffer.from(TEXT),
]);

function prefixed(name: string): Buffer {
  const bytes = Buffer.alloc(4 + name.length);
  bytes.writeUInt32BE(name.length, 0);
  bytes.write(name, 4, 'latin1');
  return bytes;
}
