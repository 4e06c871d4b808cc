/** /version: which Kubernetes the API corresponds to, and which Skein serves it. */

/** The Kubernetes release whose API is served. */
export const KUBERNETES_VERSION = { major: '1', minor: '32', patch: '0' } as const;

/** The version in Kubernetes' terms: `v1.32.0+skein0.2.0`. The build part names Skein's own. */
export function gitVersion(skeinVersion: string): string {
  const { major, minor, patch } = KUBERNETES_VERSION;
  return `v${major}.${minor}.${patch}+skein${skeinVersion}`;
}

/** The body of /version. `skeinVersion` becomes build metadata of the semantic version. */
export function versionInfo(skeinVersion: string): object {
  const { major, minor } = KUBERNETES_VERSION;
  return {
    major,
    minor,
    gitVersion: gitVersion(skeinVersion),
    gitCommit: '',
    gitTreeState: 'clean',
    buildDate: '1970-01-01T00:00:00Z',
    goVersion: '',
    compiler: 'node',
    platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
    nodeVersion: process.version,
  };
}
