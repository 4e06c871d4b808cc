/**
 * libnftables in process, through koffi: a transaction costs a fraction of a millisecond, where starting
 * `nft` costs several. Commands go in as text, in the language of nft(8), because that is what a person
 * debugging the node reads and types; listings come back as JSON.
 */

import koffi from 'koffi';
import { messageOf, SkeinError } from '../../../src/lib/errors.ts';
import type { Nftables, NftListing } from './ports.ts';

const LIBRARY = 'libnftables.so.1';
const NFT_CTX_DEFAULT = 0;
const NFT_CTX_OUTPUT_JSON = 1 << 4;

/**
 * Opens libnftables for this process's network namespace. Throws prerequisite-missing with the
 * command that installs it.
 */
export function openNftables(): Nftables {
  const library = load();
  const create = library.func('void *nft_ctx_new(uint32_t flags)');
  const free = library.func('void nft_ctx_free(void *ctx)');
  const bufferOutput = library.func('int nft_ctx_buffer_output(void *ctx)');
  const bufferError = library.func('int nft_ctx_buffer_error(void *ctx)');
  const getOutput = library.func('const char *nft_ctx_get_output_buffer(void *ctx)');
  const getError = library.func('const char *nft_ctx_get_error_buffer(void *ctx)');
  const setFlags = library.func('void nft_ctx_output_set_flags(void *ctx, unsigned int flags)');
  const runCommand = library.func('int nft_run_cmd_from_buffer(void *ctx, const char *buf)');

  // A context caches what it has seen of the ruleset; a fresh one per call costs microseconds and
  // cannot be fooled by what others changed meanwhile.
  // The kernel may make a commit wait for a grace period of several milliseconds: off the loop.
  const run = async (script: string, flags: number): Promise<string> => {
    const context: unknown = create(NFT_CTX_DEFAULT);
    if (!context) throw new SkeinError('network-failed', 'libnftables gave no context');
    try {
      bufferOutput(context);
      bufferError(context);
      setFlags(context, flags);
      const code = await new Promise<number>((resolve, reject) => {
        runCommand.async(context, script, (error: unknown, result: number) =>
          error ? reject(error) : resolve(result),
        );
      });
      if (code !== 0) {
        const said = String(getError(context)).trim();
        throw new SkeinError('network-failed', `nftables refused a transaction: ${said}`, {
          retryable: true,
        });
      }
      return String(getOutput(context));
    } finally {
      free(context);
    }
  };
  return {
    run: async (script) => {
      await run(script, 0);
    },
    list: async (what) => JSON.parse(await run(`list ${what}`, NFT_CTX_OUTPUT_JSON)) as NftListing,
  };
}

function load(): ReturnType<typeof koffi.load> {
  try {
    return koffi.load(LIBRARY);
  } catch (cause) {
    throw new SkeinError(
      'prerequisite-missing',
      `${LIBRARY} cannot be loaded (${messageOf(cause)}); install it with: apt-get install nftables`,
      { cause },
    );
  }
}
