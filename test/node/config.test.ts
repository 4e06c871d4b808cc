import t from 'tap';
import { overlap, readConfigFile, resolveConfig } from '../../src/node/config.ts';
import { flagOf, SETTING_KEYS, SETTINGS, variableOf } from '../../src/node/settings.ts';

const NOTHING = { flags: {}, environment: {} };
const refusal = (message: RegExp) => ({ code: 'config-invalid', message });

t.test(
  'config: a flag wins over its variable, that over the file, that over the default',
  async (t) => {
    const file = {
      path: '/etc/skein.yaml',
      values: { apiPort: 1003, meshPort: 2003, votersMax: 3 },
    };
    const environment = { SKEIN_API_PORT: '1002', SKEIN_MESH_PORT: '2002' };
    const { config, given } = resolveConfig({ flags: { apiPort: '1001' }, environment, file });
    t.equal(config.apiPort, 1001);
    t.equal(config.meshPort, 2002);
    t.equal(config.votersMax, 3);
    t.equal(config.logLevel, 'info');
    t.strictSame([...given].sort(), ['apiPort', 'meshPort', 'votersMax']);
  },
);

t.test('config: without anything every default is one that its own reader takes', async (t) => {
  const { config, given } = resolveConfig({ ...NOTHING, flags: { nodeName: 'node1' } });
  t.strictSame([...given], ['nodeName']);
  for (const key of SETTING_KEYS) {
    t.strictSame(SETTINGS[key].read(config[key]), config[key], key);
  }
});

t.test('config: an empty variable is one that nobody set', async (t) => {
  const { config, given } = resolveConfig({ ...NOTHING, environment: { SKEIN_API_PORT: '' } });
  t.equal(config.apiPort, 6443);
  t.notOk(given.has('apiPort'));
});

const BAD: Readonly<Record<string, readonly [readonly unknown[], RegExp]>> = {
  dataDir: [['', 'relative', 5, null, []], /absolute path|non-empty text/],
  nodeName: [
    ['', 'Node1', 'a_b', '-a', 'a-', 'a..b', 'a.-b', 'x'.repeat(64), 7, '../x', 'a b', 'ä'],
    /RFC 1123|non-empty text/,
  ],
  advertiseAddress: [['', 'node1', '1.2.3', '1.2.3.256', '::1', '0.0.0.0'], /IPv4|reach|non-empty/],
  bindAddress: [['', 'eth0', '::'], /an IPv4 address|non-empty text/],
  apiPort: [['', '0', '65536', '80.5', 'http', ' ', -1, 1.5, '0x50x'], /1 to 65535|non-empty text/],
  meshPort: [['0', 70_000, null], /1 to 65535|non-empty text/],
  peers: [
    ['', 'a b', 'host:0', 'host:99999', '1.2.3', '1.2.3.4.5:80', '/ip4/nowhere', 'http://x', ':80'],
    /host, host:port .* or a multiaddr|non-empty text/,
  ],
  dockerSocket: [['docker.sock'], /absolute path/],
  cniBinDirs: [['', '/a,b', '/a,,/b', []], /absolute path|non-empty text|at least one/],
  cniConfDir: [['net.d'], /absolute path/],
  clusterCidr: [
    [
      '10.0.0.0',
      '10.0.0.0/7',
      '10.0.0.0/23',
      '10.0.0.1/16',
      '10.0/16',
      'x/16',
      '10.0.0.0/ 16',
      '10.0.0.0/1e1',
    ],
    /IPv4 range like .* of \/8 to \/22|first address of its range/,
  ],
  serviceCidr: [['10.96.0.0/25', '10.96.0.0/11', '10.96.1.0/16'], /\/12 to \/24|first address/],
  secretsEncryption: [['', 'yes', 1, null], /one of true, false|non-empty text/],
  podNetwork: [['flannel', 'VXLAN', 1], /vxlan, auto|non-empty text/],
  defaultTolerationSeconds: [['-1', '86401', 'soon'], /0 to 86400/],
  votersMax: [['0', '2', '4', '7', 'all'], /1 to 5|1, 3 or 5/],
  reads: [['fast', 'LEASE'], /quorum, lease/],
  zone: [['-a', 'a b', 'x'.repeat(64)], /value of a label/],
  historyMinutes: [['0', '1441', 'long'], /1 to 1440/],
  historyMib: [['0', '4097'], /1 to 4096/],
  storeQuotaMib: [['15', '65537', 'none'], /16 to 65536/],
  diskReserveMib: [['-1', 'all'], /0 to 1048576/],
  imagePullFallback: [['always'], /local, never/],
  localDiscovery: [['always', 'on'], /fallback, off/],
  logLevel: [['trace', 'INFO', 'silent'], /debug, info, warn, error/],
};

