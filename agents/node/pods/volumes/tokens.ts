/** Service account tokens of one node's pods: fetched once, renewed before they run out. */

import type { Clock } from '../../../../src/lib/clock.ts';
import type { Pod, Volume } from '../kinds.ts';
import type { ServiceAccountTokens } from '../ports.ts';
import type { Tokens } from './payload.ts';

type Held = { readonly token: string; readonly issuedAtMs: number; readonly expiresAtMs: number };

/** Share of its life after which a token is renewed, and the longest it is used. */
const RENEW_SHARE = 0.8;
const RENEW_AFTER_MS = 24 * 3_600_000;
const EXPIRATION_SECONDS = 3600;

/** Keeps tokens per pod, volume and path. */
export class TokenKeeper {
  readonly #tokens: ServiceAccountTokens;
  readonly #clock: Clock;
  readonly #held = new Map<string, Map<string, Held>>();

  constructor(tokens: ServiceAccountTokens, clock: Clock) {
    this.#tokens = tokens;
    this.#clock = clock;
  }

  /** Tokens for a projected volume by path. A renewal that fails falls back to one still valid. */
  async tokensFor(pod: Pod, volume: Volume, signal: AbortSignal): Promise<Tokens> {
    const found = new Map<string, string>();
    for (const { serviceAccountToken } of volume.projected?.sources ?? []) {
      if (serviceAccountToken === undefined) continue;
      const { path, audience, expirationSeconds = EXPIRATION_SECONDS } = serviceAccountToken;
      const key = `${volume.name}/${path}`;
      const held = this.#ofPod(pod).get(key);
      if (held && this.#fresh(held)) {
        found.set(path, held.token);
        continue;
      }
      try {
        const fresh = await this.#tokens.create(
          {
            namespace: pod.metadata.namespace ?? 'default',
            serviceAccount: pod.spec.serviceAccountName || 'default',
            audiences: audience ? [audience] : [],
            expirationSeconds,
            pod: { name: pod.metadata.name, uid: pod.metadata.uid ?? '' },
          },
          signal,
        );
        const issuedAtMs = this.#clock.nowMs();
        this.#ofPod(pod).set(key, { ...fresh, issuedAtMs });
        found.set(path, fresh.token);
      } catch (error) {
        if (held === undefined || held.expiresAtMs <= this.#clock.nowMs()) throw error;
        found.set(path, held.token);
      }
    }
    return found;
  }

  /** Drops what is held for a pod that ended. */
  forget(podUid: string): void {
    this.#held.delete(podUid);
  }

  #ofPod(pod: Pod): Map<string, Held> {
    const uid = pod.metadata.uid ?? '';
    const known = this.#held.get(uid) ?? new Map<string, Held>();
    this.#held.set(uid, known);
    return known;
  }

  #fresh({ issuedAtMs, expiresAtMs }: Held): boolean {
    const ageMs = this.#clock.nowMs() - issuedAtMs;
    return ageMs < Math.min(RENEW_AFTER_MS, (expiresAtMs - issuedAtMs) * RENEW_SHARE);
  }
}
