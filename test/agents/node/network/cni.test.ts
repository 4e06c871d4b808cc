import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import {
  type CniConfig,
  defaultConfig,
  parseConfig,
  readConfig,
} from '../../../../agents/node/network/cni.ts';
import { createCniRunner } from '../../../../agents/node/network/cni-runner.ts';

const CONTAINER = { containerId: 'c1', netnsPath: '/run/netns/x', args: { K8S_POD_NAME: 'web' } };

/** A directory of plugins, each a shell script that first notes its command and input. */
async function plugins(t: Test, scripts: Readonly<Record<string, string>>) {
  const directory = t.testdir();
  const log = `${directory}/calls`;
  for (const [name, script] of Object.entries(scripts)) {
    const note = `echo "${name} $CNI_COMMAND $(cat)" >> ${log}`;
    await writeFile(`${directory}/${name}`, `#!/bin/sh\n${note}\n${script}\n`);
    await chmod(`${directory}/${name}`, 0o755);
  }
  const calls = async () => (await readFile(log, 'utf8')).trim().split('\n');
  return { directory, calls };
}

const configOf = (...types: string[]): CniConfig => ({
  cniVersion: '1.0.0',
  name: 'net',
  plugins: types.map((type) => ({ type })),
});

t.test('cni: each plugin sees the result of the one before; DEL goes backwards', async (t) => {
  const { directory, calls } = await plugins(t, {
    first:
      '[ $CNI_COMMAND = DEL ] || echo \'{"ips":[{"address":"10.244.0.2/24"}],"from":"first"}\'',
    second: '',
  });
  const cni = createCniRunner([directory]);
  const config = configOf('first', 'second');
  const result = await cni.add(config, CONTAINER);
  t.strictSame(
    result.ips,
    [{ address: '10.244.0.2/24' }],
    'a plugin that is silent changes nothing',
  );
  await cni.del(config, CONTAINER);
  const lines = await calls();
  t.strictSame(
    lines.map((line) => line.split(' ').slice(0, 2).join(' ')),
    ['first ADD', 'second ADD', 'second DEL', 'first DEL'],
  );
  t.match(JSON.parse(lines[1]?.replace(/^second ADD /, '') ?? ''), {
    name: 'net',
    cniVersion: '1.0.0',
    prevResult: { from: 'first' },
  });
});

t.test('cni: plugins learn of the container by their environment', async (t) => {
  const { directory } = await plugins(t, {
    show: 'printf \'{"env":"%s"}\' "$CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_PATH $CNI_ARGS"',
  });
  const result = await createCniRunner([directory]).add(configOf('show'), CONTAINER);
  t.equal(result['env'], `c1 /run/netns/x eth0 ${directory} IgnoreUnknown=1;K8S_POD_NAME=web`);
});

t.test('cni: a missing plugin is told with where it was sought and what installs it', async (t) => {
  await t.rejects(createCniRunner(['/a', '/b']).add(configOf('nope'), CONTAINER), {
    code: 'prerequisite-missing',
    message: /"nope" is in none of \/a, \/b; install it with: apt-get install/,
  });
});

t.test('cni: the first directory that has a plugin is taken', async (t) => {
  const one = t.testdir({ a: {}, b: {} });
  for (const side of ['a', 'b']) {
    await writeFile(`${one}/${side}/p`, `#!/bin/sh\ncat >/dev/null; echo '{"side":"${side}"}'\n`);
    await chmod(`${one}/${side}/p`, 0o755);
  }
  const runner = createCniRunner([`${one}/none`, `${one}/b`, `${one}/a`]);
  t.equal((await runner.add(configOf('p'), CONTAINER))['side'], 'b');
});

t.test('cni: an error object of a plugin is the reason that is given', async (t) => {
  const { directory } = await plugins(t, {
    full: 'echo \'{"cniVersion":"1.0.0","code":11,"msg":"no addresses left","details":"of 10.244.0.0/24"}\'; exit 1',
    rude: 'echo "segmentation fault" >&2; exit 139',
    mute: 'exit 3',
    shot: 'kill -9 $$',
  });
  const cni = createCniRunner([directory]);
  for (const [type, message] of [
    ['full', /full: no addresses left: of 10\.244\.0\.0\/24$/],
    ['rude', /rude: segmentation fault$/],
    ['mute', /mute: it ended with 3$/],
    ['shot', /shot: it ended with SIGKILL$/],
  ] as const) {
    await t.rejects(cni.add(configOf(type), CONTAINER), {
      code: 'network-failed',
      retryable: true,
      message,
    });
  }
});

