import t from 'tap';
import { limitsOf, wantedReplicas } from '../../../../agents/cluster/deployment/sizes.ts';
import type { Deployment } from '../../../../agents/cluster/kinds.ts';
import { type Random, seededRandom } from '../../../../src/lib/random.ts';
import { RolloutModel } from './model.ts';

const RUNS = 120;
const STEPS = 400;

function randomDeployment(random: Random): Deployment {
  const labels = { app: 'web' };
  const percent = () => `${random.int(0, 10) * 10}%`;
  const some = () => (random.chance(0.5) ? random.int(0, 4) : percent());
  const maxSurge = some();
  const maxUnavailable = some();
  return {
    metadata: { name: 'web', namespace: 'default', uid: 'd', generation: 1 },
    spec: {
      replicas: random.int(1, 12),
      selector: { matchLabels: labels },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
      template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'v0' }] } },
    },
  };
}

function withImage(deployment: Deployment, image: string): Deployment {
  const { metadata, spec } = deployment;
  const template = { ...spec.template, spec: { containers: [{ name: 'c', image }] } };
  const generation = (metadata.generation ?? 0) + 1;
  return { ...deployment, metadata: { ...metadata, generation }, spec: { ...spec, template } };
}

function withReplicas(deployment: Deployment, replicas: number): Deployment {
  const { metadata, spec } = deployment;
  const generation = (metadata.generation ?? 0) + 1;
  return { ...deployment, metadata: { ...metadata, generation }, spec: { ...spec, replicas } };
}

/** Runs until nothing changes anymore; undefined if that takes suspiciously long. */
function settle(model: RolloutModel): boolean {
  for (let round = 0; round < 40; round++) {
    for (let step = 0; step < STEPS; step++) model.step();
    const { status } = model.deployment;
    const wanted = wantedReplicas(model.deployment);
    const done =
      (status?.availableReplicas ?? 0) === wanted && (status?.updatedReplicas ?? 0) === wanted;
    if (done && (status?.replicas ?? 0) === wanted && model.settled) return true;
  }
  return false;
}

t.test('rollout: never too few available, never too many pods, always an end', async (t) => {
  for (let seed = 1; seed <= RUNS; seed++) {
    const random = seededRandom(seed);
    const model = new RolloutModel(randomDeployment(random), random);
    if (!settle(model)) return t.fail(`seed ${seed}: the first rollout does not end`);
    const wanted = wantedReplicas(model.deployment);
    const { surge, unavailable } = limitsOf(model.deployment);
    for (let change = 1; change <= 3; change++) {
      const image = random.chance(0.2) ? `broken${change}` : `v${random.int(0, 4)}`;
      model.deployment = withImage(model.deployment, image);
      for (let step = random.int(0, STEPS); step > 0; step--) {
        model.step();
        if (model.available < wanted - unavailable) {
          return t.fail(`seed ${seed}: ${model.available} available of ${wanted}-${unavailable}`);
        }
        if (model.total > wanted + surge) {
          return t.fail(`seed ${seed}: ${model.total} pods for ${wanted}+${surge}`);
        }
      }
    }
    model.deployment = withImage(model.deployment, 'last');
    if (!settle(model)) return t.fail(`seed ${seed}: the rollout does not end`);
  }
  t.pass(`${RUNS} seeds`);
});

t.test('rollout: scaled, changed and held at any time, it still comes to an end', async (t) => {
  for (let seed = 1; seed <= RUNS; seed++) {
    const random = seededRandom(seed);
    const model = new RolloutModel(randomDeployment(random), random);
    for (let change = 0; change < 6; change++) {
      const { deployment } = model;
      const dice = random.int(0, 3);
      if (dice === 0) model.deployment = withReplicas(deployment, random.int(0, 15));
      else if (dice === 1) model.deployment = withImage(deployment, `v${random.int(0, 3)}`);
      else {
        const { spec } = deployment;
        model.deployment = { ...deployment, spec: { ...spec, paused: dice === 2 } };
      }
      const before = model.replicaSets.reduce((sum, rs) => sum + (rs.spec.replicas ?? 0), 0);
      const { surge } = limitsOf(model.deployment);
      const limit = Math.max(before, wantedReplicas(model.deployment) + surge);
      for (let step = random.int(0, STEPS / 4); step > 0; step--) {
        model.step();
        const size = model.replicaSets.reduce((sum, rs) => sum + (rs.spec.replicas ?? 0), 0);
        if (size > limit) return t.fail(`seed ${seed}: asks for ${size} pods, may for ${limit}`);
      }
    }
    const { spec } = model.deployment;
    const strategy = random.chance(0.2) ? { type: 'Recreate' } : spec.strategy;
    model.deployment = { ...model.deployment, spec: { ...spec, paused: false, strategy } };
    if (!settle(model)) return t.fail(`seed ${seed}: the rollout does not end`);
  }
  t.pass(`${RUNS} seeds`);
});
