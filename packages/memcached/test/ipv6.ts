import { networkInterfaces } from 'node:os'

/** Whether this machine has the IPv6 loopback address. Many containers do not. */
export const hasIPv6: boolean = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
)
