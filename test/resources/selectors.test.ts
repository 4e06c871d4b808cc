import t from 'tap';
import {
  fieldsOf,
  formatFieldSelector,
  matchesFieldSelector,
  parseFieldSelector,
  selectableFieldNames,
  unsupportedField,
} from '../../src/resources/fields.ts';
import { podKind } from '../../src/resources/kinds/pod.ts';
import {
  formatLabelSelector,
  formatLabels,
  formatSelector,
  matchesLabelSelector,
  matchesSelector,
  parseLabelSelector,
} from '../../src/resources/labels.ts';
import { admit, MINIMAL_POD, registry } from './support.ts';

function selects(text: string, labels: Record<string, string>): boolean {
  const parsed = parseLabelSelector(text);
  if (parsed.kind === 'invalid') throw new Error(parsed.message);
  return matchesSelector(parsed.selector, labels);
}

t.test('labels: the text form selects as kubectl -l does', async (t) => {
  const web = { app: 'web', tier: 'front', size: '5' };
  const yes = [
    '',
    'app=web',
    'app==web',
    'app = web , tier = front',
    'app!=db',
    'missing!=x',
    'app in (web, db)',
    'app notin (db)',
    'missing notin (x)',
    'app',
    '!missing',
    '! missing',
    'size>4',
    'size < 6',
    'app in (web),tier in (front,back),!old',
  ];
  const no = [
    'app=db',
    'app!=web',
    'app in (db)',
    'missing',
    '!app',
    'size>5',
    'app>1',
    'missing=',
  ];
  for (const text of yes) t.ok(selects(text, web), `"${text}" selects`);
  for (const text of no) t.notOk(selects(text, web), `"${text}" does not select`);
  t.ok(selects('empty=', { empty: '' }), 'an empty value can be asked for');
  t.ok(selects('a in (,x)', { a: '' }), 'an empty member of a set counts');
  t.notOk(selects('constructor', {}), 'what every object inherits is no label');
});

t.test('labels: a malformed selector says where it went wrong', async (t) => {
  const cases: [string, RegExp][] = [
    ['a in b', /found 'b', expected: '\('/],
    ['a,', /found '', expected: identifier after ,/],
    ['=b', /found '=', expected: identifier/],
    ['a b', /found 'b', expected: in, notin, =, ==, !=, gt, lt/],
    ['a in (b', /found '', expected: ',' or '\)'/],
    ['-a=b', /Invalid value: "-a": name part must consist of alphanumeric characters/],
    ['a=-b', /Invalid value: "-b": a valid label must be an empty string or consist/],
    ['a>x', /the value must be an integer/],
  ];
  for (const [text, message] of cases) {
    const parsed = parseLabelSelector(text);
    t.equal(parsed.kind, 'invalid', `"${text}" is refused`);
    if (parsed.kind === 'invalid') t.match(parsed.message, message);
  }
});

t.test('labels: formatting and parsing undo each other', async (t) => {
  for (const text of ['app=web', 'a in (x,y)', 'a notin (x)', 'a', '!a', 'a!=b', 'a>1,b<2']) {
    const parsed = parseLabelSelector(text);
    t.equal(parsed.kind === 'ok' && formatSelector(parsed.selector), text);
  }
});

t.test('labels: the object form matches, and an absent one matches nothing', async (t) => {
  const labels = { app: 'web', tier: 'front' };
  t.notOk(matchesLabelSelector(undefined, labels));
  t.ok(matchesLabelSelector({}, labels));
  t.ok(matchesLabelSelector({ matchLabels: { app: 'web' } }, labels));
  t.notOk(matchesLabelSelector({ matchLabels: { app: 'db' } }, labels));
  const expression = (operator: string, values?: string[]) => ({
    matchExpressions: [{ key: 'tier', operator, values }],
  });
  t.ok(matchesLabelSelector(expression('In', ['front']), labels));
  t.notOk(matchesLabelSelector(expression('NotIn', ['front']), labels));
  t.ok(matchesLabelSelector(expression('Exists'), labels));
  t.notOk(matchesLabelSelector(expression('DoesNotExist'), labels));
  t.notOk(
    matchesLabelSelector(expression('Like', ['f']), labels),
    'unknown operators match nothing',
  );
});

t.test('labels: cells show selectors as kubectl does', async (t) => {
  t.equal(formatLabelSelector({ matchLabels: { b: '2', a: '1' } }), 'a=1,b=2');
  t.equal(
    formatLabelSelector({ matchExpressions: [{ key: 'x', operator: 'In', values: ['b', 'a'] }] }),
    'x in (a,b)',
  );
  t.equal(formatLabelSelector({}), '<none>');
  t.equal(formatLabels(undefined), '<none>');
});

t.test('fields: selectors match on the fields a kind declares', async (t) => {
  const { object } = admit({ ...MINIMAL_POD, spec: { ...MINIMAL_POD.spec, nodeName: 'n1' } });
  const matches = (text: string) => {
    const parsed = parseFieldSelector(text);
    if (parsed.kind === 'invalid') throw new Error(parsed.message);
    return matchesFieldSelector(registry.builtIn('Pod') as never, parsed.selector, object);
  };
  t.ok(matches('spec.nodeName=n1'));
  t.ok(matches('spec.nodeName==n1,status.phase=Pending'));
  t.ok(matches('status.phase!=Running'));
  t.notOk(matches('status.phase=Running'));
  t.ok(matches('metadata.name=web,metadata.namespace=default'));
  t.ok(matches('spec.nodeName!='));
  t.ok(matches('spec.hostNetwork=false'));
  t.match(fieldsOf(podKind as never, object), { 'spec.restartPolicy': 'Always' });
});

t.test('fields: values may hold escaped separators', async (t) => {
  const parsed = parseFieldSelector('metadata.name=a\\,b\\=c');
  t.same(parsed, {
    kind: 'ok',
    selector: [{ field: 'metadata.name', operator: '=', value: 'a,b=c' }],
  });
  t.equal(parsed.kind === 'ok' && formatFieldSelector(parsed.selector), 'metadata.name=a\\,b\\=c');
  t.equal(parseFieldSelector('nonsense').kind, 'invalid');
  t.equal(parseFieldSelector('a=b=c').kind, 'invalid');
});

t.test('fields: an unknown field is named in the words of upstream', async (t) => {
  const selector = [{ field: 'spec.color', operator: '=', value: 'red' }] as const;
  const pods = registry.byKind('Pod');
  const maps = registry.byKind('ConfigMap');
  t.equal(pods && unsupportedField(pods, selector), 'field label not supported: spec.color');
  t.equal(
    maps && unsupportedField(maps, selector),
    '"spec.color" is not a known field selector: only "metadata.name", "metadata.namespace"',
  );
});

t.test('fields: every kind tells its fields even of an empty object', async (t) => {
  for (const kind of registry.kinds) {
    t.ok(selectableFieldNames(kind).has('metadata.name'), kind.kind);
  }
});
