export {
  type DiscoveryFailedEvent,
  discoveryChannels,
  type NodesEvent,
  type SingleNodeEvent,
} from './discovery/events.ts'
export type { Hashing } from './hashing/hash-ring.ts'
export {
  default,
  type MemcachedByteStore,
  memcached,
  type NodeStatus,
} from './memcached-driver.ts'
export type {
  MemcachedOptions,
  OnNodeDown,
  Oversize,
  ProtocolChoice,
} from './memcached-options.ts'
export type { NodeAddress } from './node-address.ts'
