import {
  discoveryChannels,
  type NodeAddress,
  type NodeStatus,
  type NodesEvent,
} from '@stowage/memcached'
import type { Counts } from './load-generator.ts'

/** Prints a line for every change of the node list, and for every failed poll of the endpoint. */
export function logTopologyChanges(): void {
  discoveryChannels.nodes.subscribe((event) => {
    const { from, to, version } = event as NodesEvent
    const changes = from.length === 0 ? [`${to.length} found`] : differences(from, to)
    console.log(`   nodes, version ${version ?? 'none'}: ${changes.join(', ')}`)
  })
  discoveryChannels.failed.subscribe((event) => {
    console.log(`   ${(event as { error: Error }).error.message}`)
  })
}

/** One line with the counts of an interval and the states of the nodes. */
export function formatCounts(nodes: readonly NodeStatus[], counts: Counts): string {
  const { hits, misses, errors, wrong } = counts
  const columns = [`${hits} hits`, `${misses} misses`, `${errors} errors`, `${wrong} wrong`]
  return `   ${columns.map((text) => text.padStart(12)).join('')}   ${formatStates(nodes)}`
}

export function formatStates(nodes: readonly NodeStatus[]): string {
  return nodes.map(({ host, state }) => `${host} ${state}`).join(', ')
}

function differences(from: readonly NodeAddress[], to: readonly NodeAddress[]): string[] {
  const before = new Map(from.map((node) => [nameOf(node), node]))
  const after = new Map(to.map((node) => [nameOf(node), node]))
  const added = to.filter((node) => !before.has(nameOf(node)))
  const removed = from.filter((node) => !after.has(nameOf(node)))
  const moved = to.filter(
    (node) => before.has(nameOf(node)) && before.get(nameOf(node))?.ip !== node.ip,
  )
  return [
    ...added.map(({ host }) => `${host} added`),
    ...removed.map(({ host }) => `${host} removed`),
    ...moved.map(({ host, ip }) => `${host} moved to ${ip ?? host}`),
  ]
}

function nameOf({ host, port }: NodeAddress): string {
  return `${host}:${port}`
}
