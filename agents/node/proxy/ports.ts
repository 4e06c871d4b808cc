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

/** The kernel's older packet filter (iptables-legacy). */
export interface LegacyFirewall {
  /** What it does with forwarded packets; undefined where it is not in use. */
  forward(): Promise<{ readonly drops: boolean; readonly dockerUser: boolean } | undefined>;
  /** Lets packets from and to the range pass in DOCKER-USER, unless they do. */
  admit(clusterCidr: string, comment: string): Promise<void>;
  /** Takes that back. */
  withdraw(clusterCidr: string, comment: string): Promise<void>;
}

/** Connection tracking: forgets flows so that their next packet is translated anew. */
export interface FlowTable {
  /** Ends UDP flows that were translated to a backend that left. */
  flushUdp(backend: { readonly ip: string; readonly port: number }): Promise<void>;
}
