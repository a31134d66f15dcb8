import { networkInterfaces } from 'node:os'

/** Whether this machine has a loopback address of IPv6; many containers have none. */
export const hasIPv6: boolean = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
)
