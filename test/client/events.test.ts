import t from 'tap';
import { createEventRecorder } from '../../src/client/events.ts';
import { type ClientHarness, pod, setUp } from './harness.ts';

async function withRecorder() {
  const harness = await setUp();
  const recorder = createEventRecorder({ ...harness, component: 'kubelet', host: 'n1' });
  const subject = await harness.client.create('Pod', pod('a'));
  return { ...harness, recorder, subject };
}

async function events({ client }: Pick<ClientHarness, 'client'>) {
  return (await client.list('Event', { namespace: 'default' })).items;
}

t.test('events: a note becomes an Event about its object', async (t) => {
  const { recorder, subject, client } = await withRecorder();
  recorder.event(subject, 'Warning', 'BackOff', 'restarting failed container');
  await recorder.flush();
  const [event] = await events({ client });
  t.match(event, {
    type: 'Warning',
    reason: 'BackOff',
    message: 'restarting failed container',
    count: 1,
    source: { component: 'kubelet', host: 'n1' },
    involvedObject: { kind: 'Pod', apiVersion: 'v1', name: 'a', uid: subject.metadata.uid },
    metadata: { namespace: 'default', name: /^a\.[0-9a-f]+$/ },
    firstTimestamp: '2020-01-01T00:00:00Z',
    lastTimestamp: '2020-01-01T00:00:00Z',
  });
});

t.test('events: the same note again raises the count and the last time', async (t) => {
  const { recorder, subject, client, clock } = await withRecorder();
  recorder.event(subject, 'Normal', 'Pulled', 'image is there');
  clock.advance(90_000);
  recorder.event(subject, 'Normal', 'Pulled', 'image is there');
  recorder.event(subject, 'Normal', 'Pulled', 'image is there');
  await recorder.flush();
  const all = await events({ client });
  t.equal(all.length, 1);
  t.match(all[0], {
    count: 3,
    firstTimestamp: '2020-01-01T00:00:00Z',
    lastTimestamp: '2020-01-01T00:01:30Z',
  });
});

t.test('events: an Event that has expired is started anew', async (t) => {
  const { recorder, subject, client } = await withRecorder();
  recorder.event(subject, 'Normal', 'Pulled', 'image is there');
  await recorder.flush();
  const [first] = await events({ client });
  await client.delete('Event', { namespace: 'default', name: first?.metadata.name ?? '' });
  recorder.event(subject, 'Normal', 'Pulled', 'image is there');
  await recorder.flush();
  t.match(await events({ client }), [{ count: 1 }]);
});

t.test('events: many that differ in their message only are combined', async (t) => {
  const { recorder, subject, client } = await withRecorder();
  for (let n = 0; n < 20; n++) recorder.event(subject, 'Warning', 'Failed', `try ${n}`);
  await recorder.flush();
  const all = await events({ client });
  t.equal(all.length, 11);
  const combined = all.filter(({ message = '' }) =>
    message.startsWith('(combined from similar events)'),
  );
  t.match(combined, [{ count: 10 }]);
});

t.test('events: an object that never falls silent is cut down to a trickle', async (t) => {
  const { recorder, subject, client, clock } = await withRecorder();
  for (let n = 0; n < 100; n++) recorder.event(subject, 'Normal', `Reason${n}`, 'x');
  await recorder.flush();
  t.equal((await events({ client })).length, 25);
  clock.advance(300_000);
  for (let n = 0; n < 10; n++) recorder.event(subject, 'Normal', `Later${n}`, 'x');
  await recorder.flush();
  t.equal((await events({ client })).length, 26);
});

t.test('events: one that cannot be written harms nobody', async (t) => {
  const { recorder, subject, client } = await withRecorder();
  const elsewhere = { ...subject, metadata: { ...subject.metadata, namespace: 'gone', uid: 'x' } };
  recorder.event(elsewhere, 'Normal', 'Lost', 'nobody will know');
  recorder.event(subject, 'Normal', 'Found', 'here');
  await recorder.flush();
  t.match(await events({ client }), [{ reason: 'Found' }]);
});
