import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { parse } from 'yaml';
import { createAuthority } from '../../src/api/auth/pki.ts';
import { VirtualClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { CHECK_MS, RENEW_AFTER_MS, startRenewal } from '../../src/node/certificate-renewal.ts';
import {
  adminKubeconfig,
  firstServiceIp,
  servingCertificate,
} from '../../src/node/certificates.ts';
import type { ClusterFile } from '../../src/node/data-dir.ts';

async function clusterFile(): Promise<ClusterFile> {
  const { certificatePem, keyPem } = await createAuthority();
  return {
    clusterId: 'c',
    clusterCidr: '10.244.0.0/16',
    serviceCidr: '10.96.0.0/16',
    caCertificatePem: certificatePem,
    caKeyPem: keyPem,
    tokenKeyPem: 'unused',
    node: 'node1',
    peer: 'p1',
    members: [],
    founder: true,
    settled: true,
  };
}

t.test('certificates: the first service address follows the address of the range', async (t) => {
  t.equal(firstServiceIp('10.96.0.0/16'), '10.96.0.1');
  t.equal(firstServiceIp('172.20.128.0/20'), '172.20.128.1');
});

t.test('certificates: the API is served under every name by which it is reached', async (t) => {
  const cluster = await clusterFile();
  const { certificatePem } = await servingCertificate(cluster, ['10.0.0.1']);
  const certificate = new X509Certificate(certificatePem);
  for (const ip of ['10.0.0.1', '10.96.0.1', '127.0.0.1']) t.ok(certificate.checkIP(ip), ip);
  for (const name of ['node1', 'localhost', 'kubernetes.default.svc']) {
    t.ok(certificate.checkHost(name), name);
  }
  t.notOk(certificate.checkIP('10.0.0.2'));
  t.ok(certificate.verify(new X509Certificate(cluster.caCertificatePem).publicKey));
});

t.test('certificates: the kubeconfig is an administrator’s, and fresh each time', async (t) => {
  const cluster = await clusterFile();
  const config = parse(await adminKubeconfig(cluster, 'https://10.0.0.1:6443'));
  t.equal(config.clusters[0].cluster.server, 'https://10.0.0.1:6443');
  const decode = (text: string) => Buffer.from(text, 'base64').toString('utf8');
  t.equal(
    decode(config.clusters[0].cluster['certificate-authority-data']).trim(),
    cluster.caCertificatePem.trim(),
  );
  const client = new X509Certificate(decode(config.users[0].user['client-certificate-data']));
  t.match(client.subject, /O=system:masters/);
  t.match(client.subject, /CN=skein-admin/);
  t.ok(client.verify(new X509Certificate(cluster.caCertificatePem).publicKey));
  const again = parse(await adminKubeconfig(cluster, 'https://10.0.0.1:6443'));
  t.not(again.users[0].user['client-key-data'], config.users[0].user['client-key-data']);
});

t.test(
  'certificates: they are renewed once their time has come, and again if it fails',
  async (t) => {
    const clock = new VirtualClock();
    let failures = 2;
    let renewed = 0;
    const stop = startRenewal({
      clock,
      log: silentLogger,
      renew: async () => {
        if (failures-- > 0) throw new Error('disk full');
        renewed++;
      },
    });
    const pass = async (ms: number) => {
      for (let left = ms; left > 0; left -= CHECK_MS) {
        clock.advance(Math.min(left, CHECK_MS));
        // The next check is scheduled when the renewal has ended.
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await pass(RENEW_AFTER_MS - CHECK_MS);
    t.equal(failures, 2, 'not before');
    await pass(CHECK_MS);
    t.equal(failures, 1, 'tried');
    await pass(2 * CHECK_MS);
    t.equal(renewed, 1);
    await pass(RENEW_AFTER_MS - CHECK_MS);
    t.equal(renewed, 1);
    await pass(CHECK_MS);
    t.equal(renewed, 2);
    stop();
    await pass(2 * RENEW_AFTER_MS);
    t.equal(renewed, 2, 'not after the end');
  },
);
