import type { NetworkInterfaceInfo } from 'node:os';
import t from 'tap';
import { chooseAddress } from '../../src/node/default-address.ts';

const at = (address: string, internal = false): NetworkInterfaceInfo => ({
  address,
  family: 'IPv4',
  internal,
  netmask: '255.255.255.0',
  mac: '00:00:00:00:00:00',
  cidr: `${address}/24`,
});
const ROUTES = `Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth1\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth1\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
`;
const INTERFACES = {
  lo: [at('127.0.0.1', true)],
  docker0: [at('172.17.0.1')],
  eth0: [at('192.0.2.1')],
  wlan0: [at('192.168.0.9')],
  eth1: [at('10.0.0.9')],
};

t.test('default-address: the interface of the best default route has it', async (t) => {
  t.equal(chooseAddress(ROUTES, INTERFACES), '10.0.0.9');
  const { eth1: _, ...others } = INTERFACES;
  t.equal(chooseAddress(ROUTES, others), '192.168.0.9', 'the next one, if that has no address');
});

t.test(
  'default-address: without a default route, the first that is not made by programs',
  async (t) => {
    t.equal(chooseAddress('', INTERFACES), '192.0.2.1');
    const { lo, docker0 } = INTERFACES;
    t.equal(chooseAddress('', { lo, docker0 }), '127.0.0.1');
    t.equal(chooseAddress('', {}), '127.0.0.1');
  },
);
