/** What the proxy needs of the machine. */

/** An object of nft's JSON listing: `{chain: {...}}`, `{rule: {...}}`, ... */
export type NftObject = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
export type NftListing = { readonly nftables: readonly NftObject[] };

export interface Nftables {
  /** Runs a script as one transaction; rejects with network-failed, with nothing changed, when any command is refused. */
  run(script: string): Promise<void>;
  /** `table ip skein`, `chains`, ... Rejects with network-failed when it does not exist. */
  list(what: string): Promise<NftListing>;
}

/** Connection tracking: forgets flows so that their next packet is translated anew. */
export interface FlowTable {
  /** Ends UDP flows that were translated to a backend that left. */
  flushUdp(backend: { readonly ip: string; readonly port: number }): Promise<void>;
}
