import { MemoryNftables } from '../../../../agents/node/proxy/memory-nftables.ts';
import { nftablesConformance } from './nftables-conformance.ts';

nftablesConformance('in memory', async () => new MemoryNftables());
