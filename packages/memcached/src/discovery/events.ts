import { type Channel, channel } from 'node:diagnostics_channel'
import type { NodeAddress } from '../node-address.ts'

/** The nodes of a cluster are other ones, or at other addresses. */
export interface NodesEvent {
  readonly endpoint: NodeAddress
  /** Empty at the start. */
  readonly from: readonly NodeAddress[]
  readonly to: readonly NodeAddress[]
  /** Of the cluster's configuration; `undefined` where the endpoint is the only node. */
  readonly version: number | undefined
}

/** No server could be asked for the nodes. Those known before stay in use. */
export interface DiscoveryFailedEvent {
  readonly endpoint: NodeAddress
  readonly error: unknown
}

/** The endpoint itself is used as the only node. */
export interface PlainEvent {
  readonly endpoint: NodeAddress
  /** Why, where it did not say itself that it has no configuration. */
  readonly error: unknown
}

/** What happens to the list of nodes, on `node:diagnostics_channel`. */
export const discoveryChannels: Readonly<Record<'nodes' | 'failed' | 'plain', Channel>> = {
  /** @see NodesEvent */
  nodes: channel('stowage:memcached:nodes'),
  /** @see DiscoveryFailedEvent */
  failed: channel('stowage:memcached:discovery-failed'),
  /** @see PlainEvent */
  plain: channel('stowage:memcached:plain'),
}
