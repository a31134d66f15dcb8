import { type Channel, channel } from 'node:diagnostics_channel'
import type { NodeAddress } from '../node-address.ts'

/** The list of nodes has changed, or the address of a node. */
export interface NodesEvent {
  readonly endpoint: NodeAddress
  /** The nodes before the change; empty for the first list. */
  readonly from: readonly NodeAddress[]
  readonly to: readonly NodeAddress[]
  /** Version of the cluster's configuration; `undefined` if the endpoint is used as the only node. */
  readonly version: number | undefined
}

/** A poll failed. The nodes known so far stay in use. */
export interface DiscoveryFailedEvent {
  readonly endpoint: NodeAddress
  readonly error: unknown
}

/** The endpoint itself is used as the only node. */
export interface SingleNodeEvent {
  readonly endpoint: NodeAddress
  /** Why the poll failed; `undefined` if the endpoint replied that it has no configuration. */
  readonly error: unknown
}

/**
 * Events of auto discovery on `node:diagnostics_channel`.
 *
 * @example
 * discoveryChannels.nodes.subscribe((event) => {
 *   const { from, to } = event as NodesEvent
 *   console.log(`${from.length} nodes before, ${to.length} now`)
 * })
 * discoveryChannels.failed.subscribe((event) => console.error((event as DiscoveryFailedEvent).error))
 */
export const discoveryChannels: Readonly<Record<'nodes' | 'failed' | 'singleNode', Channel>> = {
  /** `stowage:memcached:nodes`, with a {@link NodesEvent} */
  nodes: channel('stowage:memcached:nodes'),
  /** `stowage:memcached:discovery-failed`, with a {@link DiscoveryFailedEvent} */
  failed: channel('stowage:memcached:discovery-failed'),
  /** `stowage:memcached:single-node`, with a {@link SingleNodeEvent} */
  singleNode: channel('stowage:memcached:single-node'),
}
