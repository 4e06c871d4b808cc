/** Filters that look at what is left on a node: resources, the number of pods, host ports. */

import { type FilterPlugin, PASSES, type Refusal, refuseForNow } from '../plugin.ts';

/** Cpu, memory, extended resources, and the node's limit of pods. */
export const nodeResourcesFit: FilterPlugin = {
  name: 'NodeResourcesFit',
  begin(info) {
    const wanted = [...info.requests].filter(([, value]) => value > 0);
    return (node) => {
      const refusals: Refusal[] = [];
      if (node.pods.size + 1 > (node.allocatable.get('pods') ?? 0)) {
        refusals.push({ reason: 'Too many pods', resolvable: true });
      }
      for (const [name, value] of wanted) {
        if (value <= node.free(name)) continue;
        // More than the node has in all: no eviction will make room.
        const resolvable = value <= (node.allocatable.get(name) ?? 0);
        refusals.push({ reason: `Insufficient ${name}`, resolvable });
      }
      return refusals;
    };
  },
};

/** Host ports, each with its protocol and address, are held by one pod of a node at a time. */
export const nodePorts: FilterPlugin = {
  name: 'NodePorts',
  begin(info) {
    if (info.hostPorts.length === 0) return undefined;
    return (node) =>
      info.hostPorts.some((port) => node.portTaken(port))
        ? refuseForNow("node(s) didn't have free ports for the requested pod ports")
        : PASSES;
  },
};
