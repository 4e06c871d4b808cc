import t from 'tap';
import { startServer } from './harness.ts';

t.test('x', async (t) => {
  const h = await startServer(t);
  const show = (a: unknown) => console.error(a);
  for (const args of process.argv.slice(2).length
    ? [process.argv.slice(2)]
    : [
        ['version'],
        ['api-resources'],
        ['api-versions'],
        ['create', 'ns', 'default'],
        ['get', 'ns'],
        ['create', 'configmap', 'a', '--from-literal=x=y'],
        ['get', 'cm', '-A'],
        ['get', 'cm', 'a', '-o', 'yaml'],
        ['explain', 'pod.spec'],
        ['auth', 'whoami'],
        ['auth', 'can-i', 'create', 'pods'],
        ['auth', 'can-i', '--list'],
        ['get', 'pods'],
        ['get', '--raw', '/metrics'],
        ['get', '--raw', '/readyz?verbose'],
      ]) {
    const r = await h.kubectl(args);
    show(args.join(' '));
    show(r.stdout.slice(0, 2500));
    show(r.stderr);
  }
});
