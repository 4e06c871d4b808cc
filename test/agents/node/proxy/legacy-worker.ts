/** Runs inside a test's network namespace: does what its argument says with the older packet filter, prints the answer as JSON. */

import { legacyFirewall } from '../../../../agents/node/proxy/legacy-firewall.ts';

const firewall = legacyFirewall();
const [action, cidr = '', comment = ''] = process.argv.slice(2);
if (action === 'admit') await firewall.admit(cidr, comment);
if (action === 'withdraw') await firewall.withdraw(cidr, comment);
process.stdout.write(JSON.stringify((await firewall.forward()) ?? null));