t.test(
  'config: every bad value is refused with the name it was given under and what is expected',
  async (t) => {
    t.strictSame(
      Object.keys(BAD).sort(),
      [...SETTING_KEYS].sort(),
      'every setting has bad values here',
    );
    for (const key of SETTING_KEYS) {
      const [values = [], expectation = /./] = BAD[key] ?? [];
      for (const value of values) {
        const shown = JSON.stringify(value);
        const said = new RegExp(`expected .*(${expectation.source}).*, got `);
        t.throws(
          () => resolveConfig({ ...NOTHING, flags: { [key]: value } }),
          refusal(new RegExp(`^${flagOf(key)}: ${said.source}`)),
          `${flagOf(key)} ${shown}`,
        );
        const file = { path: '/etc/skein.yaml', values: { [key]: value } };
        t.throws(
          () => resolveConfig({ ...NOTHING, file }),
          refusal(new RegExp(`^/etc/skein\\.yaml: ${key}: ${said.source}`)),
          `${key}: ${shown}`,
        );
        if (typeof value !== 'string' || value === '') continue;
        t.throws(
          () => resolveConfig({ ...NOTHING, environment: { [variableOf(key)]: value } }),
          refusal(new RegExp(`^${variableOf(key)}: ${said.source}`)),
          `${variableOf(key)}=${shown}`,
        );
      }
    }
  },
);

t.test('config: a value that a better one hides is not looked at', async (t) => {
  const file = { path: 'f', values: { apiPort: 'x' } };
  const { config } = resolveConfig({ flags: { apiPort: '7000' }, environment: {}, file });
  t.equal(config.apiPort, 7000);
});

t.test('config: an unknown key is refused with the file and the keys there are', async (t) => {
  const unknown = ['apiport', 'api-port', 'toString', 'constructor'];
  for (const key of unknown) {
    t.throws(
      () => resolveConfig({ ...NOTHING, file: { path: '/etc/s.yaml', values: { [key]: 1 } } }),
      refusal(new RegExp(`^/etc/s\\.yaml: unknown key "${key}"; known keys are dataDir, nodeName`)),
      key,
    );
  }
});

t.test('config: settings that cannot hold together are refused with both names', async (t) => {
  t.throws(
    () => resolveConfig({ ...NOTHING, flags: { apiPort: '7000', meshPort: '7000' } }),
    refusal(/--api-port and --mesh-port.*7000/),
  );
  t.throws(
    () => resolveConfig({ ...NOTHING, flags: { serviceCidr: '10.244.128.0/20' } }),
    refusal(/--cluster-cidr and --service-cidr: expected ranges that do not overlap/),
  );
  t.ok(overlap('10.0.0.0/8', '10.96.0.0/16'));
  t.ok(overlap('10.96.0.0/16', '10.0.0.0/8'));
  t.notOk(overlap('10.96.0.0/16', '10.97.0.0/16'));
});

t.test('config: lists come as YAML or with commas', async (t) => {
  const list = ['/opt/bin', '/usr/lib/cni'];
  for (const cniBinDirs of [list, '/opt/bin,/usr/lib/cni', '/opt/bin, /usr/lib/cni']) {
    t.strictSame(resolveConfig({ ...NOTHING, flags: { cniBinDirs } }).config.cniBinDirs, list);
  }
});

t.test('config: peers are taken as people write them', async (t) => {
  const peers = 'node1.example,10.0.0.5,10.0.0.6:7000,/dns4/x.example/tcp/1,/ip4/10.0.0.7/tcp/2';
  t.strictSame(resolveConfig({ ...NOTHING, flags: { peers } }).config.peers, [
    '/dns4/node1.example/tcp/7946',
    '/ip4/10.0.0.5/tcp/7946',
    '/ip4/10.0.0.6/tcp/7000',
    '/dns4/x.example/tcp/1',
    '/ip4/10.0.0.7/tcp/2',
  ]);
  const named = '/ip4/10.0.0.7/tcp/2/p2p/12D3KooWQ2MCB951eKsKuur624HqCKJrRW7bqFrDthnzhKnHeJFv';
  t.strictSame(
    resolveConfig({ ...NOTHING, flags: { peers: named } }).config.peers,
    ['/ip4/10.0.0.7/tcp/2'],
    'who answers is found out by the key',
  );
});

t.test('config: a file is read as YAML; an empty one says nothing', async (t) => {
  const dir = t.testdir({
    'good.yaml': 'apiPort: 7000\ncniBinDirs: [/a, /b]\n',
    'empty.yaml': '# nothing\n',
    'list.yaml': '- apiPort\n',
    'text.yaml': 'apiPort\n',
    'broken.yaml': 'apiPort: [\n',
  });
  t.strictSame((await readConfigFile(`${dir}/good.yaml`)).values, {
    apiPort: 7000,
    cniBinDirs: ['/a', '/b'],
  });
  t.strictSame((await readConfigFile(`${dir}/empty.yaml`)).values, {});
  for (const name of ['list.yaml', 'text.yaml', 'broken.yaml', 'missing.yaml']) {
    await t.rejects(
      readConfigFile(`${dir}/${name}`),
      refusal(new RegExp(name.replace('.', '\\.'))),
    );
  }
});
