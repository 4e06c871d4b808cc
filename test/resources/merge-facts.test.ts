import t from 'tap';
import { mergeFactsOf, mergeFactsOfField } from '../../src/resources/merge-facts.ts';

const POD = 'io.k8s.api.core.v1.Pod';

t.test('merge facts: containers merge by name', async (t) => {
  t.match(mergeFactsOf(POD, ['spec', 'containers']), {
    shape: 'list',
    strategy: 'merge',
    mergeKey: 'name',
    listType: 'map',
    listMapKeys: ['name'],
    schema: 'io.k8s.api.core.v1.Container',
  });
  t.match(mergeFactsOf(POD, ['spec', 'containers', 0, 'ports']), {
    mergeKey: 'containerPort',
    listMapKeys: ['containerPort', 'protocol'],
  });
});

t.test('merge facts: volumes keep only the keys they name, commands are replaced', async (t) => {
  t.match(mergeFactsOf(POD, ['spec', 'volumes']), { strategy: 'merge', retainKeys: true });
  t.match(mergeFactsOf(POD, ['spec', 'containers', '*', 'command']), {
    shape: 'list',
    strategy: 'replace',
    listType: 'atomic',
  });
  t.match(mergeFactsOf(POD, ['metadata', 'finalizers']), { strategy: 'merge', listType: 'set' });
});

t.test('merge facts: atomic maps are owned whole', async (t) => {
  t.match(mergeFactsOf(POD, ['spec', 'nodeSelector']), { shape: 'map', atomic: true });
  t.match(mergeFactsOf(POD, ['metadata', 'labels']), { shape: 'map', atomic: false });
});

t.test('merge facts: paths that lead nowhere have none', async (t) => {
  t.equal(mergeFactsOf(POD, ['spec', 'nothing']), undefined);
  t.equal(mergeFactsOf('no.such.Type', []), undefined);
  t.equal(mergeFactsOfField(POD, 'nothing'), undefined);
});

t.test('merge facts: older versions have the same', async (t) => {
  const legacy = 'io.k8s.api.extensions.v1beta1.Deployment';
  t.match(mergeFactsOf(legacy, ['spec', 'template', 'spec', 'containers']), { mergeKey: 'name' });
  t.match(mergeFactsOf(legacy, ['spec', 'strategy']), { shape: 'object', retainKeys: true });
});
