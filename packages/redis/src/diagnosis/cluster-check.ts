import type { BackendReport, CheckOptions, Finding } from '@stowage/core/tools'
import slotOf from 'cluster-key-slot'
import type { ManagedConnection } from '../connection/managed-connection.ts'
import { checkEviction, checkMemory } from './checks.ts'
import { during, type Probe, probe, reportOf } from './probe.ts'
import { missingKey } from './write-check.ts'

/** Finds a key of a node that serves at least one in a hundred slots. */
const maxKeys = 1_000

/** Connects to an address with the other options of the cluster. */
export type Connect = (address: string) => ManagedConnection

interface ClusterNode {
  readonly address: string
  readonly isPrimary: boolean
  /** Ranges of slots, both ends included. */
  readonly slots: readonly (readonly [first: number, last: number])[]
}

/** Probes the nodes that the first reachable seed lists. */
export async function checkCluster(
  seeds: readonly string[],
  connect: Connect,
  timeoutMs: number,
  { holdsSessions, prefix }: CheckOptions,
): Promise<BackendReport> {
  const nodes = await readNodes(seeds, connect)
  const addresses = new Set([...seeds, ...(nodes ?? []).map(({ address }) => address)])
  const all = await Promise.all(
    Array.from(addresses, (address) => {
      const node = nodes?.find((each) => each.address === address)
      return probe(address, connect(address), timeoutMs, node && keyOn(node, prefix))
    }),
  )
  if (nodes === undefined) return reportSeeds(all)
  const primaries = all.filter(({ info }) => info.get('role') === 'master')
  return {
    servers: all.map((each) => reportOf(each, 'node')),
    findings: [
      ...all.flatMap(({ findings }) => findings),
      ...slotFindings(nodes),
      ...primaries.flatMap(checkMemory),
      ...(holdsSessions ? primaries.flatMap(checkEviction) : []),
    ],
  }
}

/** A key of a slot that the node serves. `undefined` if the prefix itself decides the slot, and it is another one. */
function keyOn(node: ClusterNode, prefix: string | undefined): string | undefined {
  for (let number = 0; number < maxKeys; number++) {
    const key = missingKey(prefix, number)
    if (serves(node, slotOf(key))) return key
  }
  return undefined
}

function serves({ slots }: ClusterNode, slot: number): boolean {
  return slots.some(([first, last]) => first <= slot && slot <= last)
}

/** The address of the primary that serves the slot of a key. */
export async function locateInCluster(
  key: string,
  seeds: readonly string[],
  connect: Connect,
): Promise<string> {
  const slot = slotOf(key)
  const nodes = (await readNodes(seeds, connect)) ?? []
  const owner = nodes.find((node) => serves(node, slot))
  return `${owner?.address ?? 'cluster'} (slot ${slot})`
}

/** https://redis.io/docs/latest/commands/cluster-nodes/ */
async function readNodes(
  seeds: readonly string[],
  connect: Connect,
): Promise<ClusterNode[] | undefined> {
  for (const seed of seeds) {
    const connection = connect(seed)
    try {
      const text = await during(connection, () => connection.client.call('CLUSTER', 'NODES'))
      return parseNodes(String(text))
    } catch {
      // The next one may be reachable, and a member of a cluster.
    } finally {
      void connection.close()
    }
  }
  return undefined
}

function parseNodes(text: string): ClusterNode[] {
  return text.split('\n').flatMap((line) => {
    const [, address = '', flags = '', , , , , , ...slots] = line.trim().split(' ')
    if (address === '' || /noaddr|handshake/.test(flags)) return []
    const ranges = slots.filter((range) => /^\d/.test(range)).map(parseRange)
    const isPrimary = flags.includes('master')
    return [{ address: address.replace(/@.*$/, ''), isPrimary, slots: ranges }]
  })
}

function parseRange(text: string): [number, number] {
  const [first = 0, last = first] = text.split('-').map(Number)
  return [first, last]
}

function slotFindings(nodes: readonly ClusterNode[]): Finding[] {
  const served = nodes.flatMap(({ slots }) => slots.map(([first, last]) => last - first + 1))
  const count = served.reduce((sum, size) => sum + size, 0)
  if (count === 16_384) return []
  return [
    {
      code: 'redis-slots',
      severity: 'error',
      subject: nodes[0]?.address ?? 'cluster',
      problem: `Only ${count} of 16384 slots are assigned to a node: calls for the other keys fail.`,
      remedy: 'Run redis-cli --cluster fix.',
    },
  ]
}

function reportSeeds(probes: readonly Probe[]): BackendReport {
  const single = probes.filter(({ info }) => info.get('cluster_enabled') === '0')
  const notCluster = single.map(
    ({ address }): Finding => ({
      code: 'redis-not-cluster',
      severity: 'error',
      subject: address,
      problem: 'The server is not a node of a cluster.',
      remedy: 'Use REDIS_URL instead of REDIS_CLUSTER_NODES.',
    }),
  )
  return {
    servers: probes.map((each) => reportOf(each, 'node')),
    findings: [...probes.flatMap(({ findings }) => findings), ...notCluster],
  }
}