t.test('cni: an answer that is no result is an ordinary failure', async (t) => {
  const { directory } = await plugins(t, {
    garbage: 'echo "<html>"',
    list: 'echo "[1]"',
    nothing: 'echo null',
  });
  const cni = createCniRunner([directory]);
  for (const type of ['garbage', 'list', 'nothing']) {
    await t.rejects(cni.add(configOf(type), CONTAINER), {
      code: 'network-failed',
      message: new RegExp(`CNI plugin ${type} answered no result: `),
    });
  }
});

t.test('cni: a plugin that hangs is killed at its deadline, helpers included', async (t) => {
  const { directory } = await plugins(t, { slow: 'sleep 60 & sleep 60' });
  const started = performance.now();
  await t.rejects(
    createCniRunner([directory], { deadlineMs: 200 }).add(configOf('slow'), CONTAINER),
    {
      code: 'network-failed',
      retryable: true,
      message: /slow: it did not end within 0\.2 s/,
    },
  );
  t.ok(performance.now() - started < 5000, 'nobody waits for a helper that holds the output open');
});

t.test('cni: a plugin that prints without end is ended', async (t) => {
  const { directory } = await plugins(t, { yes: 'yes' });
  await t.rejects(createCniRunner([directory]).add(configOf('yes'), CONTAINER), {
    message: /prints without end/,
  });
});

t.test('cni: the caller’s signal ends a plugin, before it starts and while it runs', async (t) => {
  const { directory } = await plugins(t, { slow: 'sleep 60' });
  const cni = createCniRunner([directory]);
  await t.rejects(cni.add(configOf('slow'), CONTAINER, AbortSignal.abort()), { code: 'aborted' });
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 50);
  await t.rejects(cni.add(configOf('slow'), CONTAINER, stop.signal), { code: 'aborted' });
});

t.test('cni: a plugin that cannot be run is told by name', async (t) => {
  const directory = t.testdir({ text: 'no program' });
  await t.rejects(createCniRunner([directory]).add(configOf('text'), CONTAINER), {
    code: 'network-failed',
    message: /CNI plugin .*\/text: .*EACCES/,
  });
});

t.test('cni: every plugin may release, whatever the others do', async (t) => {
  const { directory, calls } = await plugins(t, { one: '', two: 'exit 1', three: 'exit 2' });
  const cni = createCniRunner([directory]);
  await t.rejects(cni.del(configOf('one', 'two', 'three'), CONTAINER), { message: /three: / });
  t.strictSame(
    (await calls()).map((line) => line.split(' ')[0]),
    ['three', 'two', 'one'],
  );
});

t.test('cni: a configuration of the administrator is the first by name', async (t) => {
  const directory = t.testdir({
    '20-b.conflist': JSON.stringify({ cniVersion: '1.0.0', name: 'b', plugins: [{ type: 'x' }] }),
    '10-a.conf': JSON.stringify({ cniVersion: '0.4.0', name: 'a', type: 'bridge', mtu: 1400 }),
    '00-notes.txt': 'not for us',
  });
  t.strictSame(await readConfig(directory), {
    cniVersion: '0.4.0',
    name: 'a',
    plugins: [{ cniVersion: '0.4.0', name: 'a', type: 'bridge', mtu: 1400 }],
  });
  t.equal(await readConfig(`${directory}/none`), undefined);
  await mkdir(`${directory}/empty`);
  t.equal(await readConfig(`${directory}/empty`), undefined);
});

t.test('cni: a file that is no configuration is told by name and reason', async (t) => {
  const bad: readonly (readonly [unknown, RegExp])[] = [
    ['{', /00\.conflist is no CNI configuration/],
    [null, /no "name"/],
    [{ name: 'n', type: 'x' }, /no "cniVersion"/],
    [{ name: 'n', cniVersion: '1.0.0' }, /neither "plugins" nor "type"/],
    [{ name: 'n', cniVersion: '1.0.0', plugins: [] }, /neither "plugins" nor "type"/],
    [{ name: 'n', cniVersion: '1.0.0', plugins: [{}] }, /a plugin has no "type"/],
    [{ name: 'n', cniVersion: '1.0.0', plugins: [null] }, /a plugin has no "type"/],
    [{ name: 'n', cniVersion: '1.0.0', type: '../../bin/sh' }, /names no plugin/],
  ];
  for (const [value, message] of bad) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    const directory = t.testdir({ '00.conflist': text });
    await t.rejects(readConfig(directory), { code: 'config-invalid', message }, text);
  }
});

t.test('cni: our own configuration is one that we would take', async (t) => {
  const config = defaultConfig('10.244.1.0/24', 1450, '/state');
  t.strictSame(parseConfig(JSON.parse(JSON.stringify(config))), config);
  t.match(config.plugins, [
    {
      type: 'ptp',
      mtu: 1450,
      ipam: { type: 'host-local', ranges: [[{ subnet: '10.244.1.0/24' }]] },
    },
  ]);
});
