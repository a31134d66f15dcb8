import {
  discoveryChannels,
  type NodeAddress,
  type NodeStatus,
  type NodesEvent,
} from '@stowage/memcached'
import type { Counts } from './load.ts'

/** Prints a line whenever the list of nodes changes. */
export function reportChanges(): void {
  discoveryChannels.nodes.subscribe((event) => {
    const { from, to, version } = event as NodesEvent
    const changes = from.length === 0 ? [`${to.length} found`] : differences(from, to)
    console.log(`   nodes, version ${version ?? 'none'}: ${changes.join(', ')}`)
  })
  discoveryChannels.failed.subscribe((event) => {
    console.log(`   ${((event as { error: Error }).error as Error).message}`)
  })
}

/** The nodes, and what became of the lookups since the last line. */
export function line(nodes: readonly NodeStatus[], counts: Counts): string {
  const { hits, misses, errors, wrong } = counts
  const numbers = [`${hits} hits`, `${misses} misses`, `${errors} errors`, `${wrong} wrong`]
  return `   ${numbers.map((text) => text.padStart(12)).join('')}   ${states(nodes)}`
}

export function states(nodes: readonly NodeStatus[]): string {
  return nodes.map(({ host, state }) => `${host} ${state}`).join(', ')
}

function differences(from: readonly NodeAddress[], to: readonly NodeAddress[]): string[] {
  const before = new Map(from.map((node) => [nameOf(node), node]))
  const after = new Map(to.map((node) => [nameOf(node), node]))
  const gone = from.filter((node) => !after.has(nameOf(node)))
  const moved = to.filter(
    (node) => before.has(nameOf(node)) && before.get(nameOf(node))?.ip !== node.ip,
  )
  return [
    ...to.filter((node) => !before.has(nameOf(node))).map(({ host }) => `${host} joins`),
    ...gone.map(({ host }) => `${host} leaves`),
    ...moved.map(({ host, ip }) => `${host} is at ${ip ?? host} now`),
  ]
}

function nameOf({ host, port }: NodeAddress): string {
  return `${host}:${port}`
}
