import t from 'tap';
import { notFound } from '../../src/api/status.ts';
import type { Client } from '../../src/client/types.ts';
import { SkeinError } from '../../src/lib/errors.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { putMember, readMembers } from '../../src/node/members.ts';
import { REMOVED_METHOD, removeNode } from '../../src/node/removal.ts';
import { createLocalStore } from '../../src/store/local-store.ts';

type World = {
  /** What was done, in order. */
  readonly done: string[];
  readonly nodes: Set<string>;
  readonly pods: Map<string, string>;
  removeFault: SkeinError | undefined;
  reachable: boolean;
};

async function cluster(names: readonly string[]) {
  const store = createLocalStore();
  for (const node of names) {
    await putMember(store, { peer: `peer-${node}`, node, addresses: [], api: 'x' });
  }
  const world: World = {
    done: [],
    nodes: new Set(names),
    pods: new Map(),
    removeFault: undefined,
    reachable: true,
  };
  const { done, nodes, pods } = world;
  const client = {
    get: async (_kind: string, { name }: { name: string }) => {
      if (!nodes.has(name)) throw notFound({ group: '', plural: 'nodes' }, name);
      return {};
    },
    list: async (_kind: string, { fieldSelector }: { fieldSelector: string }) => {
      const node = fieldSelector.replace('spec.nodeName=', '');
      const names = [...pods].filter(([, on]) => on === node).map(([name]) => name);
      return { items: names.map((name) => ({ metadata: { name, namespace: 'default' } })) };
    },
    delete: async (kind: string, { name }: { name: string }, options?: object) => {
      const found = kind === 'Node' ? nodes.delete(name) : pods.delete(name);
      if (!found) throw notFound({ group: '', plural: 'nodes' }, name);
      const members = readMembers(store).length;
      done.push(`delete ${kind} ${name} ${JSON.stringify(options ?? {})} with ${members} members`);
    },
  };
  const components = {
    store,
    client: client as unknown as Client,
    clusterId: 'c',
    log: silentLogger,
    consensus: {
      removeMember: async (peer: string) => {
        if (world.removeFault) throw world.removeFault;
        done.push(`group without ${peer}`);
      },
    },
    mesh: {
      self: 'peer-node1',
      request: async (peer: string, method: string, body: unknown) => {
        if (!world.reachable) throw new SkeinError('peer-unreachable', 'silence');
        const members = readMembers(store).length;
        done.push(`tell ${peer} ${method} ${JSON.stringify(body)} with ${members} members`);
        return {};
      },
    },
  };
  const remove = (name: string) => removeNode(components, name);
  const members = () => readMembers(store).map(({ node }) => node);
  return { world, remove, members };
}

t.test(
  'removal: group, message, member, node and pods, in the order in which each is safe',
  async (t) => {
    const { world, remove, members } = await cluster(['node1', 'node2', 'node3']);
    world.pods.set('a', 'node3').set('b', 'node2');
    t.strictSame(await remove('node3'), {
      node: 'node3',
      peer: 'peer-node3',
      untold: undefined,
    });
    t.strictSame(world.done, [
      'group without peer-node3',
      `tell peer-node3 ${REMOVED_METHOD} {"clusterId":"c"} with 3 members`,
      'delete Node node3 {} with 2 members',
      'delete Pod a {"gracePeriodSeconds":0,"preconditions":{}} with 2 members',
    ]);
    t.strictSame(members(), ['node1', 'node2']);
    t.strictSame([...world.pods.keys()], ['b']);
  },
);

t.test('removal: a node that is dead goes as well; nobody claims that it was told', async (t) => {
  const { world, remove, members } = await cluster(['node1', 'node2']);
  world.reachable = false;
  t.match(await remove('node2'), { untold: 'silence' });
  t.strictSame(members(), ['node1']);
  t.notOk(world.nodes.has('node2'));
});

t.test('removal: what the group cannot spare stays, and the reason names the node', async (t) => {
  const { world, remove, members } = await cluster(['node1', 'node2', 'node3']);
  const text = 'peer-node2 cannot be removed: only 1 of the remaining 2 voters can be reached';
  world.removeFault = new SkeinError('config-invalid', text);
  await t.rejects(remove('node2'), {
    code: 'config-invalid',
    message: 'node2 cannot be removed: only 1 of the remaining 2 voters can be reached',
  });
  t.strictSame(members(), ['node1', 'node2', 'node3']);
  t.ok(world.nodes.has('node2'));
  t.strictSame(world.done, []);
});

t.test('removal: one that was interrupted is completed by another', async (t) => {
  const { world, remove, members } = await cluster(['node1', 'node2']);
  world.removeFault = new SkeinError('no-leader', 'nobody leads');
  await t.rejects(remove('node2'), { code: 'no-leader' });
  world.removeFault = undefined;
  await remove('node2');
  t.strictSame(members(), ['node1']);
  world.nodes.add('node2');
  t.match(await remove('node2'), { node: 'node2', peer: undefined }, 'a Node object alone is left');
  t.notOk(world.nodes.has('node2'));
});

t.test(
  'removal: an unknown node is refused with those there are; our own with how to',
  async (t) => {
    const { world, remove } = await cluster(['node1', 'node2']);
    await t.rejects(remove('node9'), {
      code: 'config-invalid',
      message: 'there is no node "node9"; nodes are node1, node2',
    });
    await t.rejects(remove('node1'), { message: /run this command on another node/ });
    t.strictSame(world.done, []);
  },
);
